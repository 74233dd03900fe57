"""Profiles and grids in PostgreSQL, on the cursor of the transaction that knows which rows they are made of."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert as upsert

from perennial.config import ERROR, ModelConfig
from perennial.contracts import Window
from perennial.profiles.coding import encode
from perennial.profiles.counting import SCORE, ProfileLayout, count_rows, grid_of
from perennial.profiles.grid import Grid, decode_grid, encode_grid, grid_id
from perennial.profiles.profile import Profile
from perennial.storage.files import GROUP_ROWS, in_groups
from perennial.store import statements
from perennial.store.schema import Moment, batches, grids, profiles

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
GRID_ROWS = 200_000
"""The first grid of a model is made of as many rows of its first batch."""


def block_us(config: ModelConfig) -> int:
    """The length of the model's blocks of time, in microseconds.

    >>> block_us(flights) == 24 * 3600 * 1_000_000
    True
    """
    return config.signals.uncertainty.block // MICROSECOND


def columns_of(config: ModelConfig) -> list[str]:
    """What of a row its profile asks for.

    >>> columns_of(flights)[-2:]
    ['score', 'model_version']
    """
    return ["event_time", *config.features, SCORE, "model_version"]


def layout_of(config: ModelConfig, grid: Grid) -> ProfileLayout:
    """How the rows of a model are summed up on a grid."""
    return ProfileLayout(block_us=block_us(config), numbers=config.numbers, categories=config.categories, grid=grid)


def served_rows(rows: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
    """Of rows with their ``role`` those that a champion scored without an error, a bounded table at a time."""
    for table in in_groups(rows, GROUP_ROWS):
        of_champion = pc.equal(table["role"], "champion")
        if ERROR in table.column_names:
            of_champion = pc.and_(of_champion, pc.invert(pc.fill_null(table[ERROR], False)))
        yield table.filter(of_champion)


def choose_grid(cursor: Any, config: ModelConfig, rows: Callable[[], Iterable[pa.RecordBatch]]) -> Grid:
    """The model's newest grid; where it has none, one made of the first of ``rows``, and kept."""
    if (kept := newest_grid(cursor, config.model)) is not None:
        return kept
    if made := _first_grid(config, rows()):
        keep_grid(cursor, config.model, made, made_of="the first rows")
    return made


def _first_grid(config: ModelConfig, rows: Iterable[pa.RecordBatch]) -> Grid:
    sample, n_rows = [], 0
    for one in rows:
        sample.append(one)
        n_rows += one.num_rows
        if n_rows >= GRID_ROWS:
            break
    return grid_of(pa.Table.from_batches(sample), [*config.numbers, SCORE]) if sample else {}


def newest_grid(cursor: Any, model: str) -> Grid | None:
    """The grid that was chosen last; None when the model has none."""
    query = sa.select(grids.c.edges).where(grids.c.model == model).order_by(grids.c.chosen_at.desc()).limit(1)
    edges = statements.scalar(cursor, query)
    return None if edges is None else decode_grid(edges)


def keep_grid(cursor: Any, model: str, grid: Grid, *, made_of: str) -> None:
    """The grid that rows are counted on from now on."""
    row = {"model": model, "grid_id": grid_id(grid), "made_of": made_of, "edges": encode_grid(grid)}
    chosen = upsert(grids).values(row)
    newest = {"chosen_at": sa.func.clock_timestamp()}
    statements.run(cursor, chosen.on_conflict_do_update(index_elements=["model", "grid_id"], set_=newest))


def keep(
    cursor: Any, config: ModelConfig, profile: Profile, grid: Grid, *, seq: int, known_at: datetime | None = None
) -> None:
    """The rows that a batch brought into each block (all that there are, for ``seq`` 0), as they count after a moment.

    ``known_at`` None: from the start.
    """
    length, identity = block_us(config), grid_id(grid)
    for start_us, n_rows, summary in encode(profile):
        start = EPOCH + start_us * MICROSECOND
        row = {
            "model": config.model,
            "block_us": length,
            "block_start": start,
            "batch_seq": seq,
            "known_at": start if known_at is None else max(start, known_at),
            "grid_id": identity,
            "n_rows": n_rows,
            "summary": summary,
        }
        new = {name: row[name] for name in ("grid_id", "n_rows", "summary")}
        keys = [column.name for column in profiles.primary_key]
        typed = {name: sa.cast(sa.literal(value, Moment), Moment) if isinstance(value, datetime) else value
                 for name, value in row.items()}  # fmt: skip
        statements.run(cursor, upsert(profiles).values(typed).on_conflict_do_update(index_elements=keys, set_=new))


@dataclass(frozen=True, slots=True, kw_only=True)
class Profiled:
    """The profile of what a batch brings, and the grid that it was counted on: ``is_first``, made of those rows."""

    profile: Profile
    grid: Grid
    is_first: bool


def count_published(
    config: ModelConfig, newest: Grid | None, rows: Callable[[list[str]], Iterator[pa.RecordBatch]]
) -> Profiled:
    """The profile of rows none of which was there before, on the model's ``newest`` grid; nothing is kept.

    ``rows`` reads the columns that it is asked for.
    """
    columns = [*columns_of(config), "role", *(name for name in config.operational if name == ERROR)]
    grid = _first_grid(config, rows(columns)) if newest is None else newest
    profile = count_rows(served_rows(rows(columns)), layout_of(config, grid))
    return Profiled(profile=profile, grid=grid, is_first=newest is None)


def keep_published(
    cursor: Any,
    config: ModelConfig,
    seq: int,
    rows: Callable[[list[str]], Iterator[pa.RecordBatch]],
    counted: Profiled | None = None,
) -> None:
    """The profile of what a batch brought: rows none of which was there before.

    Called in the transaction that publishes them. ``counted`` is what :func:`count_published` made of them meanwhile; a
    grid of their own is none any more when the model was given one.
    """
    newest = newest_grid(cursor, config.model)
    if counted is None or (counted.is_first and newest is not None):
        counted = count_published(config, newest, rows)
    if counted.is_first and counted.grid:
        keep_grid(cursor, config.model, counted.grid, made_of="the first rows")
    keep(cursor, config, counted.profile, counted.grid, seq=seq)
    marked = sa.update(batches).where(batches.c.seq == seq).values(profile_block_us=block_us(config))
    statements.run(cursor, marked)


def void(cursor: Any, config: ModelConfig, window: Window) -> None:
    """Rows of a window changed, or came beside others of their batch that had been there: its profiles do not count.

    Called in the transaction that publishes them; :func:`perennial.evidence.profiles.reading.ensure` makes them anew.
    """
    voided = sa.update(batches).where(
        batches.c.model == config.model,
        batches.c.source == "predictions",
        batches.c.window_start < window.end,
        batches.c.window_end > window.start,
    )
    statements.run(cursor, voided.values(profile_block_us=None))
