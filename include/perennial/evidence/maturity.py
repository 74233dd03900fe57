"""Which windows have their labels in, as was known at a moment."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from sqlalchemy import exists, func, select

from perennial.config import ModelConfig
from perennial.contracts import SignalName, Window
from perennial.evidence.rows import arrived, served
from perennial.store import Store, signals
from perennial.store.batches import published_windows
from perennial.store.schema import batches, labels_table, predictions_table

COVERAGE = SignalName("label_coverage")
WINDOWS_BEYOND_WAIT = 8
"""So many windows past ``label.max_wait`` are still looked at, for runs that were missed."""

Maturity = Literal["empty", "mature", "overdue", "waiting"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """Served predictions of a window, and how many of them had their label by then; all, and those of the champion."""

    window: Window
    n_rows: int
    n_labelled: int
    n_by_champion: int
    n_by_champion_labelled: int

    @property
    def share(self) -> float:
        """The share of served predictions with a label. Raises ZeroDivisionError for an empty window.

        >>> Coverage(window=day(0), n_rows=8, n_labelled=6, n_by_champion=8, n_by_champion_labelled=6).share
        0.75
        """
        return self.n_labelled / self.n_rows


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelsIn:
    """What was known of the labels at ``as_of``.

    ``covered`` are the windows that no earlier run has ended (found mature, empty or overdue), and the newest one whose
    labels are ``due`` as a rule; ``ended`` are the windows that one has.
    """

    as_of: datetime
    covered: tuple[Coverage, ...]
    ended: frozenset[Window]
    due: Window | None

    def open(self) -> tuple[Coverage, ...]:
        """Those that no earlier run has ended.

        >>> coverage = Coverage(window=day(0), n_rows=8, n_labelled=6, n_by_champion=8, n_by_champion_labelled=6)
        >>> LabelsIn(as_of=day(9).end, covered=(coverage,), ended=frozenset({day(0)}), due=day(0)).open()
        ()
        """
        return tuple(coverage for coverage in self.covered if coverage.window not in self.ended)


def maturity(config: ModelConfig, coverage: Coverage, as_of: datetime) -> Maturity:
    """Whether the window can be measured at ``as_of``, will never be, or waits for labels. Pure.

    >>> coverage = Coverage(window=day(0), n_rows=8, n_labelled=6, n_by_champion=8, n_by_champion_labelled=6)
    >>> maturity(flights, coverage, day(9).end), maturity(flights, coverage, day(99).end)
    ('waiting', 'overdue')
    """
    if not coverage.n_rows:
        return "empty"
    if coverage.share >= config.label.mature_share:
        return "mature"
    return "overdue" if as_of >= coverage.window.end + config.label.max_wait else "waiting"


def measurable(config: ModelConfig, labels: LabelsIn) -> tuple[Coverage, ...]:
    """The open windows to measure the champion on: served by it, at least in part, and mature or given up. Pure.

    >>> coverage = Coverage(window=day(0), n_rows=8, n_labelled=8, n_by_champion=8, n_by_champion_labelled=8)
    >>> labels = LabelsIn(as_of=day(9).end, covered=(coverage,), ended=frozenset(), due=None)
    >>> measurable(flights, labels) == (coverage,)
    True
    """
    return tuple(
        coverage
        for coverage in labels.open()
        if coverage.n_by_champion and maturity(config, coverage, labels.as_of) in ("mature", "overdue")
    )


def newest_due(config: ModelConfig, windows: tuple[Window, ...], as_of: datetime) -> Window | None:
    """The newest window whose labels should be in as a rule: every event of it is ``label.delay`` old. Pure.

    >>> newest_due(flights, (day(0), day(1), day(2)), day(5).end) == day(1)
    True
    >>> newest_due(flights, (day(5),), day(5).end)
    """
    due = [window for window in windows if window.end + config.label.delay <= as_of]
    return max(due, key=lambda window: window.end, default=None)


def read_labels_in(
    config: ModelConfig,
    window: Window,
    *,
    champion: str | None,
    ended: frozenset[Window],
    since: datetime | None = None,
    store: Store,
) -> LabelsIn:
    """What was known, at the end of ``window``, of it and the windows before it: back to ``label.max_wait`` and more.

    Windows that began before ``since``, when it is given, are left out.
    """
    as_of = window.end
    oldest = as_of - config.label.max_wait - WINDOWS_BEYOND_WAIT * (window.end - window.start)
    found = published_windows(store, config.model, ended_after=oldest, ended_by=as_of)
    windows = tuple(past for past in found if since is None or past.start >= since)
    due = newest_due(config, windows, as_of)
    covered = tuple(
        read_coverage(config, past, as_of=as_of, champion=champion, store=store)
        for past in windows
        if past not in ended or past == due
    )
    return LabelsIn(as_of=as_of, covered=covered, ended=ended, due=due)


def read_ended(config: ModelConfig, as_of: datetime, *, store: Store) -> frozenset[Window]:
    """Windows that an earlier run found mature, empty, or past ``label.max_wait``: they are not measured again."""
    return signals.ended_windows(store, config.model, coverage=COVERAGE, before=as_of, max_wait=config.label.max_wait)


def read_coverage(
    config: ModelConfig, window: Window, *, as_of: datetime, champion: str | None, store: Store
) -> Coverage:
    """Counts over all served rows of the window; a label counts when it had arrived before ``as_of``."""
    predictions, labels = predictions_table(config), labels_table(config)
    by_champion = predictions.c.model_version == champion
    n_labelled = func.count(labels.c.prediction_id)
    query = (
        select(
            func.count().label("n_rows"),
            n_labelled.label("n_labelled"),
            func.count().filter(by_champion).label("n_by_champion"),
            n_labelled.filter(by_champion).label("n_by_champion_labelled"),
        )
        .select_from(predictions.outerjoin(labels, arrived(predictions, labels, as_of)))
        .where(served(predictions, window))
    )
    with store.begin() as connection:
        return Coverage(window=window, **connection.execute(query).one()._mapping)


def main_version(config: ModelConfig, window: Window, *, store: Store) -> str:
    """The version that scored most of a window's served rows, of which there is one at least."""
    predictions = predictions_table(config)
    version = predictions.c.model_version
    query = (
        select(version)
        .where(served(predictions, window))
        .group_by(version)
        .order_by(func.count().desc(), version)
        .limit(1)
    )
    with store.begin() as connection:
        found: str = connection.execute(query).scalar_one()
    return found


def count_unmatched(config: ModelConfig, window: Window, *, store: Store) -> tuple[int, int]:
    """Number of labels that the window's own batches published, and of those for which there is no prediction."""
    predictions, labels = predictions_table(config), labels_table(config)
    of_window = select(batches.c.seq).where(
        batches.c.model == config.model,
        batches.c.source == "labels",
        batches.c.status == "published",
        batches.c.window_start == window.start,
        batches.c.window_end == window.end,
    )
    matched = exists().where(predictions.c.prediction_id == labels.c.prediction_id)
    query = select(func.count(), func.count().filter(~matched)).where(labels.c.batch_seq.in_(of_window))
    with store.begin() as connection:
        n_labels, n_unmatched = connection.execute(query).one()
    return int(n_labels), int(n_unmatched)
