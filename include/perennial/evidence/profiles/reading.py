"""The profile of any stretch as it was known at a moment: whole blocks as they are kept, the rest is counted."""

from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import distinct_on

from perennial.config import ModelConfig
from perennial.contracts import Window
from perennial.evidence.profiles.keeping import (
    EPOCH,
    GRID_ROWS,
    MICROSECOND,
    block_us,
    choose_grid,
    columns_of,
    keep,
    keep_grid,
    layout_of,
    newest_grid,
)
from perennial.evidence.rows import served
from perennial.profiles.coding import decode
from perennial.profiles.counting import count_rows
from perennial.profiles.grid import Grid, decode_grid, grid_id
from perennial.profiles.profile import Profile, merge
from perennial.store import Store, bulk, statements
from perennial.store.locks import PUBLISH, model_lock
from perennial.store.schema import KNOWN_AT, batches, grids, predictions_table, profiles

_LOCK_TIMEOUT_S = 600


def read_profile(config: ModelConfig, stretch: Window, *, as_of: datetime, grid: Grid, store: Store) -> Profile:
    """The served rows of a stretch as they were known at ``as_of``, by block, on ``grid``.

    Blocks that lie within the stretch come from the store, a few kilobytes each; of the two at its ends the rows that
    lie inside are counted. Profiles that are missing are made first. Raises StoreUnavailable and LockTimeout.
    """
    ensure(config, stretch, store=store)
    first, last = _block_after(config, stretch.start), _block_before(config, stretch.end)
    parts: list[Profile] = []
    if first < last:
        parts += _kept(config, first, last, as_of, store)
    for start, end in ((stretch.start, min(first, stretch.end)), (max(first, last), stretch.end)):
        if start < end:
            parts.append(_counted(config, Window(start=start, end=end), as_of, grid, store))
    merged = merge(parts, grid)
    return merged.among(merged.n_rows > 0)


def count_on(config: ModelConfig, grid: Grid, *, made_of: str, store: Store) -> None:
    """Rows that are published from now on are counted on this grid."""
    with bulk.bulk_transaction(store) as cursor:
        newest = newest_grid(cursor, config.model)
        if newest is None or grid_id(newest) != grid_id(grid):
            keep_grid(cursor, config.model, grid, made_of=made_of)


def ensure(config: ModelConfig, stretch: Window, *, store: Store) -> None:
    """Every published row of a stretch is in the profile of its block.

    It is not where the batch was published before there were profiles, with other blocks, or corrected rows: then all
    blocks that its window touches are made again from what is published, in one transaction under the publish lock.
    """
    if not _missing(config, stretch, store):
        return
    with model_lock(store, config.model, PUBLISH, timeout_s=_LOCK_TIMEOUT_S):
        for window in _missing(config, stretch, store):
            with bulk.bulk_transaction(store) as cursor:
                _make_again(cursor, config, window)


def _missing(config: ModelConfig, stretch: Window, store: Store) -> list[Window]:
    """The windows, each once, of batches whose rows are in no profile."""
    query = (
        sa.select(batches.c.window_start, batches.c.window_end)
        .where(
            *_of(config, stretch),
            batches.c.profile_block_us.is_distinct_from(block_us(config)),
        )
        .distinct()
        .order_by(batches.c.window_start)
    )
    with store.begin() as connection:
        return [Window(start=start, end=end) for start, end in connection.execute(query)]


def _of(config: ModelConfig, stretch: Window) -> tuple[sa.ColumnElement[bool], ...]:
    return (
        batches.c.model == config.model,
        batches.c.source == "predictions",
        batches.c.status == "published",
        batches.c.window_start < stretch.end,
        batches.c.window_end > stretch.start,
    )


def _make_again(cursor: Any, config: ModelConfig, window: Window) -> None:
    table = predictions_table(config)
    touched = Window(start=_block_before(config, window.start), end=_block_after(config, window.end))
    inside = profiles.c.block_start >= touched.start, profiles.c.block_start < touched.end
    of_model = profiles.c.model == config.model, profiles.c.block_us == block_us(config)
    statements.run(cursor, sa.delete(profiles).where(*of_model, *inside))
    grid = choose_grid(cursor, config, lambda: _rows(cursor, config, touched, touched.end, most=GRID_ROWS))
    corrected = _corrections(cursor, table, touched)
    before = corrected[0] if corrected else touched.end
    there: set[int] = set()
    for known_at in (None, *corrected):
        as_of = before if known_at is None else known_at + MICROSECOND
        rows = (pa.Table.from_batches([one]) for one in _rows(cursor, config, touched, as_of))
        counted = count_rows(rows, layout_of(config, grid))
        gone = np.array(sorted(there.difference(counted.blocks.tolist())), np.int64)  # their times were corrected
        for found in (counted, Profile(blocks=gone, n_rows=np.zeros(len(gone)))):
            keep(cursor, config, found, grid, seq=0, known_at=known_at)
        there.update(counted.blocks.tolist())
    marked = sa.update(batches).where(*_of(config, window), batches.c.window_start == window.start,
                                      batches.c.window_end == window.end)  # fmt: skip
    statements.run(cursor, marked.values(profile_block_us=block_us(config)))


def _corrections(cursor: Any, table: sa.Table, touched: Window) -> list[datetime]:
    """The moments after which a correction of a row of the stretch counts, ascending."""
    time, known_at = table.c.event_time, table.c[KNOWN_AT]
    query = sa.select(known_at).where(time >= touched.start, time < touched.end, known_at.is_not(None)).distinct()
    cursor.execute(bulk.compile_literal(query.order_by(known_at)))
    return [moment for (moment,) in cursor.fetchall()]


def _rows(cursor: Any, config: ModelConfig, stretch: Window, as_of: datetime, *, most: int | None = None) -> Any:
    table = predictions_table(config)
    columns = (table.c[name] for name in columns_of(config))
    query = sa.select(*columns).where(served(table, stretch, as_of=as_of)).limit(most)
    cursor.execute(bulk.compile_literal(query))
    return cursor.fetch_record_batch()


def _counted(config: ModelConfig, stretch: Window, as_of: datetime, grid: Grid, store: Store) -> Profile:
    with bulk.bulk_transaction(store) as cursor:
        rows = (pa.Table.from_batches([one]) for one in _rows(cursor, config, stretch, as_of))
        return count_rows(rows, layout_of(config, grid))


def _kept(config: ModelConfig, first: datetime, last: datetime, as_of: datetime, store: Store) -> list[Profile]:
    key = profiles.c.block_start, profiles.c.batch_seq
    query = (
        sa.select(profiles.c.block_start, profiles.c.n_rows, profiles.c.summary, profiles.c.grid_id)
        .where(
            profiles.c.model == config.model,
            profiles.c.block_us == block_us(config),
            profiles.c.block_start >= first,
            profiles.c.block_start < last,
            profiles.c.known_at < as_of,
        )
        .ext(distinct_on(*key))
        .order_by(*key, profiles.c.known_at.desc())
    )
    with store.begin() as connection:
        kept = connection.execute(query).all()
        edges = connection.execute(sa.select(grids.c.grid_id, grids.c.edges).where(grids.c.model == config.model)).all()
    counted_on = {row.grid_id: decode_grid(row.edges) for row in edges}
    return [
        decode((row.block_start - EPOCH) // MICROSECOND, row.n_rows, row.summary, counted_on[row.grid_id])
        for row in kept
    ]


def _block_before(config: ModelConfig, moment: datetime) -> datetime:
    length = block_us(config)
    return EPOCH + ((moment - EPOCH) // MICROSECOND // length * length) * MICROSECOND


def _block_after(config: ModelConfig, moment: datetime) -> datetime:
    before = _block_before(config, moment)
    return before if before == moment else before + config.signals.uncertainty.block
