"""The gates of a candidate, and their bounds."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from perennial.config.values import Name, Share, Strict

GUARD = {"log_loss": 0.02}
"""What guards the calibration of a binary task where ``model.yaml`` says nothing: at most so much worse."""
UNIT_LOSS = 0.05
"""How much a slice may lose where the metric's values lie within [0, 1] and ``model.yaml`` says nothing."""


class MetricGate(Strict):
    """Absolute bounds on the holdout; at least one. With ``of: interval`` the whole interval has to keep them."""

    min: float | None = None
    max: float | None = None
    of: Literal["estimate", "interval"] = "estimate"

    @model_validator(mode="after")
    def _bounded(self) -> Self:
        if self.min is None and self.max is None:
            raise ValueError("give min or max")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min {self.min} is above max {self.max}: nothing could pass")
        return self


class RelativeGate(Strict):
    """The candidate against the champion (or the constant predictor) on the same rows, in the unit of ``metric``.

    ``rule: gain`` asks for ``min_gain``, and that the lower bound of the gain lies above zero; ``superiority`` that the
    lower bound lies above ``min_gain``; ``non_inferiority`` that it lies above minus ``margin``, for refreshes by age.
    Bounds are one-sided at ``confidence``, by the blocks of ``signals.uncertainty``; the second candidate against one
    champion is allowed a quarter of the error of the first, the third a ninth, and so on. ``no_worse`` names further
    metrics and how much worse the candidate may be in them; unless it is given, a binary task guards its calibration by
    ``log_loss: 0.02``. ``{}`` guards nothing.
    """

    metric: str
    min_gain: float
    rule: Literal["gain", "superiority", "non_inferiority"] = "gain"
    margin: Annotated[float, Field(gt=0)] | None = None
    confidence: Annotated[float, Field(gt=0.5, lt=1)] = 0.95
    no_worse: dict[str, Annotated[float, Field(ge=0)]] | None = None

    @model_validator(mode="after")
    def _with_margin(self) -> Self:
        if (self.rule == "non_inferiority") != (self.margin is not None):
            raise ValueError("margin belongs to rule: non_inferiority, which needs it")
        return self


class SliceGates(Strict):
    """No slice of the holdout worse than ``max_loss`` against the champion, in the unit of ``metric`` (that of
    ``signoff.versus_champion`` unless given; ``max_loss`` is 0.05 where that lies in [0, 1], and has to be given
    elsewhere).

    Slices are the values of ``columns`` that have ``min_rows`` rows new to both, and, with ``find``, the slice that a
    shallow tree finds in one half of the blocks and that is judged in the other. A slice fails its gate that loses more
    than that and surely loses at all, at a confidence for all slices together; one that has no interval fails it too.
    Off without columns and ``find``.
    """

    columns: list[Name] = Field(default=[])
    find: bool = False
    metric: str | None = None
    min_rows: Annotated[int, Field(ge=30)] = 300
    max_loss: Annotated[float, Field(gt=0)] | None = None

    @property
    def asked(self) -> bool:
        """Whether any slice is judged.

        >>> SliceGates().asked, SliceGates(find=True).asked
        (False, True)
        """
        return self.find or bool(self.columns)


class FairnessGates(Strict):
    """How far a candidate may treat the groups of protected ``columns`` apart (binary tasks), on the holdout.

    ``bound`` is the most that statistical parity, equal opportunity and average odds may differ; with ``of: interval``
    the whole interval has to keep it. ``max_worsening`` is by how much they may differ more than the champion's do on
    the same rows: more than that, and surely more at all, fails. Groups with fewer than ``min_rows`` rows are left out.
    Off without columns.
    """

    columns: list[Name] = Field(default=[])
    bound: Share = 0.1
    of: Literal["estimate", "interval"] = "estimate"
    max_worsening: Annotated[float, Field(gt=0, le=1)] = 0.05
    min_rows: Annotated[int, Field(ge=30)] = 100
