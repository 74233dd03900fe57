"""What came of a promotion, once the labels of what followed are in."""

from dataclasses import dataclass

from perennial.contracts.measured.estimates import Estimate
from perennial.contracts.windows import Window


@dataclass(frozen=True, slots=True, kw_only=True)
class Hindsight:
    """The version that was promoted beside the one it replaced, on the same labelled rows of the ``stretch`` after.

    ``judged`` is the gain that the gate saw, ``realised`` the one that came, both in the unit of ``metric`` and
    positive for better; ``realised`` has no value, and says why, where it can not be known any more.
    """

    version: str
    previous: str
    metric: str
    judged: float | None
    realised: Estimate
    stretch: Window

    @property
    def right(self) -> bool | None:
        """Whether the new version was better; None where that is not known.

        >>> told = Hindsight(version="4", previous="3", metric="roc_auc", judged=0.02,
        ...     realised=Estimate(value=-0.01, problem="4 blocks"), stretch=day(0))
        >>> told.right
        False
        """
        return None if self.realised.value is None else self.realised.value > 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """How often the gate was right: every promotion that has its hindsight, and what follows for ``min_gain``.

    ``optimism`` is how much larger, on average, gains were when they were judged than when they came. ``proposed`` is
    the ``min_gain`` that would have allowed for it, None with fewer than ``LEAST`` promotions to go by.
    """

    promotions: tuple[Hindsight, ...]
    n_right: int
    n_wrong: int
    optimism: float | None
    proposed: float | None

    @property
    def rate(self) -> float | None:
        """The share of promotions that were right; None before the first is known."""
        n_known = self.n_right + self.n_wrong
        return self.n_right / n_known if n_known else None

    def __str__(self) -> str:
        """As people read it.

        >>> print(Record(promotions=(), n_right=0, n_wrong=0, optimism=None, proposed=None))
        no promotion over another version has its hindsight yet
        >>> print(Record(promotions=(), n_right=4, n_wrong=1, optimism=0.012, proposed=0.012))
        4 of 5 promotions were right; gains came 0.012 smaller than they were judged: propose min_gain 0.012
        """
        if self.rate is None:
            return "no promotion over another version has its hindsight yet"
        told = f"{self.n_right} of {self.n_right + self.n_wrong} promotions were right"
        if self.optimism is not None:
            how = "smaller" if self.optimism >= 0 else "larger"
            told += f"; gains came {abs(self.optimism):.4g} {how} than they were judged"
        return told + (f": propose min_gain {self.proposed:.4g}" if self.proposed is not None else "")


LEAST = 5
"""Fewer promotions say little about how optimistic a gate is."""


def record_of(promotions: tuple[Hindsight, ...]) -> Record:
    """The gate's own record. Pure.

    >>> def told(judged, realised): return Hindsight(version="4", previous="3", metric="roc_auc", judged=judged,
    ...     realised=Estimate(value=realised, problem="4 blocks"), stretch=day(0))
    >>> print(record_of((told(0.02, 0.01), told(0.03, -0.01))))
    1 of 2 promotions were right; gains came 0.025 smaller than they were judged
    >>> record_of((told(0.02, 0.01),) * 5).proposed
    0.01
    """
    known = [one for one in promotions if one.right is not None]
    off = [
        one.judged - one.realised.value for one in known if one.judged is not None and one.realised.value is not None
    ]
    optimism = sum(off) / len(off) if off else None
    return Record(
        promotions=promotions,
        n_right=sum(one.right is True for one in known),
        n_wrong=sum(one.right is False for one in known),
        optimism=optimism,
        proposed=max(0.0, optimism) if optimism is not None and len(off) >= LEAST else None,
    )
