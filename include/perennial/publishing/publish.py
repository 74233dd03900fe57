"""Publish: the accepted rows of a batch into the model's table, all or nothing, once.

Everything happens in one transaction that holds the model's publish lock, so a killed process leaves nothing behind and
two processes never count the same row.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from itertools import takewhile
from threading import Event
from typing import Any

import adbc_driver_manager
import pyarrow as pa
import sqlalchemy as sa

from perennial.config import ModelConfig
from perennial.contracts import Audit, Batch, Publication
from perennial.errors import IntegrityError
from perennial.evidence.causes import Causes, count_causes, within_limits
from perennial.evidence.profiles.keeping import Profiled, count_published, keep_published, newest_grid, void
from perennial.evidence.profiles.reading import ensure
from perennial.publishing.moving import Moved, Rows, copy, move
from perennial.publishing.transaction import publishing, quarantined
from perennial.store import Store, statements
from perennial.store.schema import batches, quarantine

_UNIQUE_VIOLATION = "23505"


class _KeyTaken(Exception):
    """A key of the batch is published already, or stands twice in it: the keys have to be compared."""


class _TooManyContradictions(Exception):
    """Rolls the transaction back; the batch halts with this reason."""


def publish(config: ModelConfig, batch: Batch, audit: Audit, *, store: Store) -> Publication:
    """Move what the audit accepted into the model's table and account for every staged row.

    A key (prediction id and role; for labels the prediction id) has one truth at a time. An equal row is a duplicate;
    one of a later delivery that differs is its newer version, or fills columns that did not exist before. Rows that
    contradict each other within one delivery go to quarantine with both values in their reason, labels all, predictions
    but the first; so does an id that was published in another window. A batch that was published already answers with
    its recorded account. Predictions are summed up by block on the way (:mod:`perennial.evidence.profiles`).
    Raises LockTimeout, StoreUnavailable, and IntegrityError when the account does not add up.
    """
    if audit.verdict == "halt":
        return _halt(batch, audit, audit.reason, store)
    account = _published(config, batch, audit, store)
    if batch.source == "predictions" and account.status == "published":
        ensure(config, batch.window, store=store)
    return account


def _published(config: ModelConfig, batch: Batch, audit: Audit, store: Store) -> Publication:
    try:
        if batch.source == "predictions":  # nearly always new: what is not is found by the primary key itself
            with suppress(_KeyTaken):
                return _in_one_transaction(config, batch, audit, store, keys_checked=False)
        return _in_one_transaction(config, batch, audit, store, keys_checked=True)
    except _TooManyContradictions as contradiction:
        return _halt(batch, audit, str(contradiction), store)


def _in_one_transaction(
    config: ModelConfig, batch: Batch, audit: Audit, store: Store, *, keys_checked: bool
) -> Publication:
    """Publish, or answer with the recorded account. Raises _KeyTaken when unchecked keys are taken."""
    with publishing(config, batch, store=store) as (cursor, seq, recorded):
        try:
            return recorded or _publish(cursor, seq, config, batch, audit, store=store, keys_checked=keys_checked)
        except adbc_driver_manager.Error as error:
            if error.sqlstate == _UNIQUE_VIOLATION and not keys_checked:
                raise _KeyTaken from error  # ADBC can not return to a savepoint: all anew, in another transaction
            raise


def _publish(
    cursor: Any, seq: int, config: ModelConfig, batch: Batch, audit: Audit, *, store: Store, keys_checked: bool
) -> Publication:
    def rows(columns: list[str] | None) -> Iterator[pa.RecordBatch]:
        return store.storage.read_batches(audit.accepted_uri, columns) if audit.accepted_uri else iter(())

    with _counting(cursor, config, rows, ahead=batch.source == "predictions" and not keys_checked) as counted:
        moved = Moved()
        if audit.n_accepted:
            moved = move(cursor, seq, config, batch, rows, store=store, keys_checked=keys_checked)
        account = _account(cursor, seq, config, batch, audit, moved=moved, store=store)
        statements.run(cursor, _closed(account))
        if batch.source == "predictions":
            only_new = moved.n_published == audit.n_accepted and not moved.n_corrected
            if moved.n_published and not only_new:
                void(cursor, config, batch.window)
            else:
                keep_published(cursor, config, seq, rows if only_new else lambda _: iter(()), counted())
        return account


@contextmanager
def _counting(cursor: Any, config: ModelConfig, rows: Rows, *, ahead: bool) -> Iterator[Callable[[], Profiled | None]]:
    """Yields what waits for the profile of all rows, or has none unless ``ahead``.

    A thread counts them while PostgreSQL writes them, when this process has little to do.
    """
    if not ahead:
        yield lambda: None
        return
    newest, given_up = newest_grid(cursor, config.model), Event()

    def until_given_up(columns: list[str]) -> Iterator[pa.RecordBatch]:
        return takewhile(lambda _: not given_up.is_set(), rows(columns))

    with ThreadPoolExecutor(1) as thread:
        counting = thread.submit(count_published, config, newest, until_given_up)
        try:
            yield counting.result
        finally:
            given_up.set()


def _account(
    cursor: Any, seq: int, config: ModelConfig, batch: Batch, audit: Audit, *, moved: Moved, store: Store
) -> Publication:
    """The account of a batch whose rows were moved, its quarantine with it. Raises _TooManyContradictions."""
    n_quarantined = audit.n_quarantined + moved.n_conflicts
    causes = count_causes(_all_quarantined(cursor, seq, audit, store)) if moved.n_conflicts else Causes()
    _halt_over_limit(config, batch, n_quarantined, moved.n_conflicts, causes)
    if audit.quarantine_uri and audit.n_quarantined:
        copy(cursor, quarantine, _faulty(store.storage.read_batches(audit.quarantine_uri), seq))
    account = Publication(
        batch_id=batch.batch_id,
        status="published",
        reason=and_corrected(within_limits(causes) if moved.n_conflicts else audit.reason, moved.n_corrected),
        n_staged=batch.n_rows,
        n_published=moved.n_published,
        n_quarantined=n_quarantined,
        n_duplicate=audit.n_accepted - moved.n_published - moved.n_conflicts,
        n_corrected=moved.n_corrected,
    )
    _check(account, moved, config)
    return account


def and_corrected(reason: str, n_corrected: int) -> str:
    """The reason of a publication with the number of rows that it corrected.

    >>> and_corrected("within its limits", 0), and_corrected("within its limits", 3)
    ('within its limits', 'within its limits; corrected: 3 published rows')
    """
    return f"{reason}; corrected: {n_corrected} published rows" if n_corrected else reason


def _halt_over_limit(config: ModelConfig, batch: Batch, n_quarantined: int, n_conflicts: int, causes: Causes) -> None:
    limit = config.validation.max_share_bad
    if batch.n_rows and n_quarantined / batch.n_rows > limit:
        raise _TooManyContradictions(
            f"{n_quarantined} of {batch.n_rows} rows are bad, {n_conflicts} of them contradict other rows: over "
            f"validation.max_share_bad {limit}; in quarantine: {causes}"
        )


def _all_quarantined(cursor: Any, seq: int, audit: Audit, store: Store) -> Iterator[pa.RecordBatch]:
    """The rows that contradict others, which are in PostgreSQL already, and those that the audit quarantined."""
    yield from quarantined(cursor, seq)
    if audit.quarantine_uri and audit.n_quarantined:
        yield from store.storage.read_batches(audit.quarantine_uri)


def _faulty(rows: Iterator[pa.RecordBatch], seq: int) -> Iterator[pa.RecordBatch]:
    for one in rows:
        yield one.append_column("batch_seq", pa.repeat(seq, one.num_rows).cast(pa.int64())).select(
            quarantine.columns.keys()
        )


def _check(account: Publication, moved: Moved, config: ModelConfig) -> None:
    total = account.n_published + account.n_quarantined + account.n_duplicate
    if total != account.n_staged or account.n_duplicate != moved.n_duplicate:
        raise IntegrityError(
            f"batch {account.batch_id} of {config.model}: {account.n_staged} rows staged, but {account.n_published} "
            f"published, {account.n_quarantined} quarantined, {account.n_duplicate} duplicates; nothing was published"
        )


def _closed(account: Publication) -> Any:
    return (
        sa.update(batches)
        .where(batches.c.batch_id == account.batch_id, batches.c.status != "published")
        .values(
            status=account.status,
            reason=account.reason,
            n_published=account.n_published,
            n_quarantined=account.n_quarantined,
            n_duplicate=account.n_duplicate,
            n_corrected=account.n_corrected,
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
        connection.execute(_closed(account))
    return account
