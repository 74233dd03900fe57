"""The transaction of a publication: under the model's publish lock, with the batch's account as it stands."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import adbc_driver_manager
import pyarrow as pa
import sqlalchemy as sa

from perennial.config import ModelConfig
from perennial.contracts import Batch, Publication
from perennial.errors import IntegrityError, LockTimeout
from perennial.store import Store, bulk, statements
from perennial.store.schema import batches, quarantine

_LOCK_TIMEOUT_S = 600
_LOCK_NOT_AVAILABLE = "55P03"
_WORK_MEM = "64MB"


@contextmanager
def publishing(config: ModelConfig, batch: Batch, *, store: Store) -> Iterator[tuple[Any, int, Publication | None]]:
    """A cursor, the batch's number, and its account if it is published; committed when the block ends well.

    Raises LockTimeout, StoreUnavailable, and IntegrityError when PostgreSQL refuses a row.
    """
    try:
        with bulk.bulk_transaction(store) as cursor:
            yield cursor, *_locked(cursor, config, batch)
    except adbc_driver_manager.Error as error:
        if error.sqlstate == _LOCK_NOT_AVAILABLE:
            raise LockTimeout(
                f"{config.model}: another run held the publish lock for over {_LOCK_TIMEOUT_S} s; try again later"
            ) from error
        raise IntegrityError(f"batch {batch.batch_id} of {config.model} was not published: {error}") from error


def _locked(cursor: Any, config: ModelConfig, batch: Batch) -> tuple[int, Publication | None]:
    """Take the model's publish lock; the batch's number, and its account if it was published meanwhile."""
    cursor.execute("SELECT set_config('lock_timeout', $1, true)", (f"{_LOCK_TIMEOUT_S}s",))
    cursor.execute("SELECT set_config('work_mem', $1, true)", (_WORK_MEM,))
    key = f"perennial:publish:{config.model}"
    cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", (key,))
    cursor.fetchall()
    query = sa.select(
        batches.c.seq, batches.c.status, batches.c.reason, batches.c.n_staged, batches.c.n_published,
        batches.c.n_quarantined, batches.c.n_duplicate, batches.c.n_corrected,
    ).where(batches.c.batch_id == batch.batch_id)  # fmt: skip
    statements.run(cursor, query)
    row = cursor.fetchone()
    if row is None:
        raise IntegrityError(f"batch {batch.batch_id} of {config.model} was never staged")
    seq, status, reason, n_staged, n_published, n_quarantined, n_duplicate, n_corrected = row
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
        n_corrected=n_corrected,
    )
    return seq, recorded


def quarantined(cursor: Any, seq: int) -> Iterator[pa.RecordBatch]:
    """The rows of a batch in the quarantine of PostgreSQL, as this transaction sees them."""
    columns = (quarantine.c.row_number, quarantine.c.reason, quarantine.c.raw)
    cursor.execute(bulk.compile_literal(sa.select(*columns).where(quarantine.c.batch_seq == seq)))
    yield from cursor.fetch_record_batch()
