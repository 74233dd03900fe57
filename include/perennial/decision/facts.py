"""What a decision rests on, read from PostgreSQL in a handful of aggregates."""

import math
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import and_, func, select
from sqlalchemy.dialects.postgresql import distinct_on

from perennial.config import ModelConfig
from perennial.contracts import BakeState, ReleaseState, Signal, SourceKind, Window
from perennial.store import Store, schema

SOURCES: tuple[SourceKind, ...] = ("predictions", "labels")


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """Everything that :func:`perennial.decision.policy.decide` looks at.

    ``batch_ids`` are the newest batches of the window; ``halted`` says why nothing can be decided on them. ``signals``
    are those of the present champion's version, of the last windows seen, each as it was measured last. The three
    counts are labelled rows of the role champion whose labels had arrived by the end of the window: ``n_new_labels``
    of events after the champion's holdout, ``n_train_rows`` and ``n_holdout_rows`` in the stretches that a training as
    of now would use.
    """

    window: Window
    state: ReleaseState
    champion_alias: str | None
    batch_ids: tuple[str, ...] = ()
    halted: str | None = None
    signals: tuple[Signal, ...] = ()
    n_new_labels: int = 0
    n_train_rows: int = 0
    n_holdout_rows: int = 0

    @property
    def bake(self) -> BakeState:
        """How far the champion's probation is."""
        if self.state.champion is None:
            return "none"
        if self.state.bake_failed:
            return "failed"
        return "running" if self.state.in_bake else "passed"

    @property
    def newest(self) -> tuple[Signal, ...]:
        """Every signal as it stands in its own newest window, sorted by name."""
        found = {signal.name: signal for signal in sorted(self.signals, key=lambda signal: signal.window.start)}
        return tuple(found[name] for name in sorted(found))

    @property
    def measured(self) -> tuple[Signal, ...]:
        """What the run of this window measured itself, of whatever window, sorted by name."""
        mine = (signal for signal in self.signals if signal.as_of == self.window.end)
        return tuple(sorted(mine, key=lambda signal: (signal.name, signal.window.start)))


def gather(
    config: ModelConfig, window: Window, *, store: Store, state: ReleaseState, champion_alias: str | None
) -> Facts:
    """The facts about one window, as far as they were known at its end. Raises StoreUnavailable."""
    batch_ids, halted = _batches(config, window, store)
    facts = Facts(window=window, state=state, champion_alias=champion_alias, batch_ids=batch_ids, halted=halted)
    if state.champion is None:
        n_train_rows, n_holdout_rows = _first_rows(config, window, store)
        return replace(facts, n_train_rows=n_train_rows, n_holdout_rows=n_holdout_rows)
    fitted = state.fits.get(state.champion)
    n_new = _labelled(config, fitted.holdout.end, window.end, window.end, store)[1] if fitted else 0
    return replace(facts, signals=_signals(config, window, store, state.champion), n_new_labels=n_new)


def _batches(config: ModelConfig, window: Window, store: Store) -> tuple[tuple[str, ...], str | None]:
    """Ids of the batch per source that was delivered last, and why nothing can be decided on them (None: it can)."""
    table = schema.batches
    of_window = and_(
        table.c.model == config.model, table.c.window_start == window.start, table.c.window_end == window.end
    )
    newest = (
        select(table)
        .where(of_window)
        .ext(distinct_on(table.c.source))
        .order_by(table.c.source, table.c.delivered_at.desc(), table.c.seq.desc())
    )
    published = select(func.coalesce(func.sum(table.c.n_published), 0)).where(
        of_window, table.c.source == "predictions", table.c.status == "published"
    )
    with store.begin() as connection:
        found = {row.source: row for row in connection.execute(newest)}
        n_published = int(connection.scalar(published) or 0)
    ids = tuple(str(found[source].batch_id) for source in SOURCES if source in found)
    problems = [problem for source in SOURCES if source in found and (problem := _problem(found[source]))]
    if not problems and n_published == 0:
        problems = [f"no predictions are published for {window.key}: deliver them, and run this window again"]
    return ids, "; ".join(problems) or None


def _problem(batch: Any) -> str | None:
    if batch.status == "halted":
        return f"the {batch.source} of {batch.n_staged} rows were not published: {batch.reason}"
    if batch.status == "staged":
        return f"the {batch.source} are staged but neither audited nor published: run this window again"
    return None


def _labelled(
    config: ModelConfig, start: datetime, end: datetime, arrived_by: datetime, store: Store
) -> tuple[int, int]:
    """Champion rows with event time in ``[start, end)``, and those of them with a label before ``arrived_by``."""
    if end <= start:
        return 0, 0
    rows, labels = schema.predictions_table(config), schema.labels_table(config)
    arrived = and_(rows.c.prediction_id == labels.c.prediction_id, labels.c.labelled_at < arrived_by)
    query = (
        select(func.count(), func.count(labels.c.prediction_id))
        .select_from(rows.outerjoin(labels, arrived))
        .where(rows.c.role == "champion", rows.c.event_time >= start, rows.c.event_time < end)
    )
    with store.begin() as connection:
        n_rows, n_labelled = connection.execute(query).one()
    return int(n_rows), int(n_labelled)


def _first_rows(config: ModelConfig, window: Window, store: Store) -> tuple[int, int]:
    """Labelled rows that a first training as of the window's end would be fitted on, and later ones to judge it by.

    The holdout ends where labels are in as a rule (``label.delay``), or whole windows earlier while they are not.
    """
    length = window.end - window.start
    for step in range(math.ceil(config.label.max_wait / length) + 1):
        end = window.end - config.label.delay - step * length
        cut = end - config.training.holdout
        n_rows, n_holdout = _labelled(config, cut, end, window.end, store)
        if n_rows and n_holdout >= config.label.mature_share * n_rows:
            return _labelled(config, cut - config.training.train, cut, window.end, store)[1], n_holdout
    return 0, 0


def _signals(config: ModelConfig, window: Window, store: Store, version: str) -> tuple[Signal, ...]:
    """Signals of a version in the last windows seen, as measured last by the end of ``window``; oldest first.

    So many windows are read that the last ``n`` of a signal that waits for its labels are among them. Windows of other
    versions count as seen: what a version showed before another one served grows old meanwhile.
    """
    table = schema.signals
    lag = math.ceil(config.label.max_wait / (window.end - window.start))
    known = and_(
        table.c.model == config.model,
        table.c.window_start <= window.start,
        table.c.as_of <= window.end,
    )
    seen = (
        select(table.c.window_start)
        .distinct()
        .where(known)
        .order_by(table.c.window_start.desc())
        .limit(config.policy.breaches.n + lag)
    )
    key = (table.c.window_start, table.c.window_end, table.c.name)
    query = (
        select(table)
        .where(known, table.c.version == version, table.c.window_start.in_(seen))
        .ext(distinct_on(*key))
        .order_by(*key, table.c.as_of.desc())
    )
    with store.begin() as connection:
        rows = connection.execute(query).all()
    return tuple(
        Signal(
            model=row.model,
            window=Window(start=row.window_start, end=row.window_end),
            as_of=row.as_of,
            name=row.name,
            role=row.role,
            status=row.status,
            value=row.value,
            threshold=row.threshold,
            version=row.version,
            detail=row.detail,
        )
        for row in rows
    )
