"""Publish what of a published batch lay in quarantine and passes by the rules of today."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import sqlalchemy as sa

from perennial.config import ModelConfig
from perennial.contracts import Audit, Batch, Publication
from perennial.errors import IntegrityError
from perennial.evidence.causes import count_causes, within_limits
from perennial.evidence.profiles.keeping import void
from perennial.evidence.profiles.reading import ensure
from perennial.publishing.moving import Moved, copy, move
from perennial.publishing.numbered import among
from perennial.publishing.publish import and_corrected
from perennial.publishing.transaction import publishing, quarantined
from perennial.store import Store, statements
from perennial.store.schema import batches, quarantine

_PASSING = statements.temporary("perennial_passing", [])


def republish(config: ModelConfig, batch: Batch, audit: Audit, *, store: Store) -> tuple[Publication, Moved]:
    """Move the rows that ``audit`` accepts out of the quarantine; the batch's account now, and what became of them.

    Nothing that is published goes back. A row that contradicts one of its own or of a later delivery stays where it
    is. Safe to repeat. Raises IntegrityError for a batch that was not published.
    """
    with publishing(config, batch, store=store) as (cursor, seq, before):
        if before is None:
            raise IntegrityError(f"batch {batch.batch_id} of {config.model} was never published: publish it")
        passing = _passing(cursor, seq, audit, store)
        if not len(passing):
            return before, Moved()
        _leave_quarantine(cursor, seq, passing)

        def rows(columns: list[str] | None) -> Iterator[pa.RecordBatch]:
            return among(_accepted(audit, store, columns), passing)

        moved = move(cursor, seq, config, batch, rows, store=store, keys_checked=True)
        n_left = moved.n_published + moved.n_duplicate
        n_corrected = before.n_corrected + moved.n_corrected
        account = replace(
            before,
            reason=and_corrected(within_limits(count_causes(quarantined(cursor, seq))), n_corrected),
            n_published=before.n_published + moved.n_published,
            n_quarantined=before.n_quarantined - n_left,
            n_duplicate=before.n_duplicate + moved.n_duplicate,
            n_corrected=n_corrected,
        )
        if moved.n_conflicts + n_left != len(passing):
            raise IntegrityError(f"batch {batch.batch_id} of {config.model}: {len(passing)} rows became {moved}")
        statements.run(cursor, _changed(account))
        if batch.source == "predictions" and moved.n_published:
            void(cursor, config, batch.window)
    if batch.source == "predictions":
        ensure(config, batch.window, store=store)
    return account, moved


def _passing(cursor: Any, seq: int, audit: Audit, store: Store) -> npt.NDArray[np.int64]:
    """The numbers of the batch's rows that are in quarantine and accepted now, ascending."""
    statements.run(
        cursor,
        sa.select(quarantine.c.row_number).where(quarantine.c.batch_seq == seq).order_by(quarantine.c.row_number),
    )
    kept: npt.NDArray[np.int64] = cursor.fetch_arrow_table().column("row_number").to_numpy()
    found = [one.column("row_number").to_numpy() for one in among(_accepted(audit, store, ["row_number"]), kept)]
    return np.concatenate(found) if found else kept[:0]


def _accepted(audit: Audit, store: Store, columns: list[str] | None) -> Iterator[pa.RecordBatch]:
    return store.storage.read_batches(audit.accepted_uri, columns) if audit.accepted_uri else iter(())


def _leave_quarantine(cursor: Any, seq: int, numbers: npt.NDArray[np.int64]) -> None:
    statements.run(cursor, statements.create(_PASSING))
    copy(cursor, _PASSING, iter([pa.record_batch({"row_number": pa.array(numbers)})]), temporary=True)
    leaving = sa.delete(quarantine).where(
        quarantine.c.batch_seq == seq, quarantine.c.row_number.in_(sa.select(_PASSING.c.row_number))
    )
    statements.run(cursor, leaving)


def _changed(account: Publication) -> Any:
    return (
        sa.update(batches)
        .where(batches.c.batch_id == account.batch_id)
        .values(
            reason=account.reason,
            n_published=account.n_published,
            n_quarantined=account.n_quarantined,
            n_duplicate=account.n_duplicate,
            n_corrected=account.n_corrected,
        )
    )
