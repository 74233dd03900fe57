"""How late labels come: the time from an event to its label, of one window and of those before it."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select

from perennial.config import ModelConfig
from perennial.contracts import Window
from perennial.evidence.rows import arrived, served
from perennial.store import Store
from perennial.store.schema import labels_table, predictions_table

N_EARLIER = 6
"""So many windows before one say what is usual: labels that come once a month are late by the day of the month."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lateness:
    """The median and the 90 % quantile of ``labelled_at`` less ``event_time``, in hours, over ``n_labels`` labels."""

    n_labels: int
    median_h: float
    q90_h: float

    def __str__(self) -> str:
        """As people read it.

        >>> print(Lateness(n_labels=900, median_h=44.72, q90_h=70.0))
        median 44.7 h, 90 % within 70 h
        """
        return f"median {self.median_h:.3g} h, 90 % within {self.q90_h:.3g} h"


@dataclass(frozen=True, slots=True, kw_only=True)
class LatenessSeen:
    """The lateness of a window and of those right before it that hold enough labels, newest first."""

    now: Lateness | None
    earlier: tuple[Lateness, ...] = ()


def read_lateness(
    config: ModelConfig, window: Window, *, as_of: datetime, excluded: tuple[Window, ...] = (), store: Store
) -> LatenessSeen:
    """The lateness of the served rows of :meth:`~perennial.config.ModelConfig.judged_over` ``window``.

    Earlier windows are of the same length, and looked at when they were as old as this one is ``as_of``: labels that
    had not arrived by then are as unknown as those of this window that are still to come. One with fewer than
    ``signals.min_labelled_rows`` labels is left out. Raises StoreUnavailable.
    """
    each = [
        _of_stretch(config, stretch, as_of=moment, excluded=excluded, store=store)
        for stretch, moment in looked_at(config, window, as_of=as_of)
    ]
    return LatenessSeen(now=each[0], earlier=tuple(found for found in each[1:] if found is not None))


def looked_at(config: ModelConfig, window: Window, *, as_of: datetime) -> tuple[tuple[Window, datetime], ...]:
    """The stretch that a window is judged over, and those before it, newest first; each with its moment. Pure.

    >>> found = looked_at(flights, day(99), as_of=day(109).end)
    >>> len(found), [(as_of - stretch.end).days for stretch, as_of in found[:2]]
    (7, [10, 10])
    """
    stretch = config.judged_over(window)
    length = stretch.end - stretch.start
    return tuple(
        (Window(start=stretch.start - n * length, end=stretch.end - n * length), as_of - n * length)
        for n in range(N_EARLIER + 1)
    )


def _of_stretch(
    config: ModelConfig, stretch: Window, *, as_of: datetime, excluded: tuple[Window, ...], store: Store
) -> Lateness | None:
    predictions, labels = predictions_table(config), labels_table(config)
    hours = func.extract("epoch", labels.c.labelled_at - predictions.c.event_time) / 3600
    query = (
        select(
            func.count(),
            func.percentile_cont(0.5).within_group(hours),
            func.percentile_cont(0.9).within_group(hours),
        )
        .select_from(predictions.join(labels, arrived(predictions, labels, as_of)))
        .where(served(predictions, stretch, as_of=as_of, excluded=excluded))
    )
    with store.begin() as connection:
        n_labels, median, q90 = connection.execute(query).one()
    if n_labels < config.signals.min_labelled_rows:
        return None
    return Lateness(n_labels=int(n_labels), median_h=float(median), q90_h=float(q90))
