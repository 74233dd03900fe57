"""How good the recipe is on fewer rows, as far as a budget of CPU seconds reaches."""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from perennial.config import ModelConfig

_log = logging.getLogger(__name__)
SHARES = (1 / 16, 1 / 8, 1 / 4, 1 / 2, 1.0)
"""Of the rows before the last fold, the newest first: each twice the one before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """A fit on ``n_rows``: its metric on rows it was fitted on (``known``), and on the later fold (``unseen``)."""

    n_rows: int
    known: float
    unseen: float


def learning_curve(
    n_rows: int, tried: Callable[[int], tuple[float, float]], *, budget_s: float, clock: Callable[[], float]
) -> tuple[Point, ...]:
    """A point for each of ``SHARES`` of ``n_rows`` that the budget has room for, the smallest first.

    ``tried`` fits on so many rows and gives both metrics; what it raises leaves that point out, and says so in the log.
    ``clock`` counts CPU seconds. A fit is taken to cost more than the one before by the factor that this one did, at
    least as much and at most twice; the first one nothing. Fewer than two points are no curve.

    >>> seconds = iter([0.0, 1.0, 3.0])
    >>> found = learning_curve(160, lambda n: (1.0, 0.5), budget_s=6.0, clock=lambda: next(seconds))
    >>> [point.n_rows for point in found]
    [10, 20]
    >>> learning_curve(160, lambda n: (1.0, 0.5), budget_s=0.0, clock=lambda: 0.0)
    ()
    """
    points = tuple(_points(n_rows, tried, budget_s=budget_s, clock=clock)) if budget_s > 0 else ()
    return points if len(points) > 1 else ()


def _points(
    n_rows: int, tried: Callable[[int], tuple[float, float]], *, budget_s: float, clock: Callable[[], float]
) -> Iterator[Point]:
    began = last = clock()
    cost, growth = 0.0, 2.0
    for share in SHARES:
        if last - began + growth * cost > budget_s:
            return
        n_tried = round(n_rows * share)
        try:
            known, unseen = tried(n_tried)
        except Exception as error:  # a recipe may raise anything on few rows, and the candidate is fitted already
            _log.warning("no point of the learning curve at %d rows: %s: %s", n_tried, type(error).__name__, error)
        else:
            yield Point(n_rows=n_tried, known=known, unseen=unseen)
        now = clock()
        growth = min(2.0, max(1.0, (now - last) / cost)) if cost > 0 else 2.0
        cost, last = now - last, now


def curve_metric(config: ModelConfig) -> str:
    """The metric of the curve: the one by which a candidate is compared with the champion.

    >>> curve_metric(flights)
    'roc_auc'
    """
    return config.signoff.versus_champion.metric


def as_record(points: tuple[Point, ...]) -> list[list[Any]]:
    """As JSON takes it: rows, known, unseen of each."""
    return [[point.n_rows, point.known, point.unseen] for point in points]


def from_record(found: list[list[Any]]) -> tuple[Point, ...]:
    """The same back.

    >>> from_record(as_record((Point(n_rows=10, known=1.0, unseen=0.5),)))[0].unseen
    0.5
    """
    return tuple(Point(n_rows=int(n), known=float(known), unseen=float(unseen)) for n, known, unseen in found)
