"""How far an estimated figure can be trusted."""

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """The confidence interval of an estimate, and what it rests on.

    ``low`` and ``high`` bound the figure at ``confidence`` (two-sided, in (0, 1)); ``standard_error`` is in the figure's
    unit. It was estimated from ``n_rows`` rows in ``n_blocks`` blocks: rows of one block are not independent, blocks are.
    """

    low: float
    high: float
    standard_error: float
    n_rows: int
    n_blocks: int
    confidence: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low <= self.high):
            raise ValueError(f"an interval from {self.low} to {self.high}")

    def __str__(self) -> str:
        """For a reason.

        >>> print(Interval(low=0.61, high=0.694, standard_error=0.02, n_rows=9000, n_blocks=14, confidence=0.95))
        0.61 to 0.694
        """
        return f"{self.low:.4g} to {self.high:.4g}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A figure, how far it can be trusted, and why there is no figure (``value`` None) or no interval.

    >>> Estimate(value=float("nan"))
    Traceback (most recent call last):
    ValueError: nan is no value of an estimate; leave it out and say why
    """

    value: float | None = None
    interval: Interval | None = None
    problem: str = ""

    def __post_init__(self) -> None:
        if self.value is not None and not math.isfinite(self.value):
            raise ValueError(f"{self.value} is no value of an estimate; leave it out and say why")
        if self.value is None and self.interval is not None:
            raise ValueError("an interval without a value")
