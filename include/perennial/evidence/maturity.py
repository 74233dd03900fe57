"""Which windows have their labels in, as was known at a moment."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

from sqlalchemy import exists, func, select

from perennial.config import ModelConfig
from perennial.contracts import Signal, SignalName, Window
from perennial.evidence.rows import arrived, counted, known, served
from perennial.store import Store, signals
from perennial.store.batches import published_windows
from perennial.store.schema import batches, labels_table, predictions_table

COVERAGE = SignalName("label_coverage")
WINDOWS_BEYOND_WAIT = 8
"""So many windows past ``label.max_wait`` are still looked at, for runs that were missed."""

Maturity = Literal["empty", "mature", "overdue", "waiting"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """Served predictions of a window, and how many of them had their label by then; all, and those of the champion.

    Where the champion served, its own rows are judged, for they are what is measured; all rows where it did not.
    """

    window: Window
    n_rows: int
    n_labelled: int
    n_by_champion: int
    n_by_champion_labelled: int

    @property
    def n_judged(self) -> int:
        """Number of rows that maturity is judged on."""
        return self.n_by_champion or self.n_rows

    @property
    def n_judged_labelled(self) -> int:
        """Number of those with a label."""
        return self.n_by_champion_labelled if self.n_by_champion else self.n_labelled

    @property
    def share(self) -> float:
        """The share of the judged rows with a label. Raises ZeroDivisionError for an empty window.

        >>> Coverage(window=day(0), n_rows=8, n_labelled=6, n_by_champion=4, n_by_champion_labelled=4).share
        1.0
        """
        return self.n_judged_labelled / self.n_judged


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelsIn:
    """What was known of the labels at ``as_of``.

    ``covered`` are the windows that no earlier run has ended (found mature, empty or overdue), and the newest one whose
    labels are ``due`` as a rule; ``ended`` are the windows that one has. A window that was found mature early, on the
    labels that come fastest, is no longer ended once it is ``label.max_wait`` old; ``earlier`` is its share then.
    """

    as_of: datetime
    covered: tuple[Coverage, ...]
    ended: frozenset[Window]
    due: Window | None
    earlier: Mapping[Window, float] = field(default_factory=dict)

    def open(self) -> tuple[Coverage, ...]:
        """Those that no earlier run has ended.

        >>> coverage = Coverage(window=day(0), n_rows=8, n_labelled=6, n_by_champion=8, n_by_champion_labelled=6)
        >>> LabelsIn(as_of=day(9).end, covered=(coverage,), ended=frozenset({day(0)}), due=day(0)).open()
        ()
        """
        return tuple(coverage for coverage in self.covered if coverage.window not in self.ended)

    def news(self) -> tuple[Coverage, ...]:
        """Those open ones that labels came in for since they were measured early, or that never were."""
        return tuple(
            coverage
            for coverage in self.open()
            if not coverage.n_rows or self.earlier.get(coverage.window) != coverage.share
        )


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
        for coverage in labels.news()
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
    earlier: Mapping[Window, float] | None = None,
    since: datetime | None = None,
    store: Store,
) -> LabelsIn:
    """What was known, at the end of ``window``, of it and the windows before it: back to ``label.max_wait`` and more.

    Windows that began before ``since``, when it is given, are left out.
    """
    found = published_windows(store, config.model, ended_after=looked_back_to(config, window), ended_by=window.end)

    def coverage_of(past: Window) -> Coverage:
        return read_coverage(config, past, as_of=window.end, champion=champion, store=store)

    return labels_in(config, window, found, coverage_of, ended=ended, earlier=earlier, since=since)


def looked_back_to(config: ModelConfig, window: Window) -> datetime:
    """Windows that ended by then are looked at no more by the run of ``window``. Pure.

    >>> (day(99).end - looked_back_to(flights, day(99))).days
    50
    """
    return window.end - config.label.max_wait - WINDOWS_BEYOND_WAIT * (window.end - window.start)


def labels_in(
    config: ModelConfig,
    window: Window,
    published: Iterable[Window],
    coverage_of: Callable[[Window], Coverage],
    *,
    ended: frozenset[Window],
    earlier: Mapping[Window, float] | None = None,
    since: datetime | None = None,
) -> LabelsIn:
    """What was known at the end of ``window`` of the ``published`` windows since :func:`looked_back_to`.

    ``coverage_of`` counts one of them as of then.
    """
    windows = tuple(past for past in published if since is None or past.start >= since)
    due = newest_due(config, windows, window.end)
    covered = tuple(coverage_of(past) for past in windows if past not in ended or past == due)
    return LabelsIn(as_of=window.end, covered=covered, ended=ended, due=due, earlier=earlier or {})


def is_over(config: ModelConfig, measured: Signal, as_of: datetime) -> bool:
    """Whether what was measured of a window is not to be measured again as of a moment: late enough, or not yet. Pure.

    Early labels are no fair sample: what was measured before ``label.max_wait`` counts until then, and is measured once
    more after it.
    """
    until = measured.window.end + config.label.max_wait
    return measured.as_of >= until or as_of < until


def ended_and_earlier(
    config: ModelConfig, said: Iterable[Signal], as_of: datetime
) -> tuple[frozenset[Window], dict[Window, float]]:
    """The windows whose ``label_coverage`` an earlier run ended; and of those to look at again its last share. Pure."""
    ends = [signal for signal in said if signal.status != "breached" or not _was_waiting(config, signal)]
    ended = frozenset(signal.window for signal in ends if is_over(config, signal, as_of))
    return ended, {found.window: found.value for found in ends if found.window not in ended and found.value is not None}


def _was_waiting(config: ModelConfig, signal: Signal) -> bool:
    return signal.as_of < signal.window.end + config.label.max_wait


def read_ended(config: ModelConfig, as_of: datetime, *, store: Store) -> tuple[frozenset[Window], dict[Window, float]]:
    """What :func:`ended_and_earlier` says of the runs before ``as_of``."""
    return ended_and_earlier(config, signals.said(store, config.model, name=COVERAGE, before=as_of), as_of)


def read_waiting(config: ModelConfig, as_of: datetime, *, store: Store) -> tuple[Window, ...]:
    """The published windows that wait for their labels after the run of ``as_of``: neither measured nor given up."""
    published = published_windows(store, config.model, ended_after=as_of - config.label.max_wait, ended_by=as_of)
    said = signals.said(store, config.model, name=COVERAGE, before=as_of + timedelta.resolution)
    ended, _ = ended_and_earlier(config, said, as_of)
    return tuple(window for window in published if window not in ended)


def read_coverage(
    config: ModelConfig, window: Window, *, as_of: datetime, champion: str | None, store: Store
) -> Coverage:
    """Counts over the served rows of the window; a label counts when it had arrived before ``as_of``.

    Rows whose label the model caused itself are none of them.
    """
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
        .where(counted(predictions, window, as_of=as_of))
    )
    with store.begin() as connection:
        return Coverage(window=window, **connection.execute(query).one()._mapping)


def main_version(config: ModelConfig, window: Window, *, store: Store) -> str:
    """The version that scored most of a window's served rows, of which there is one at least, as known at its end."""
    predictions = predictions_table(config)
    version = predictions.c.model_version
    query = (
        select(version)
        .where(served(predictions, window, as_of=window.end))
        .group_by(version)
        .order_by(func.count().desc(), version)
        .limit(1)
    )
    with store.begin() as connection:
        found: str = connection.execute(query).scalar_one()
    return found


def count_unmatched(config: ModelConfig, window: Window, *, store: Store) -> tuple[int, int]:
    """As known at its end: the labels that the window's own batches published, and those without a prediction."""
    predictions, labels = predictions_table(config), labels_table(config)
    of_window = select(batches.c.seq).where(
        batches.c.model == config.model,
        batches.c.source == "labels",
        batches.c.status == "published",
        batches.c.window_start == window.start,
        batches.c.window_end == window.end,
    )
    matched = exists().where(predictions.c.prediction_id == labels.c.prediction_id, predictions.c.role != "shadow")
    query = select(func.count(), func.count().filter(~matched)).where(
        labels.c.batch_seq.in_(of_window), known(labels, window.end)
    )
    with store.begin() as connection:
        n_labels, n_unmatched = connection.execute(query).one()
    return int(n_labels), int(n_unmatched)
