"""Publish: the accepted rows of a batch into the model's table, all or nothing, once.

Everything happens in one transaction that holds the model's publish lock, so a killed process leaves nothing behind and
two processes never count the same row.
"""

from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import chain
from typing import Any

import adbc_driver_manager
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import sqlalchemy as sa

from perennial.config import ModelConfig
from perennial.contracts import Audit, Batch, Publication
from perennial.errors import IntegrityError, LockTimeout
from perennial.evidence.causes import Causes, count_causes, within_limits
from perennial.publishing import keys
from perennial.publishing.numbered import among, without
from perennial.store import Store, bulk, statements
from perennial.store.schema import batches, labels_table, predictions_table, quarantine

_LOCK_TIMEOUT_S = 600
_LOCK_NOT_AVAILABLE = "55P03"
_UNIQUE_VIOLATION = "23505"
_WORK_MEM = "64MB"
_NONE: npt.NDArray[np.int64] = np.array([], dtype=np.int64)
_Rows = Callable[[list[str] | None], Iterator[pa.RecordBatch]]


class _KeyTaken(Exception):
    """A key of the batch is published already, or stands twice in it: the keys have to be compared."""


class _TooManyContradictions(Exception):
    """Rolls the transaction back; the batch halts with this reason."""


def publish(config: ModelConfig, batch: Batch, audit: Audit, *, store: Store) -> Publication:
    """Move what the audit accepted into the model's table and account for every staged row.

    A key (prediction id and role; for labels the prediction id) is published once: the first row wins, a later equal
    row is a duplicate, and a later row that differs goes to quarantine with both values in its reason. Labels that
    contradict each other within one delivery are all quarantined. A batch that was published already answers with its
    recorded account.
    Raises LockTimeout, StoreUnavailable, and IntegrityError when the account does not add up.
    """
    if audit.verdict == "halt":
        return _halt(batch, audit, audit.reason, store)
    try:
        if batch.source == "predictions":  # nearly always new: what is not is found by the primary key itself
            with suppress(_KeyTaken):
                return _in_one_transaction(config, batch, audit, store, keys_checked=False)
        return _in_one_transaction(config, batch, audit, store, keys_checked=True)
    except _TooManyContradictions as contradiction:
        return _halt(batch, audit, str(contradiction), store)
    except adbc_driver_manager.Error as error:
        if error.sqlstate == _LOCK_NOT_AVAILABLE:
            raise LockTimeout(
                f"{config.model}: another run held the publish lock for over {_LOCK_TIMEOUT_S} s; try again later"
            ) from error
        raise IntegrityError(f"batch {batch.batch_id} of {config.model} was not published: {error}") from error


def _in_one_transaction(
    config: ModelConfig, batch: Batch, audit: Audit, store: Store, *, keys_checked: bool
) -> Publication:
    """Publish, or answer with the recorded account. Raises _KeyTaken when unchecked keys are taken."""
    with bulk.bulk_transaction(store) as cursor:
        seq, recorded = _locked(cursor, config, batch)
        try:
            return recorded or _publish(cursor, seq, config, batch, audit, store=store, keys_checked=keys_checked)
        except adbc_driver_manager.Error as error:
            if error.sqlstate == _UNIQUE_VIOLATION and not keys_checked:
                raise _KeyTaken from error  # ADBC can not return to a savepoint: all anew, in another transaction
            raise


def _locked(cursor: Any, config: ModelConfig, batch: Batch) -> tuple[int, Publication | None]:
    """Take the model's publish lock; the batch's number, and its account if it was published meanwhile."""
    cursor.execute("SELECT set_config('lock_timeout', $1, true)", (f"{_LOCK_TIMEOUT_S}s",))
    cursor.execute("SELECT set_config('work_mem', $1, true)", (_WORK_MEM,))
    key = f"perennial:publish:{config.model}"
    cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", (key,))
    cursor.fetchall()
    query = sa.select(
        batches.c.seq, batches.c.status, batches.c.reason, batches.c.n_staged, batches.c.n_published,
        batches.c.n_quarantined, batches.c.n_duplicate,
    ).where(batches.c.batch_id == batch.batch_id)  # fmt: skip
    statements.run(cursor, query)
    row = cursor.fetchone()
    if row is None:
        raise IntegrityError(f"batch {batch.batch_id} of {config.model} was never staged")
    seq, status, reason, n_staged, n_published, n_quarantined, n_duplicate = row
    if status != "published":
        return seq, None
    recorded = Publication(
        batch_id=batch.batch_id,
        status="published",
        reason=reason,
        n_staged=n_staged,
        n_published=n_published,
        n_quarantined=n_quarantined,
        n_duplicate=n_duplicate,
    )
    return seq, recorded


def _publish(
    cursor: Any, seq: int, config: ModelConfig, batch: Batch, audit: Audit, *, store: Store, keys_checked: bool
) -> Publication:
    target = predictions_table(config) if batch.source == "predictions" else labels_table(config)

    def rows(columns: list[str] | None) -> Iterator[pa.RecordBatch]:
        return store.storage.read_batches(audit.accepted_uri, columns) if audit.accepted_uri else iter(())

    skipped, conflicts, again = _NONE, _NONE, _NONE
    n_conflicts = n_published = 0
    if audit.n_accepted:
        if keys_checked:
            conflicts, again = _keys(cursor, target, rows, seq, with_labels=batch.source == "labels")
            skipped = np.union1d(conflicts, again)
        n_published = _copy(cursor, target, _new(rows(None), target, seq, skipped))
        n_conflicts = len(conflicts) + _compare(cursor, target, rows, again, seq)
    n_quarantined = audit.n_quarantined + n_conflicts
    causes = count_causes(_quarantined(cursor, seq, audit, store)) if n_conflicts else Causes()
    _halt_over_limit(config, batch, n_quarantined, n_conflicts, causes)
    if audit.quarantine_uri and audit.n_quarantined:
        _copy(cursor, quarantine, _faulty(store.storage.read_batches(audit.quarantine_uri), seq))
    account = Publication(
        batch_id=batch.batch_id,
        status="published",
        reason=within_limits(causes) if n_conflicts else audit.reason,
        n_staged=batch.n_rows,
        n_published=n_published,
        n_quarantined=n_quarantined,
        n_duplicate=audit.n_accepted - n_published - n_conflicts,
    )
    _check(account, len(skipped), n_conflicts, config)
    statements.run(cursor, _settled(account))
    return account


def _halt_over_limit(config: ModelConfig, batch: Batch, n_quarantined: int, n_conflicts: int, causes: Causes) -> None:
    limit = config.validation.max_share_bad
    if batch.n_rows and n_quarantined / batch.n_rows > limit:
        raise _TooManyContradictions(
            f"{n_quarantined} of {batch.n_rows} rows are bad, {n_conflicts} of them contradict other rows: over "
            f"validation.max_share_bad {limit}; in quarantine: {causes}"
        )


def _quarantined(cursor: Any, seq: int, audit: Audit, store: Store) -> Iterator[pa.RecordBatch]:
    """The rows that contradict others, which are in PostgreSQL already, and those that the audit quarantined."""
    columns = (quarantine.c.row_number, quarantine.c.reason, quarantine.c.raw)
    cursor.execute(bulk.compile_literal(sa.select(*columns).where(quarantine.c.batch_seq == seq)))
    yield from cursor.fetch_record_batch()
    if audit.quarantine_uri and audit.n_quarantined:
        yield from store.storage.read_batches(audit.quarantine_uri)


def _keys(
    cursor: Any, target: sa.Table, rows: _Rows, seq: int, *, with_labels: bool
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Row numbers that contradict each other within the batch (quarantined here), and those whose key is taken."""
    names = [*keys.key_of(target), *(["label"] if with_labels else [])]
    arriving = statements.temporary(keys.ARRIVING, [target.c[name] for name in names])
    statements.run(cursor, statements.create(arriving))
    _copy(cursor, arriving, rows(["row_number", *names]), temporary=True)
    conflicts = _NONE
    if with_labels:
        conflicts = _quarantine_conflicts(cursor, arriving, target, rows, seq)
    statements.run(cursor, keys.taken(arriving, target))
    found: npt.NDArray[np.int64] = cursor.fetch_arrow_table().column("row_number").to_numpy()
    return conflicts, np.setdiff1d(found, conflicts)


def _quarantine_conflicts(
    cursor: Any, arriving: sa.Table, target: sa.Table, rows: _Rows, seq: int
) -> npt.NDArray[np.int64]:
    statements.run(cursor, keys.contradicting(arriving, target))
    numbers: npt.NDArray[np.int64] = cursor.fetch_arrow_table().column("row_number").to_numpy()
    if len(numbers):
        table = statements.temporary(keys.CONTRADICTING, [c for c in target.columns if c.name != "batch_seq"])
        statements.run(cursor, statements.create(table))
        _copy(cursor, table, among(rows(None), numbers), temporary=True)
        statements.run(cursor, keys.quarantine_contradicting(table, target, seq))
    return numbers


def _compare(cursor: Any, target: sa.Table, rows: _Rows, again: npt.NDArray[np.int64], seq: int) -> int:
    """Quarantine the rows whose key is taken by other content; their number."""
    if not len(again):
        return 0
    table = statements.temporary(keys.AGAIN, [c for c in target.columns if c.name != "batch_seq"])
    statements.run(cursor, statements.create(table))
    _copy(cursor, table, among(rows(None), again), temporary=True)
    statements.run(cursor, keys.quarantine_differing(table, target, seq))
    counted = (
        sa.select(sa.func.count())
        .select_from(quarantine)
        .join(table, table.c.row_number == quarantine.c.row_number)
        .where(quarantine.c.batch_seq == seq)
    )
    return int(statements.scalar(cursor, counted))


def _copy(cursor: Any, table: sa.Table, batches_: Iterator[pa.RecordBatch], *, temporary: bool = False) -> int:
    """COPY record batches into a table; the number of rows. No batch, no schema, nothing to copy."""
    first = next(batches_, None)
    if first is None:
        return 0
    n_rows = 0

    def counted() -> Iterator[pa.RecordBatch]:
        nonlocal n_rows
        for one in chain([first], batches_):
            n_rows += one.num_rows
            yield one

    bulk.copy_in(cursor, table, bulk.reader_of(first.schema, counted()), temporary=temporary)
    return n_rows


def _new(
    rows: Iterator[pa.RecordBatch], target: sa.Table, seq: int, skipped: npt.NDArray[np.int64]
) -> Iterator[pa.RecordBatch]:
    for one in without(rows, skipped):
        kept = one.drop_columns(["row_number"])
        yield kept.append_column("batch_seq", pa.repeat(seq, kept.num_rows).cast(pa.int64())).select(
            target.columns.keys()
        )


def _faulty(rows: Iterator[pa.RecordBatch], seq: int) -> Iterator[pa.RecordBatch]:
    for one in rows:
        yield one.append_column("batch_seq", pa.repeat(seq, one.num_rows).cast(pa.int64())).select(
            quarantine.columns.keys()
        )


def _check(account: Publication, n_skipped: int, n_conflicts: int, config: ModelConfig) -> None:
    total = account.n_published + account.n_quarantined + account.n_duplicate
    if total != account.n_staged or account.n_duplicate != n_skipped - n_conflicts:
        raise IntegrityError(
            f"batch {account.batch_id} of {config.model}: {account.n_staged} rows staged, but {account.n_published} "
            f"published, {account.n_quarantined} quarantined, {account.n_duplicate} duplicates; nothing was published"
        )


def _settled(account: Publication) -> Any:
    return (
        sa.update(batches)
        .where(batches.c.batch_id == account.batch_id, batches.c.status != "published")
        .values(
            status=account.status,
            reason=account.reason,
            n_published=account.n_published,
            n_quarantined=account.n_quarantined,
            n_duplicate=account.n_duplicate,
        )
    )


def _halt(batch: Batch, audit: Audit, reason: str, store: Store) -> Publication:
    """Mark the batch halted; nothing of it is published, its files stay for whoever looks into it."""
    account = Publication(
        batch_id=batch.batch_id,
        status="halted",
        reason=reason,
        n_staged=batch.n_rows,
        n_published=0,
        n_quarantined=audit.n_quarantined,
        n_duplicate=0,
    )
    with store.begin() as connection:
        connection.execute(_settled(account))
    return account
