"""The batches of a model: which one of a window is the newest, what became of it, what its audit counted."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, and_, column, func, or_, select, table, update
from sqlalchemy.dialects.postgresql import distinct_on

from perennial.contracts import Batch, SourceKind, Window, from_record
from perennial.store.engine import Store
from perennial.store.schema import batches

SOURCES: tuple[SourceKind, ...] = ("predictions", "labels")


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchAccount:
    """One batch in the books: its state and the account of its rows."""

    batch_id: str
    source: SourceKind
    status: str
    reason: str
    n_staged: int
    n_published: int
    n_quarantined: int
    n_duplicate: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Completeness:
    """Whether all of a window's rows from one source are there.

    ``n_expected`` (what a manifest promises, or None), ``n_arrived``, ``n_quarantined`` and ``status`` are those of the
    newest delivery; ``n_published`` is of all, each row once. ``n_late`` of them came with a later delivery than the
    first that was published. ``n_corrected`` times a published row was corrected, or a new column of it filled.
    """

    source: SourceKind
    status: str
    n_expected: int | None
    n_arrived: int
    n_quarantined: int
    n_published: int
    n_late: int
    n_corrected: int


_ACCOUNT = tuple(batches.c[name] for name in BatchAccount.__dataclass_fields__)


def mark_delivered(store: Store, batch_id: str) -> None:
    """The batch is what the source holds now: a good one sent again after a broken one is the newest again.

    Raises StoreUnavailable.
    """
    statement = update(batches).where(batches.c.batch_id == batch_id).values(delivered_at=func.clock_timestamp())
    with store.begin() as connection:
        connection.execute(statement)


def published_audit(store: Store, batch_id: str) -> dict[str, Any] | None:
    """The record of the audit with which a batch was published; None before that."""
    query = select(batches.c.audit).where(batches.c.batch_id == batch_id, batches.c.status == "published")
    with store.begin() as connection:
        found: dict[str, Any] | None = connection.execute(query).scalar()
    return found


def record_audit(store: Store, batch_id: str, audit: dict[str, Any]) -> None:
    """Write the audit of a batch; a published one keeps the audit it was published with."""
    statement = (
        update(batches).where(batches.c.batch_id == batch_id, batches.c.status != "published").values(audit=audit)
    )
    with store.begin() as connection:
        connection.execute(statement)


def newest(store: Store, model: str, window: Window) -> tuple[BatchAccount, ...]:
    """The batch of each source of a window that was delivered last, in the order of SOURCES."""
    query = (
        select(*_ACCOUNT)
        .where(_of_window(model, window))
        .ext(distinct_on(batches.c.source))
        .order_by(batches.c.source, batches.c.delivered_at.desc(), batches.c.seq.desc())
    )
    with store.begin() as connection:
        found = {row.source: BatchAccount(**row._mapping) for row in connection.execute(query)}
    return tuple(found[source] for source in SOURCES if source in found)


def n_published(store: Store, model: str, window: Window) -> int:
    """Number of predictions of a window that were published, by all its batches."""
    query = select(func.coalesce(func.sum(batches.c.n_published - batches.c.n_corrected), 0)).where(
        _of_window(model, window), batches.c.source == "predictions", batches.c.status == "published"
    )
    with store.begin() as connection:
        return int(connection.scalar(query) or 0)


def published_windows(
    store: Store, model: str, *, ended_after: datetime | None = None, ended_by: datetime
) -> tuple[Window, ...]:
    """Windows with published predictions that ended after one moment and at another at the latest, oldest first."""
    query = (
        select(batches.c.window_start, batches.c.window_end)
        .distinct()
        .where(
            batches.c.model == model,
            batches.c.source == "predictions",
            batches.c.status == "published",
            batches.c.window_end <= ended_by,
            *([] if ended_after is None else [batches.c.window_end > ended_after]),
        )
        .order_by(batches.c.window_start, batches.c.window_end)
    )
    with store.begin() as connection:
        return tuple(Window(start=row.window_start, end=row.window_end) for row in connection.execute(query))


def delivered_windows(store: Store, model: str, *, ended_by: datetime) -> tuple[Window, ...]:
    """Windows that any predictions were delivered for, published or not, that ended by a moment, oldest first."""
    query = (
        select(batches.c.window_start, batches.c.window_end)
        .distinct()
        .where(batches.c.model == model, batches.c.source == "predictions", batches.c.window_end <= ended_by)
        .order_by(batches.c.window_start, batches.c.window_end)
    )
    with store.begin() as connection:
        return tuple(Window(start=row.window_start, end=row.window_end) for row in connection.execute(query))


def audits(store: Store, model: str, window: Window) -> tuple[dict[str, Any], ...]:
    """The records of the audits of a window's published predictions."""
    query = select(batches.c.audit).where(
        _of_window(model, window),
        batches.c.source == "predictions",
        batches.c.status == "published",
        batches.c.audit.is_not(None),
    )
    with store.begin() as connection:
        return tuple(connection.scalars(query))


@dataclass(frozen=True, slots=True, kw_only=True)
class Unpublished:
    """A batch of which rows are not published: those in quarantine, or all."""

    batch: Batch
    published: bool


def unpublished(store: Store, model: str, stretch: Window) -> tuple[Unpublished, ...]:
    """The batches of windows within a stretch with rows in quarantine, and those never published, as they were staged.

    Of the latter those that were delivered last for their window: the others were replaced.
    """
    key = (batches.c.window_start, batches.c.window_end, batches.c.source)
    last = func.first_value(batches.c.seq).over(
        partition_by=key, order_by=(batches.c.delivered_at.desc(), batches.c.seq.desc())
    )
    of_stretch = select(batches.c.seq, batches.c.status, batches.c.n_quarantined, batches.c.staged, last.label("last"))
    of_stretch = of_stretch.where(
        batches.c.model == model, batches.c.window_start >= stretch.start, batches.c.window_end <= stretch.end
    )
    found = of_stretch.subquery()
    published = found.c.status == "published"
    query = (
        select(found.c.staged, published.label("published"))
        .where(or_(and_(published, found.c.n_quarantined > 0), and_(~published, found.c.seq == found.c.last)))
        .order_by(found.c.seq)
    )
    with store.begin() as connection:
        return tuple(
            Unpublished(batch=from_record(Batch, row.staged), published=row.published)
            for row in connection.execute(query)
        )


def completeness(store: Store, model: str) -> dict[str, tuple[Completeness, ...]]:
    """The account of every window, by its key: one for each source that was ever looked at, predictions first."""
    names = ("model", "window_start", "window_end", *Completeness.__dataclass_fields__)
    view = table("completeness", *map(column, names), schema="perennial")
    found: dict[str, list[Completeness]] = {}
    with store.begin() as connection:
        for row in connection.execute(select(view).where(view.c.model == model).order_by(view.c.source.desc())):
            window = Window(start=row.window_start, end=row.window_end)
            values = {name: row._mapping[name] for name in Completeness.__dataclass_fields__}
            found.setdefault(window.key, []).append(Completeness(**values))
    return {key: tuple(rows) for key, rows in found.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """What was ever delivered from one source. Published rows count each time that they were corrected."""

    source: SourceKind
    n_staged: int
    n_published: int
    n_quarantined: int
    n_halted: int


def totals(store: Store, model: str) -> tuple[Totals, ...]:
    """The sums over all batches of a model, by source."""
    rows = ("n_staged", "n_published", "n_quarantined")
    n_halted = func.count().filter(batches.c.status == "halted").label("n_halted")
    query = select(batches.c.source, *(func.sum(batches.c[name]).label(name) for name in rows), n_halted)
    query = query.where(batches.c.model == model).group_by(batches.c.source).order_by(batches.c.source)
    with store.begin() as connection:
        found = connection.execute(query).all()
    counted = (*rows, "n_halted")
    return tuple(Totals(source=row.source, **{name: int(row._mapping[name]) for name in counted}) for row in found)


def accounts(store: Store, model: str) -> dict[str, BatchAccount]:
    """The account of every batch of predictions, by its id."""
    query = select(*_ACCOUNT).where(batches.c.model == model, batches.c.source == "predictions")
    with store.begin() as connection:
        return {row.batch_id: BatchAccount(**row._mapping) for row in connection.execute(query)}


def _of_window(model: str, window: Window) -> ColumnElement[bool]:
    return and_(batches.c.model == model, batches.c.window_start == window.start, batches.c.window_end == window.end)
