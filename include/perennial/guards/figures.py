"""The figures of one arm: counts on fixed grids, so that those of any processes and stretches can be added up."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from typing import Any

from perennial.statistics.rows import Task

_STEPS = 4
LATENCY_S = tuple(1e-4 * 2 ** (step / _STEPS) for step in range(80))
"""Ascending edges, in seconds, from 0.1 ms to 88 s: a quarter of an octave apart. Bin i ends below edge i."""
_PROBABILITIES = tuple(1 / (1 + math.exp(-step / 4)) for step in range(-28, 29))
_POWERS = tuple(10 ** (step / 8) for step in range(-24, 73))
_NUMBERS = (*(-value for value in reversed(_POWERS)), 0.0, *_POWERS)
HOLDOUT = "holdout"
"""The arm of figures that are those of a version's own holdout: rows, scores and missing values, and no requests."""


def baseline_of(canary: str | None) -> str:
    """The arm of what the champion answers beside this canary, as many requests as it: no other canary's. Pure.

    >>> baseline_of("8")
    'baseline/8'
    """
    return f"baseline/{canary}"


def score_edges(task: Task) -> tuple[float, ...]:
    """The ascending edges of the grid of scores: of a class a quarter apart in log odds, of a regression an eighth of
    a power of ten, on either side of zero. Whatever is shifted by less stays in its bin.

    >>> edges = score_edges("binary")
    >>> len(edges), round(edges[0], 4), edges[28]
    (57, 0.0009, 0.5)
    >>> len(score_edges("regression")), score_edges("regression")[97]
    (195, 0.0)
    """
    return _NUMBERS if task == "regression" else _PROBABILITIES


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmFigures:
    """What one version did in one arm from ``since`` until ``until``.

    ``requests`` are those it was asked, ``errors`` those of them that it could not answer; ``rows`` were scored, and
    ``rows_squared`` is the sum of the squared rows of a request, which says how many requests they are worth. Counts by
    bin: ``latency``, of shape (len(LATENCY_S) + 1,), of requests; ``scores``, of shape (len(score_edges) + 1,), of
    rows. ``missing`` counts, of each feature, the rows without it.
    """

    version: str
    arm: str
    since: datetime
    until: datetime
    requests: int = 0
    errors: int = 0
    rows: int = 0
    rows_squared: int = 0
    latency: tuple[int, ...] = (0,) * (len(LATENCY_S) + 1)
    scores: tuple[int, ...] = ()
    missing: dict[str, int] = field(default_factory=dict)

    @property
    def n_independent(self) -> float:
        """As many rows as those of its requests are worth, where those of one request tell the same (L. Kish, Survey
        Sampling, 1965: the design effect of clusters at its most).

        >>> at = day(0).start
        >>> ArmFigures(version="3", arm="champion", since=at, until=at, rows=20, rows_squared=200).n_independent
        2.0
        """
        return self.rows**2 / self.rows_squared if self.rows_squared else 0.0

    def merge(self, other: "ArmFigures") -> "ArmFigures":
        """Both together, as of two processes or two stretches. Raises ValueError for another version, arm or grid.

        >>> asked = dict(version="3", arm="champion", since=day(0).start, until=day(0).end)
        >>> one = ArmFigures(requests=2, scores=(1, 1), **asked)
        >>> both = one.merge(replace(one, since=day(1).start, until=day(1).end, missing={"temp": 1}))
        >>> both.requests, both.scores, both.missing, both.since == day(0).start, both.until == day(1).end
        (4, (2, 2), {'temp': 1}, True, True)
        >>> one.merge(replace(one, arm="canary"))
        Traceback (most recent call last):
        ValueError: version 3 as champion and version 3 as canary are not added up
        """
        return self._with(other, 1, since=min(self.since, other.since), until=max(self.until, other.until))

    def difference(self, earlier: "ArmFigures") -> "ArmFigures":
        """What came since ``earlier``, of the same counters. Raises ValueError where they count less than they did
        (they began anew meanwhile), and for another version, arm or grid.

        >>> asked = dict(version="3", arm="champion", since=day(0).start)
        >>> early = ArmFigures(until=day(0).end, requests=2, scores=(2,), **asked)
        >>> late = replace(early, until=day(1).end, requests=5, scores=(4,))
        >>> late.difference(early).requests, late.difference(early).since == day(0).end
        (3, True)
        >>> early.difference(late)
        Traceback (most recent call last):
        ValueError: version 3 as champion counts less than before: its counters began anew
        """
        found = self._with(earlier, -1, since=earlier.until, until=self.until)
        if min(_numbers(found)) < 0:
            raise ValueError(f"{found} counts less than before: its counters began anew")
        return found

    def __str__(self) -> str:
        """Who it is about."""
        return f"version {self.version} as {self.arm}"

    def _with(self, other: "ArmFigures", sign: int, *, since: datetime, until: datetime) -> "ArmFigures":
        if (self.version, self.arm, len(self.scores)) != (other.version, other.arm, len(other.scores)):
            raise ValueError(f"{self} and {other} are not added up")
        changed: dict[str, Any] = {}
        for name in (item.name for item in fields(self)):
            mine, theirs = getattr(self, name), getattr(other, name)
            if isinstance(mine, int):
                changed[name] = mine + sign * theirs
            elif isinstance(mine, tuple):
                changed[name] = tuple(one + sign * two for one, two in zip(mine, theirs, strict=True))
        names = dict.fromkeys((*self.missing, *other.missing))
        missing = {name: self.missing.get(name, 0) + sign * other.missing.get(name, 0) for name in names}
        return replace(self, **changed, since=since, until=until, missing=missing)


def _numbers(figures: ArmFigures) -> Iterable[int]:
    yield from (figures.requests, figures.errors, figures.rows, figures.rows_squared)
    yield from (*figures.latency, *figures.scores, *figures.missing.values())
