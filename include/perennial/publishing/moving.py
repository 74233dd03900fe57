"""Accepted rows into the model's table, in the publishing transaction: new ones, corrections, and what is neither."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import sqlalchemy as sa

from perennial import ledger
from perennial.config import ModelConfig
from perennial.contracts import Batch
from perennial.evidence.deliveries.delivered import newest_delivered
from perennial.publishing import keys, versions
from perennial.publishing.numbered import among, without
from perennial.store import Store, bulk, statements
from perennial.store.schema import delivered_columns, labels_table, predictions_table, quarantine, row_key

_NONE: npt.NDArray[np.int64] = np.array([], dtype=np.int64)
Rows = Callable[[list[str] | None], Iterator[pa.RecordBatch]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """What became of rows: published (``n_corrected`` of them before, too), contradicting others, or equal to one."""

    n_published: int = 0
    n_corrected: int = 0
    n_conflicts: int = 0
    n_duplicate: int = 0


def move(
    cursor: Any, seq: int, config: ModelConfig, batch: Batch, rows: Rows, *, store: Store, keys_checked: bool
) -> Moved:
    """COPY the rows (``row_number`` and the delivered columns); contradicting ones go to the quarantine.

    Without ``keys_checked`` a key that is taken raises the driver's unique violation, and there is nothing to correct.
    """
    target = labels_table(config) if batch.source == "labels" else predictions_table(config)
    if not keys_checked:
        return Moved(n_published=copy(cursor, target, _new(rows(None), target, seq, _NONE)))
    conflicts, again = _keys(cursor, target, rows, seq, with_labels=batch.source == "labels")
    n_new = copy(cursor, target, _new(rows(None), target, seq, np.union1d(conflicts, again)))
    n_corrected, n_differing = _compare(cursor, target, rows, again, seq, config=config, batch=batch, store=store)
    return Moved(
        n_published=n_new + n_corrected,
        n_corrected=n_corrected,
        n_conflicts=len(conflicts) + n_differing,
        n_duplicate=len(again) - n_corrected - n_differing,
    )


def _keys(
    cursor: Any, target: sa.Table, rows: Rows, seq: int, *, with_labels: bool
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Row numbers that contradict each other within the batch (quarantined here), and those whose key is taken."""
    names = [*row_key(target), *(["label"] if with_labels else [])]
    arriving = statements.temporary(keys.ARRIVING, [target.c[name] for name in names])
    statements.run(cursor, statements.create(arriving))
    copy(cursor, arriving, rows(["row_number", *names]), temporary=True)
    conflicts = _NONE
    if with_labels:
        conflicts = _quarantine_conflicts(cursor, arriving, target, rows, seq)
    statements.run(cursor, keys.taken(arriving, target))
    found: npt.NDArray[np.int64] = cursor.fetch_arrow_table().column("row_number").to_numpy()
    return conflicts, np.setdiff1d(found, conflicts)


def _quarantine_conflicts(
    cursor: Any, arriving: sa.Table, target: sa.Table, rows: Rows, seq: int
) -> npt.NDArray[np.int64]:
    statements.run(cursor, keys.contradicting(arriving, target))
    numbers: npt.NDArray[np.int64] = cursor.fetch_arrow_table().column("row_number").to_numpy()
    if len(numbers):
        table = _whole_rows(cursor, keys.CONTRADICTING, target, among(rows(None), numbers))
        statements.run(cursor, keys.quarantine_contradicting(table, target, seq))
    return numbers


def _compare(
    cursor: Any,
    target: sa.Table,
    rows: Rows,
    again: npt.NDArray[np.int64],
    seq: int,
    *,
    config: ModelConfig,
    batch: Batch,
    store: Store,
) -> tuple[int, int]:
    """Of rows whose key is taken, correct by those that may, and quarantine others that differ; how many of each."""
    if not len(again):
        return 0, 0
    table = _whole_rows(cursor, keys.AGAIN, target, among(rows(None), again))
    n_corrected = _correct(cursor, table, target, seq, config=config, batch=batch, store=store)
    statements.run(cursor, keys.quarantine_differing(table, target, seq))
    counted = (
        sa.select(sa.func.count())
        .select_from(quarantine)
        .join(table, table.c.row_number == quarantine.c.row_number)
        .where(quarantine.c.batch_seq == seq)
    )
    return n_corrected, int(statements.scalar(cursor, counted))


def _correct(
    cursor: Any, again: sa.Table, target: sa.Table, seq: int, *, config: ModelConfig, batch: Batch, store: Store
) -> int:
    statements.run(cursor, versions.added(config.model))
    added = dict(cursor.fetchall())
    decided = ledger.newest_decided(store, config.model)
    if decided is not None:
        # a window that was staged since may be measured at this moment: its run sees nothing of it, rather than a part
        decided = max(decided, newest_delivered(config, batch.window, store=store) or decided)
    by = versions.Correcting(seq=seq, window=batch.window, decided=decided, added=added)
    statements.run(cursor, statements.create(versions.CORRECTING))
    statements.run(cursor, versions.find(again, target, by))
    n_corrected = int(statements.scalar(cursor, sa.select(sa.func.count()).select_from(versions.CORRECTING)))
    if n_corrected:
        statements.run(cursor, versions.fill(again, target))
        statements.run(cursor, versions.keep(again, target))
        statements.run(cursor, versions.correct(again, target, seq))
    return n_corrected


def _whole_rows(cursor: Any, name: str, target: sa.Table, rows: Iterator[pa.RecordBatch]) -> sa.Table:
    table = statements.temporary(name, [c for c in delivered_columns(target) if c.name != "batch_seq"])
    statements.run(cursor, statements.create(table))
    copy(cursor, table, rows, temporary=True)
    return table


def copy(cursor: Any, table: sa.Table, batches: Iterator[pa.RecordBatch], *, temporary: bool = False) -> int:
    """COPY record batches into a table; the number of rows. No batch, no schema, nothing to copy."""
    first = next(batches, None)
    if first is None:
        return 0
    n_rows = 0

    def counted() -> Iterator[pa.RecordBatch]:
        nonlocal n_rows
        for one in chain([first], batches):
            n_rows += one.num_rows
            yield one

    bulk.copy_in(cursor, table, bulk.reader_of(first.schema, counted()), temporary=temporary)
    return n_rows


def _new(
    rows: Iterator[pa.RecordBatch], target: sa.Table, seq: int, skipped: npt.NDArray[np.int64]
) -> Iterator[pa.RecordBatch]:
    names = [column.name for column in delivered_columns(target)]
    for one in without(rows, skipped):
        kept = one.drop_columns(["row_number"])
        yield kept.append_column("batch_seq", pa.repeat(seq, kept.num_rows).cast(pa.int64())).select(names)
