"""Staged files have served once their rows are published."""

from datetime import datetime

from sqlalchemy import func, select, update

from perennial.config import ModelConfig
from perennial.contracts import Audit, Batch, from_record
from perennial.store import Store
from perennial.store.schema import batches


def sweep(config: ModelConfig, *, store: Store, before: datetime) -> int:
    """Delete the files of batches published before ``before``, and what killed processes left half-written by then;
    returns how many files went. Safe to repeat.

    A batch whose files went is not looked at again. Files of halted batches stay: they are the evidence of what was
    delivered.
    """
    due = (
        batches.c.model == config.model,
        batches.c.status == "published",
        batches.c.recorded_at < before,
        batches.c.swept_at.is_(None),
    )
    with store.begin() as connection:
        rows = connection.execute(select(batches.c.seq, batches.c.staged, batches.c.audit).where(*due)).all()
    uris = [from_record(Batch, row.staged).uri for row in rows]
    for row in rows:
        if row.audit:
            verdict = from_record(Audit, row.audit)
            uris += [verdict.accepted_uri, verdict.quarantine_uri]
    present = [uri for uri in uris if uri and store.storage.exists(uri)]
    present += store.storage.unfinished(f"staging/{config.model}", before=before)
    for uri in present:
        store.storage.delete(uri)
    swept = update(batches).where(*due, batches.c.seq.in_([row.seq for row in rows]))
    with store.begin() as connection:
        connection.execute(swept.values(swept_at=func.clock_timestamp()))
    return len(present)
