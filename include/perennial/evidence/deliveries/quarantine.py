"""What lies in quarantine: of published batches in PostgreSQL, of others in the file that their audit wrote."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import sqlalchemy as sa

from perennial.config import ModelConfig
from perennial.contracts import Audit, SourceKind, Window, from_record
from perennial.evidence.causes import Causes, count_causes
from perennial.store import Store, bulk
from perennial.store.schema import batches, quarantine


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchQuarantine:
    """The quarantined rows of one batch, by cause.

    ``status`` is that of the batch: ``published``, ``halted``, or ``staged`` for one that was audited only. Rows of a
    halted batch that contradict other rows are named in ``reason`` alone: they were found while publishing, which was
    taken back.
    """

    batch_id: str
    source: SourceKind
    window: Window
    status: str
    reason: str
    n_quarantined: int
    causes: Causes


def read_quarantine(
    config: ModelConfig, *, store: Store, window: Window | None = None, most: int = 20, n_examples: int = 3
) -> tuple[BatchQuarantine, ...]:
    """Every batch of the model (of one window) with rows in quarantine, by window and number.

    The ``most`` frequent causes of each, with ``n_examples`` rows of each cause, their raw text cut after 200
    characters. Raises StoreUnavailable.
    """
    query = sa.select(batches).where(batches.c.model == config.model).order_by(batches.c.window_start, batches.c.seq)
    if window is not None:
        query = query.where(batches.c.window_start == window.start, batches.c.window_end == window.end)
    with store.begin() as connection:
        recorded = connection.execute(query).all()
    found = []
    for row in recorded:
        verdict = from_record(Audit, row.audit) if row.audit else None
        n_quarantined = row.n_quarantined if row.status == "published" else verdict.n_quarantined if verdict else 0
        if n_quarantined:
            found.append(
                BatchQuarantine(
                    batch_id=row.batch_id,
                    source=row.source,
                    window=Window(start=row.window_start, end=row.window_end),
                    status=row.status,
                    reason=row.reason,
                    n_quarantined=n_quarantined,
                    causes=count_causes(_rows(row, verdict, store), most=most, n_examples=n_examples),
                )
            )
    return tuple(found)


def _rows(row: Any, verdict: Audit | None, store: Store) -> Iterator[pa.RecordBatch]:
    if row.status == "published":
        columns = (quarantine.c.row_number, quarantine.c.reason, quarantine.c.raw)
        with bulk.stream(store, sa.select(*columns).where(quarantine.c.batch_seq == row.seq)) as reader:
            yield from reader
    elif verdict is not None and verdict.quarantine_uri and store.storage.exists(verdict.quarantine_uri):
        yield from store.storage.read_batches(verdict.quarantine_uri)
