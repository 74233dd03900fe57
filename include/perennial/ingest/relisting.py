"""Deliveries whose files changed after they were staged: what came late, or was mended, and is to be run again."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.dialects.postgresql import insert as upsert

from perennial.config import FileSource, ModelConfig
from perennial.contracts import SourceKind, Window
from perennial.ingest.files import SourceFile, find, listing
from perennial.store import Store
from perennial.store.schema import batches, changed_deliveries


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangedDelivery:
    """A window whose files are other ones now than when it was staged last.

    ``n_files`` is how many there are, ``listing`` a digest of their names, sizes and times.
    """

    source: SourceKind
    window: Window
    n_files: int
    listing: str


def list_again(
    config: ModelConfig, *, store: Store, home: Path, since: datetime, now: datetime
) -> tuple[ChangedDelivery, ...]:
    """Compare the files of every window that was staged after ``since`` by name, size and time; no byte is read.

    What differs stands in ``perennial.changed_deliveries`` until the window is run again. Raises StorageUnavailable.
    """
    found = []
    for row in _newest(config, store, since):
        origin = config.sources.of(row.source)
        if not isinstance(origin, FileSource):
            continue
        window = Window(start=row.window_start, end=row.window_end)
        files: tuple[SourceFile, ...] = find(config, origin, window, home)
        if (listed := listing(files)) != row.listing:
            found.append(ChangedDelivery(source=row.source, window=window, n_files=len(files), listing=listed))
    _record(config.model, found, store, now)
    return tuple(found)


def _newest(config: ModelConfig, store: Store, since: datetime) -> Sequence[sa.Row[Any]]:
    """The batch of each window and source that was delivered last. Of older releases there is no listing."""
    key = (batches.c.window_start, batches.c.window_end, batches.c.source)
    newest = (
        sa.select(*key, batches.c.listing)
        .where(batches.c.model == config.model, batches.c.delivered_at >= since)
        .ext(distinct_on(*key))
        .order_by(*key, batches.c.delivered_at.desc(), batches.c.seq.desc())
        .subquery()
    )
    with store.begin() as connection:
        return connection.execute(sa.select(newest).where(newest.c.listing.is_not(None))).all()


def _record(model: str, found: list[ChangedDelivery], store: Store, now: datetime) -> None:
    """Make the table say exactly this of the model; what was found before keeps its ``found_at``."""
    table = changed_deliveries
    keys = [(one.source, one.window.start, one.window.end) for one in found]
    gone = sa.tuple_(table.c.source, table.c.window_start, table.c.window_end).not_in(keys)
    with store.begin() as connection:
        connection.execute(sa.delete(table).where(table.c.model == model, *([gone] if keys else [])))
        for one in found:
            statement = upsert(table).values(
                model=model,
                source=one.source,
                window_start=one.window.start,
                window_end=one.window.end,
                n_files=one.n_files,
                found_at=now,
            )
            connection.execute(
                statement.on_conflict_do_update(
                    index_elements=list(table.primary_key.columns), set_={"n_files": one.n_files}
                )
            )
