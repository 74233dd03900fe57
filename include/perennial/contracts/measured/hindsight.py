"""What came of a release, once the labels of what followed are in."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from perennial.contracts.measured.estimates import Estimate
from perennial.contracts.windows import Window


@dataclass(frozen=True, slots=True, kw_only=True)
class Hindsight:
    """The version that a release let serve beside the one it took away, on the same labelled rows of the ``stretch``
    after.

    ``judged`` is the gain that the gate saw, None for a rollback, ``realised`` the one that came, both in the unit of
    ``metric`` and positive for better; ``realised`` has no value, and says why, where it can not be known any more.
    """

    kind: Literal["promotion", "rollback"] = "promotion"
    version: str
    previous: str
    metric: str
    judged: float | None
    realised: Estimate
    stretch: Window

    @property
    def right(self) -> bool | None:
        """Whether the version that came was better; None where that is not known.

        >>> hindsight = Hindsight(version="4", previous="3", metric="roc_auc", judged=0.02,
        ...     realised=Estimate(value=-0.01, problem="4 blocks"), stretch=day(0))
        >>> hindsight.right
        False
        """
        return None if self.realised.value is None else self.realised.value > 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """How many releases of a kind were right, and how many wrong; those that are not known count for neither."""

    n_right: int = 0
    n_wrong: int = 0

    @property
    def rate(self) -> float | None:
        """The share that was right; None before the first is known."""
        n_known = self.n_right + self.n_wrong
        return self.n_right / n_known if n_known else None

    def in_words(self, kind: str) -> str:
        """As people read it.

        >>> Tally(n_right=1, n_wrong=1).in_words("rollback")
        '1 of 2 rollbacks was right'
        """
        was = "was" if self.n_right == 1 else "were"
        return f"{self.n_right} of {self.n_right + self.n_wrong} {kind}s {was} right"


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """How often releases were right: every promotion and rollback that has its hindsight, and what follows for
    ``min_gain``.

    ``optimism`` is how much larger, on average, gains were when they were judged than when they came. ``proposed`` is
    the ``min_gain`` that would have allowed for it, None with fewer than ``LEAST`` promotions to go by.
    """

    promotions: tuple[Hindsight, ...] = ()
    rollbacks: tuple[Hindsight, ...] = ()
    promoted: Tally = Tally()
    rolled_back: Tally = Tally()
    optimism: float | None = None
    proposed: float | None = None

    def __str__(self) -> str:
        """As people read it.

        >>> print(Record())
        no release over another version has its hindsight yet
        >>> print(Record(promoted=Tally(n_right=4, n_wrong=1), optimism=0.012, proposed=0.012))
        4 of 5 promotions were right; gains came 0.012 smaller than they were judged: propose min_gain 0.012
        >>> print(Record(rolled_back=Tally(n_right=1)))
        1 of 1 rollbacks was right
        """
        parts = []
        if self.promoted.rate is not None:
            parts.append(self.promoted.in_words("promotion"))
        if self.optimism is not None:
            how = "smaller" if self.optimism >= 0 else "larger"
            proposal = f": propose min_gain {self.proposed:.4g}" if self.proposed is not None else ""
            parts.append(f"gains came {abs(self.optimism):.4g} {how} than they were judged{proposal}")
        if self.rolled_back.rate is not None:
            parts.append(self.rolled_back.in_words("rollback"))
        return "; ".join(parts) or "no release over another version has its hindsight yet"


LEAST = 5
"""Fewer promotions say little about how optimistic a gate is."""


def record_of(hindsights: Iterable[Hindsight]) -> Record:
    """The record of the releases with a hindsight. Pure.

    >>> def hindsight(judged, realised): return Hindsight(version="4", previous="3", metric="roc_auc", judged=judged,
    ...     realised=Estimate(value=realised, problem="4 blocks"), stretch=day(0))
    >>> print(record_of((hindsight(0.02, 0.01), hindsight(0.03, -0.01))))
    1 of 2 promotions was right; gains came 0.025 smaller than they were judged
    >>> record_of((hindsight(0.02, 0.01),) * 5).proposed
    0.01
    """
    everything = tuple(hindsights)
    promotions, rollbacks = (tuple(one for one in everything if one.kind == kind) for kind in ("promotion", "rollback"))
    off = [
        one.judged - one.realised.value
        for one in promotions
        if one.judged is not None and one.realised.value is not None
    ]
    optimism = sum(off) / len(off) if off else None
    return Record(
        promotions=promotions,
        rollbacks=rollbacks,
        promoted=tally(promotions),
        rolled_back=tally(rollbacks),
        optimism=optimism,
        proposed=max(0.0, optimism) if optimism is not None and len(off) >= LEAST else None,
    )


def tally(hindsights: Iterable[Hindsight]) -> Tally:
    """How many were right, and how many wrong. Pure.

    >>> tally([])
    Tally(n_right=0, n_wrong=0)
    """
    right = [one.right for one in hindsights]
    return Tally(n_right=right.count(True), n_wrong=right.count(False))
