"""Which windows have their labels in, as was known at a moment."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from sqlalchemy import and_, exists, func, select

from perennial.config import ModelConfig
from perennial.contracts import Signal, Window
from perennial.monitoring.rows import served
from perennial.monitoring.signals import Subject
from perennial.store import Store
from perennial.store.schema import batches, labels_table, predictions_table, signals

COVERAGE = "label_coverage"
UNMATCHED = "labels/unmatched"
MAX_UNMATCHED_SHARE = 0.5
"""More labels than this without a prediction and the label source belongs to something else."""
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
        """The share of served predictions with a label. Raises ZeroDivisionError for an empty window."""
        return self.n_labelled / self.n_rows


def maturity(config: ModelConfig, coverage: Coverage, as_of: datetime) -> Maturity:
    """Whether the window can be measured at ``as_of``, will never be, or waits for labels. Pure."""
    if not coverage.n_rows:
        return "empty"
    if coverage.share >= config.label.mature_share:
        return "mature"
    return "overdue" if as_of >= coverage.window.end + config.label.max_wait else "waiting"


def recent_windows(config: ModelConfig, window: Window, *, store: Store) -> tuple[Window, ...]:
    """Windows with published predictions that end with ``window`` or before it, oldest first.

    They reach back to ``label.max_wait`` and a few windows more.
    """
    oldest = window.end - config.label.max_wait - WINDOWS_BEYOND_WAIT * (window.end - window.start)
    query = (
        select(batches.c.window_start, batches.c.window_end)
        .distinct()
        .where(
            batches.c.model == config.model,
            batches.c.source == "predictions",
            batches.c.status == "published",
            batches.c.window_end <= window.end,
            batches.c.window_end > oldest,
        )
        .order_by(batches.c.window_start, batches.c.window_end)
    )
    with store.begin() as connection:
        return tuple(Window(start=row.window_start, end=row.window_end) for row in connection.execute(query))


def settled_windows(config: ModelConfig, as_of: datetime, *, store: Store) -> frozenset[Window]:
    """Windows that an earlier run found mature, empty, or past ``label.max_wait``: they are not measured again."""
    query = select(signals.c.window_start, signals.c.window_end, signals.c.as_of, signals.c.status).where(
        signals.c.model == config.model, signals.c.name == COVERAGE, signals.c.as_of < as_of
    )
    with store.begin() as connection:
        return frozenset(
            Window(start=row.window_start, end=row.window_end)
            for row in connection.execute(query)
            if row.status != "breached" or row.as_of >= row.window_end + config.label.max_wait
        )


def newest_expected(config: ModelConfig, windows: tuple[Window, ...], as_of: datetime) -> Window | None:
    """The newest window whose labels should be in as a rule: every event of it is ``label.delay`` old. Pure."""
    return max((past for past in windows if past.end + config.label.delay <= as_of), key=_by_end, default=None)


def _by_end(window: Window) -> datetime:
    return window.end


def read_coverage(
    config: ModelConfig, window: Window, *, as_of: datetime, champion: str | None, store: Store
) -> Coverage:
    """Counts over all served rows of the window; a label counts when it had arrived before ``as_of``."""
    predictions, labels = predictions_table(config), labels_table(config)
    arrived = and_(labels.c.prediction_id == predictions.c.prediction_id, labels.c.labelled_at < as_of)
    by_champion = predictions.c.model_version == champion
    n_labelled = func.count(labels.c.prediction_id)
    query = (
        select(
            func.count().label("n_rows"),
            n_labelled.label("n_labelled"),
            func.count().filter(by_champion).label("n_by_champion"),
            n_labelled.filter(by_champion).label("n_by_champion_labelled"),
        )
        .select_from(predictions.outerjoin(labels, arrived))
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


def coverage_signal(config: ModelConfig, subject: Subject, coverage: Coverage) -> Signal:
    """``label_coverage``: the share of served predictions with a label; pages someone once it is overdue. Pure."""
    least = config.label.mature_share
    found = maturity(config, coverage, subject.as_of)
    if found == "empty":
        return subject.unknown(COVERAGE, "watch", "the window holds no served prediction", threshold=least)
    until = coverage.window.end + config.label.max_wait
    ends = {
        "overdue": f"; waited for until {until.isoformat()}, it will not be measured",
        "waiting": f"; waiting until {until.isoformat()}",
    }
    return subject.known(
        COVERAGE,
        "alert" if found == "overdue" else "watch",
        coverage.share,
        threshold=least,
        breached=found != "mature",
        detail=f"{coverage.n_labelled} of {coverage.n_rows} predictions have a label{ends.get(found, '')}",
    )


def unmatched_signal(config: ModelConfig, subject: Subject, *, store: Store) -> Signal:
    """``labels/unmatched``: the share of the labels that this run delivered for which there is no prediction."""
    predictions, labels = predictions_table(config), labels_table(config)
    delivered = select(batches.c.seq).where(
        batches.c.model == config.model,
        batches.c.source == "labels",
        batches.c.status == "published",
        batches.c.window_start == subject.window.start,
        batches.c.window_end == subject.window.end,
    )
    matched = exists().where(predictions.c.prediction_id == labels.c.prediction_id)
    query = select(func.count().label("n_labels"), func.count().filter(~matched).label("n_unmatched")).where(
        labels.c.batch_seq.in_(delivered)
    )
    with store.begin() as connection:
        found = connection.execute(query).one()
    if not found.n_labels:
        return subject.unknown(UNMATCHED, "watch", "no labels were delivered", threshold=MAX_UNMATCHED_SHARE)
    detail = f"{found.n_unmatched} of {found.n_labels} delivered labels have no prediction"
    return subject.above(UNMATCHED, "watch", found.n_unmatched / found.n_labels, MAX_UNMATCHED_SHARE, detail=detail)
