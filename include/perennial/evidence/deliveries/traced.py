"""Where published rows came from: the deliveries that brought them, and what was frozen of them."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pyarrow as pa
from sqlalchemy import ColumnElement, Select, exists, false, func, or_, select, union

from perennial.config import ModelConfig
from perennial.contracts import Snapshot, SourceKind, Window, from_record
from perennial.evidence.rows import arrived, counted
from perennial.store import Store
from perennial.store.schema import KNOWN_AT, SUPERSEDED, batches, labels_table, predictions_table, snapshots


@dataclass(frozen=True, slots=True, kw_only=True)
class TracedBatch:
    """One batch: the files it came as, the digest over their content, and what became of its rows. No files and an
    empty digest are of one that was published without being staged."""

    seq: int
    batch_id: str
    source: SourceKind
    window: Window
    status: str
    digest: str
    files: tuple[str, ...]
    n_staged: int
    n_published: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TracedRow:
    """One version of a published prediction; ``known_at`` is from when on it counts, None for the first version."""

    event_time: datetime
    model_version: str
    role: str
    score: float | None
    predicted: str | None
    known_at: datetime | None
    batch_seq: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TracedLabel:
    """One version of a published label, as ``label`` text or number."""

    label: str | float
    labelled_at: datetime
    known_at: datetime | None
    batch_seq: int


def trace(
    config: ModelConfig, prediction_id: str, *, store: Store
) -> tuple[tuple[TracedRow, ...], tuple[TracedLabel, ...]]:
    """Every version of a prediction, in every role, and of its label; the newest first. Empty for an unknown id."""
    predictions, labels = predictions_table(config), labels_table(config)
    row_names = ("event_time", "model_version", "role", "score", "predicted", "batch_seq")
    rows = select(*(predictions.c[name] for name in row_names), predictions.c[KNOWN_AT].label("known_at"))
    rows = rows.where(predictions.c.prediction_id == prediction_id)
    label_rows = select(*(labels.c[name] for name in ("label", "labelled_at", "batch_seq")))
    label_rows = label_rows.add_columns(labels.c[KNOWN_AT].label("known_at")).where(
        labels.c.prediction_id == prediction_id
    )
    with store.begin() as connection:
        return (
            tuple(
                TracedRow(**row._mapping)
                for row in connection.execute(rows.order_by(predictions.c.role, *_newest_first(predictions)))
            ),
            tuple(
                TracedLabel(**row._mapping) for row in connection.execute(label_rows.order_by(*_newest_first(labels)))
            ),
        )


def features_of(config: ModelConfig, prediction_id: str, role: str, *, store: Store) -> pa.Table:
    """The features of a prediction as they are known now, with their types in the store: one row, or none."""
    predictions = predictions_table(config)
    query = select(*(predictions.c[name] for name in config.features)).where(
        predictions.c.prediction_id == prediction_id, predictions.c.role == role, predictions.c[SUPERSEDED] == 0
    )
    with store.begin() as connection:
        found = [dict(row._mapping) for row in connection.execute(query)]
    kinds = {"float": pa.float64(), "int": pa.int64(), "bool": pa.bool_(), "category": pa.string()}
    schema = pa.schema({name: kinds[spec.type] for name, spec in config.features.items()})
    return pa.Table.from_pylist(found, schema=schema)


def _newest_first(table: Any) -> tuple[ColumnElement[Any], ...]:
    """The newest version is number 0, the one before it has the highest number."""
    return (table.c[SUPERSEDED] > 0, table.c[SUPERSEDED].desc())


def find_deliveries(config: ModelConfig, named: str, *, store: Store) -> tuple[TracedBatch, ...]:
    """The batches with this number, this id (or its first eight letters or more), or this file among theirs.

    A file is named as it was delivered, or by the end of its path. In the order they came.
    """
    files = func.jsonb_array_elements_text(batches.c.staged["files"]).table_valued("value")
    of_file = or_(files.c.value == named, files.c.value.endswith(f"/{named}", autoescape=True))
    wanted = [batches.c.batch_id == named, exists(select(1).select_from(files).where(of_file))]
    if len(named) >= 8:  # noqa: PLR2004 - shorter beginnings name many
        wanted.append(batches.c.batch_id.startswith(named, autoescape=True))
    if named.isascii() and named.isdecimal() and len(named) < 19:  # noqa: PLR2004 - within a bigint
        wanted.append(batches.c.seq == int(named))
    return _read(config, or_(*wanted), store=store)


def deliveries(config: ModelConfig, seqs: Iterable[int], *, store: Store) -> tuple[TracedBatch, ...]:
    """The batches with these numbers, in the order they came."""
    wanted = list(seqs)
    return _read(config, batches.c.seq.in_(wanted) if wanted else false(), store=store)


def _read(config: ModelConfig, wanted: ColumnElement[bool], *, store: Store) -> tuple[TracedBatch, ...]:
    names = ("seq", "batch_id", "source", "window_start", "window_end", "status", "n_staged", "n_published")
    staged = [batches.c.staged[name].label(name) for name in ("digest", "files")]
    query = select(*(batches.c[name] for name in names), *staged)
    query = query.where(batches.c.model == config.model, wanted).order_by(batches.c.seq)
    with store.begin() as connection:
        found = connection.execute(query).all()
    return tuple(
        TracedBatch(
            seq=row.seq,
            batch_id=row.batch_id,
            source=row.source,
            window=Window(start=row.window_start, end=row.window_end),
            status=row.status,
            digest=row.digest or "",
            files=tuple(row.files or ()),
            n_staged=row.n_staged,
            n_published=row.n_published,
        )
        for row in found
    )


def batches_of(config: ModelConfig, snapshot: Snapshot, *, store: Store) -> tuple[int, ...]:
    """The numbers of the batches that brought the rows and labels of a snapshot.

    Of one from before they were kept: those of the rows that lie in its stretches now, as known at its moment, which
    may be more than were frozen: rows that came late, and stretches that were excluded.
    """
    if snapshot.batches:
        return snapshot.batches
    parts = [
        _numbers(config, stretch, snapshot.as_of, source)
        for stretch in snapshot.stretches
        for source in ("predictions", "labels")
    ]
    with store.begin() as connection:
        return tuple(sorted(connection.scalars(union(*parts))))


def _numbers(config: ModelConfig, stretch: Window, as_of: datetime, source: str) -> Select[Any]:
    predictions, labels = predictions_table(config), labels_table(config)
    rows = predictions if source == "predictions" else labels
    return (
        select(rows.c.batch_seq)
        .distinct()
        .select_from(predictions.join(labels, arrived(predictions, labels, as_of)))
        .where(counted(predictions, stretch, as_of=as_of))
    )


def read_snapshots(config: ModelConfig, *, store: Store) -> tuple[Snapshot, ...]:
    """Every snapshot of a model, in the order they were frozen."""
    query = select(snapshots.c.record).where(snapshots.c.model == config.model).order_by(snapshots.c.recorded_at)
    with store.begin() as connection:
        return tuple(from_record(Snapshot, record) for record in connection.scalars(query))
