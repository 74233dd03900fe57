"""A figure with its uncertainty."""

import math
from dataclasses import dataclass
from typing import Literal

Standing = Literal["ok", "breached", "undecided"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A figure on ``n`` rows of ``n_blocks`` blocks, with the interval that covers the truth with ``confidence``.

    ``low`` and ``high`` are None exactly when ``problem`` says why there is no interval; ``value`` may be None then
    too, and is never NaN. ``standard_error`` is by blocks; ``df`` are the degrees of freedom of its t distribution.
    Everything but the counts and ``confidence`` is in the unit of the figure.
    """

    value: float | None
    low: float | None
    high: float | None
    standard_error: float | None
    n: int
    n_blocks: int
    df: int
    confidence: float
    problem: str = ""

    def __post_init__(self) -> None:
        figures = [self.value, self.low, self.high, self.standard_error]
        if any(figure is not None and not math.isfinite(figure) for figure in figures):
            raise ValueError(f"{self}: a figure that is no number is None, with the problem")
        if any((bound is None) != bool(self.problem) for bound in (self.low, self.high)):
            raise ValueError(f"{self}: either an interval or the problem")
        if not self.problem and (self.value is None or self.standard_error is None):
            raise ValueError(f"{self}: an interval without its value or its standard error")

    @classmethod
    def without_interval(
        cls, problem: str, *, value: float | None = None, n: int = 0, n_blocks: int = 0, confidence: float = 0.95
    ) -> "Estimate":
        """A figure, or none at all, that has no interval, and why.

        >>> Estimate.without_interval("4 blocks; 10 at least", value=0.7, n=90, n_blocks=4).low is None
        True
        """
        return cls(
            value=value,
            low=None,
            high=None,
            standard_error=None,
            n=n,
            n_blocks=n_blocks,
            df=max(n_blocks - 1, 0),
            confidence=confidence,
            problem=problem,
        )

    def __str__(self) -> str:
        """As people read it: ``0.021 (0.009 to 0.033)``.

        >>> print(Estimate.without_interval("4 blocks; 10 at least", value=0.7))
        0.7 (no interval: 4 blocks; 10 at least)
        >>> print(Estimate.without_interval("nothing to compare"))
        unknown (no interval: nothing to compare)
        """
        value = "unknown" if self.value is None else f"{self.value:.4g}"
        if self.low is None or self.high is None:
            return f"{value} (no interval: {self.problem})"
        return f"{value} ({self.low:.4g} to {self.high:.4g})"

    def standing(self, bound: float, *, is_least: bool) -> Standing:
        """Where this stands to a bound: the least that is allowed (``is_least``), or the most.

        ``ok`` when all of the interval keeps it, ``breached`` when none does; a figure at the bound keeps it. All
        else is ``undecided``: these rows could not have shown it, which is no pass. So is what has no interval. Raises
        ValueError for a bound that is no number.

        >>> auc = Estimate(
        ...     value=0.7, low=0.65, high=0.75, standard_error=0.02, n=900, n_blocks=14, df=13, confidence=0.95
        ... )
        >>> [auc.standing(bound, is_least=True) for bound in (0.6, 0.65, 0.7, 0.75, 0.76)]
        ['ok', 'ok', 'undecided', 'undecided', 'breached']
        >>> [auc.standing(bound, is_least=False) for bound in (0.6, 0.65, 0.7, 0.75, 0.76)]
        ['breached', 'undecided', 'undecided', 'ok', 'ok']
        >>> unseen = Estimate.without_interval("4 blocks; an interval needs 10", value=0.2)
        >>> unseen.standing(0.6, is_least=True), unseen.standing(0.1, is_least=True)
        ('undecided', 'undecided')
        """
        if math.isnan(bound):
            raise ValueError("a bound that is no number can be kept by nothing")
        if self.low is None or self.high is None:
            return "undecided"
        if self.low >= bound if is_least else self.high <= bound:
            return "ok"
        return "breached" if (self.high < bound if is_least else self.low > bound) else "undecided"
