"""``training.search``: which parameters of a recipe are tried, how they are drawn, and for how long."""

from collections.abc import Mapping
from math import floor, prod
from typing import Annotated, Literal, Self

from pydantic import (
    Field,
    model_validator,
)

from perennial.config.values import Strict

Value = str | int | float | bool


class Range(Strict):
    """Numbers from ``low`` to ``high``: whole ones where both are written so.

    With ``log`` each factor of ten is tried as often as the next; with ``step`` only ``low``, ``low + step``, ... are.
    """

    low: int | float
    high: int | float
    log: bool = False
    step: Annotated[float, Field(gt=0)] | None = None

    @property
    def is_whole(self) -> bool:
        """Whether it holds whole numbers alone.

        >>> Range(low=1, high=9).is_whole, Range(low=1, high=9.5).is_whole
        (True, False)
        """
        return isinstance(self.low, int) and isinstance(self.high, int)

    @property
    def points(self) -> list[Value]:
        """All its numbers, ascending; empty where they can not be counted: fractions without a ``step``.

        >>> Range(low=2, high=5).points, Range(low=0.0, high=1.0, step=0.25).points
        ([2, 3, 4, 5], [0.0, 0.25, 0.5, 0.75, 1.0])
        """
        step = self.step or (1 if self.is_whole else None)
        if step is None:
            return []
        n_steps = floor((self.high - self.low) / step + 1e-9)
        kind = int if self.is_whole else float
        return [kind(self.low + number * step) for number in range(n_steps + 1)]

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.low >= self.high:
            raise ValueError(f"low {self.low} is not below high {self.high}")
        if self.log and (self.low <= 0 or self.step is not None):
            raise ValueError("log: every number has to be above 0, and a step goes with no log")
        if self.step is not None and self.is_whole and self.step != int(self.step):
            raise ValueError(
                f"step {self.step:g}: of whole numbers it is whole; write low and high as 1.0 for fractions"
            )
        if self.step is not None and self.step > self.high - self.low:
            raise ValueError(f"step {self.step:g} is longer than the range: only low would be tried")
        return self


Choices = Annotated[list[Value], Field(min_length=1)]


class Search(Strict):
    """Parameters of the recipe that are tried before a candidate is fitted, each set cross-validated in time order.

    ``space`` names the keyword arguments of ``build``, each with a list of values or a range; what it names takes the
    place of ``training.params``. ``tpe`` and ``random`` draw ``trials`` sets, ``grid`` goes through all of them, in an
    order of chance, up to as many. After ``seconds`` no further one is begun. ``folds`` are those of
    ``training.cv_folds`` unless it is given. ``pruner: median`` gives a set up whose folds so far are worse than the
    median of those before it. The best by ``training.metric`` fits the candidate. What is drawn depends on
    ``training.seed`` and on what was found before; how many are drawn within ``seconds`` also on the machine.
    """

    space: Annotated[dict[str, Choices | Range], Field(min_length=1)]
    sampler: Literal["tpe", "random", "grid"] = "tpe"
    trials: Annotated[int, Field(ge=1, le=10_000)] = 30
    seconds: Annotated[float, Field(gt=0)] = 600.0
    folds: Annotated[int, Field(ge=2, le=20)] | None = None
    pruner: Literal["median", "none"] = "none"

    @property
    def grid(self) -> Mapping[str, list[Value]]:
        """The values of every parameter; empty ones where they can not be counted.

        >>> Search(space={"c": [0.1, 1.0], "depth": Range(low=2, high=3)}).grid
        {'c': [0.1, 1.0], 'depth': [2, 3]}
        """
        return {name: over.points if isinstance(over, Range) else over for name, over in self.space.items()}

    @property
    def most(self) -> int:
        """How many sets are tried at most.

        >>> Search(space={"depth": Range(low=2, high=3)}, sampler="grid").most
        2
        """
        return min(self.trials, prod(map(len, self.grid.values()))) if self.sampler == "grid" else self.trials

    @model_validator(mode="after")
    def _possible(self) -> Self:
        for name, over in self.space.items():
            if name == "seed":
                raise ValueError("space.seed: build gets the seed from training.seed")
            if isinstance(over, list) and len({(type(value), value) for value in over}) < len(over):
                raise ValueError(f"space.{name}: a value stands in it twice")
            if self.sampler == "grid" and not self.grid[name]:
                raise ValueError(f"space.{name}: a grid has to know its values: give a step, or a list")
        return self
