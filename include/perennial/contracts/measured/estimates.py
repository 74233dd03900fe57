"""A figure with its uncertainty."""

import math
from dataclasses import dataclass
from typing import Literal

Standing = Literal["ok", "breached", "undecided"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """What covers the truth with ``confidence`` (two-sided, in (0, 1)), on ``n_rows`` rows of ``n_blocks`` blocks.

    Rows of one block are not independent, blocks are. ``standard_error`` is by blocks, and ``n_blocks - 1`` are the
    degrees of freedom of its t distribution. Everything but the counts and ``confidence`` is in the unit of the figure.
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
        """As people read it.

        >>> print(Interval(low=0.61, high=0.694, standard_error=0.02, n_rows=9000, n_blocks=14, confidence=0.95))
        0.61 to 0.694
        """
        return f"{self.low:.4g} to {self.high:.4g}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Chance:
    """How a distance compares with those that chance makes, by permuting the ``n_blocks`` blocks of both sides.

    In a share ``confidence`` of the permutations it is at most ``quantile``; ``p`` is the share of them in which any
    distance of its family stands out as much. ``n_rows`` are those of the window.
    """

    quantile: float
    confidence: float
    p: float
    n_rows: int
    n_blocks: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A figure and its interval, or ``problem``: why there is no interval, or (``value`` None) no figure either.

    >>> Estimate(value=float("nan"), problem="?")
    Traceback (most recent call last):
    ValueError: nan is no value of an estimate: leave it out, with the problem
    """

    value: float | None = None
    interval: Interval | None = None
    problem: str = ""

    def __post_init__(self) -> None:
        if self.value is not None and not math.isfinite(self.value):
            raise ValueError(f"{self.value} is no value of an estimate: leave it out, with the problem")
        if (self.interval is None) != bool(self.problem) or (self.value is None and self.interval is not None):
            raise ValueError(f"{self.interval}, {self.problem!r}: either a value with its interval, or the problem")

    def __str__(self) -> str:
        """As people read it: ``0.021 (0.009 to 0.033)``.

        >>> print(Estimate(value=0.7, problem="4 blocks; 10 at least"))
        0.7 (no interval: 4 blocks; 10 at least)
        >>> print(Estimate(problem="nothing to compare"))
        unknown (no interval: nothing to compare)
        """
        value = "unknown" if self.value is None else f"{self.value:.4g}"
        return f"{value} ({self.interval or f'no interval: {self.problem}'})"

    @property
    def basis(self) -> str:
        """What it rests on, for a reader: rows and blocks, or why there is no interval.

        >>> Estimate(value=0.7, problem="4 blocks; 10 at least").basis
        'no interval: 4 blocks; 10 at least'
        """
        if self.interval is None:
            return f"no interval: {self.problem}"
        return f"{self.interval.n_rows} labelled rows in {self.interval.n_blocks} blocks"

    def standing(self, bound: float, *, is_least: bool) -> Standing:
        """Whether it keeps a bound: the least that is allowed (``is_least``), or the most.

        ``ok`` when all of the interval keeps it, ``breached`` when none does; a figure at the bound keeps it.
        Everything else is ``undecided``: these rows could not have shown it, and that is no pass. So is what has no
        interval. Raises ValueError for a bound that is no number.

        >>> found = Interval(low=0.65, high=0.75, standard_error=0.02, n_rows=900, n_blocks=14, confidence=0.95)
        >>> auc = Estimate(value=0.7, interval=found)
        >>> [auc.standing(bound, is_least=True) for bound in (0.6, 0.65, 0.7, 0.75, 0.76)]
        ['ok', 'ok', 'undecided', 'undecided', 'breached']
        >>> [auc.standing(bound, is_least=False) for bound in (0.6, 0.65, 0.7, 0.75, 0.76)]
        ['breached', 'undecided', 'undecided', 'ok', 'ok']
        >>> Estimate(value=0.2, problem="4 blocks; 10 at least").standing(0.6, is_least=True)
        'undecided'
        """
        if math.isnan(bound):
            raise ValueError("a bound that is no number can be kept by nothing")
        if self.interval is None:
            return "undecided"
        low, high = self.interval.low, self.interval.high
        worst, best, least = (low, high, bound) if is_least else (-high, -low, -bound)
        return "ok" if worst >= least else "breached" if best < least else "undecided"
