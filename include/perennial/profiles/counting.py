"""Rows to a profile, a bounded table at a time."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from perennial.profiles.grid import Floats, Grid, edges_of
from perennial.profiles.profile import Categories, Numbers, Profile, edges_name, merge

MOST_VERSIONS = 8
"""The scores of as many versions are told apart in one table of rows: a log whose version is noise stays bounded."""
MOST_LETTERS = 200
"""So much of a text tells its category from others."""
SCORE = "score"
_AT_ONCE = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfileLayout:
    """How rows are summed up: blocks of ``block_us`` microseconds, counted from 1970; which columns, on which grid.

    ``numbers`` without edges in the grid are left out. ``score`` (double), where the rows hold it, is counted for each
    ``model_version`` (text) as a number ``score:<version>``, with the edges of ``score``.
    """

    block_us: int
    numbers: Sequence[str]
    categories: Sequence[str]
    grid: Grid


def grid_of(rows: pa.Table, numbers: Sequence[str]) -> dict[str, Floats]:
    """A grid made of a sample of rows: edges for each of ``numbers`` that they hold.

    >>> {name: len(edges) for name, edges in grid_of(pa.table({"a": [1.0, 2.0]}), ["a", "b"]).items()}
    {'a': 3}
    """
    return {name: edges_of(_values(rows[name])) for name in numbers if name in rows.column_names}


def count_rows(tables: Iterable[pa.Table], layout: ProfileLayout) -> Profile:
    """The profile of all rows of some tables, in any order; each holds ``event_time`` (timestamp, UTC) and columns.

    >>> day_us = 86_400_000_000
    >>> rows = pa.table({"event_time": pa.array([0, day_us, 1], pa.timestamp("us", "UTC")), "a": [1.0, None, 3.0]})
    >>> layout = ProfileLayout(block_us=day_us, numbers=["a"], categories=[], grid={"a": np.array([2.0])})
    >>> found = count_rows([rows], layout)
    >>> found.n_rows.tolist(), found.numbers["a"].counts.tolist(), found.numbers["a"].n_nulls.tolist()
    ([2.0, 1.0], [[1.0, 1.0], [0.0, 0.0]], [0.0, 1.0])
    """
    parts: list[Profile] = []
    for table in tables:
        if table.num_rows:
            parts.append(_count(table, layout))
        if len(parts) == _AT_ONCE:
            parts = [merge(parts, layout.grid)]
    return merge(parts, layout.grid)


@dataclass(frozen=True, slots=True)
class _Order:
    """Rows by block: ``order`` sorts them (None: they are), ``cuts``, shape (n_blocks + 1,), lie between blocks."""

    order: NDArray[np.int64] | None
    cuts: NDArray[np.int64]

    def by_block(self, values: NDArray[Any]) -> NDArray[Any]:
        return values if self.order is None else values[self.order]

    def among(self, mask: NDArray[np.bool_]) -> NDArray[np.int64]:
        """The cuts of the rows that a mask, by block, takes."""
        return np.concatenate([[0], np.cumsum(mask)])[self.cuts]


def _count(table: pa.Table, layout: ProfileLayout) -> Profile:
    times = table["event_time"].cast(pa.timestamp("us", "UTC")).cast(pa.int64()).to_numpy()
    number = times // layout.block_us
    order = None if (np.diff(number) >= 0).all() else np.argsort(number, kind="stable")
    ascending = number if order is None else number[order]
    firsts = np.flatnonzero(np.diff(ascending, prepend=ascending[0] - 1))
    sorted_rows = _Order(order, np.append(firsts, len(ascending)))
    numbers = {
        name: _numbers(sorted_rows.by_block(_values(table[name])), sorted_rows.cuts, layout.grid[name])
        for name in layout.numbers
        if name in layout.grid and name in table.column_names
    }
    categories = {
        name: _categories(table[name], sorted_rows) for name in layout.categories if name in table.column_names
    }
    return Profile(
        blocks=ascending[firsts] * layout.block_us,
        n_rows=np.diff(sorted_rows.cuts).astype(np.float64),
        numbers={**numbers, **_scores(table, layout.grid, sorted_rows)},
        categories=categories,
    )


def _values(column: pa.ChunkedArray) -> Floats:
    # whole numbers beyond 2^53 are rounded, which a safe cast refuses
    return np.asarray(column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False), np.float64)


def _scores(table: pa.Table, grid: Grid, rows: _Order) -> Mapping[str, Numbers]:
    edges = grid.get(edges_name(SCORE))
    if edges is None or not {SCORE, "model_version"} <= set(table.column_names):
        return {}
    versions = table["model_version"].combine_chunks().dictionary_encode()
    codes = rows.by_block(versions.indices.to_numpy(zero_copy_only=False))
    values = rows.by_block(_values(table[SCORE]))
    frequent = np.argsort(-np.bincount(codes), kind="stable")[:MOST_VERSIONS]
    found = {}
    for code in frequent.tolist():
        mask = codes == code
        found[f"{SCORE}:{versions.dictionary[code].as_py()}"] = _numbers(values[mask], rows.among(mask), edges)
    return found


def _numbers(values: Floats, cuts: NDArray[np.int64], edges: Floats) -> Numbers:
    n_blocks = len(cuts) - 1
    counts, sums = np.zeros((n_blocks, len(edges) + 1)), np.zeros((n_blocks, len(edges) + 1))
    squares, n_nulls, n_infinite = np.zeros((3, n_blocks))
    low, high = np.full((2, n_blocks), np.nan)
    middle = edges[len(edges) // 2] if len(edges) else 0.0
    for block in range(n_blocks):
        ordered = np.sort(values[cuts[block] : cuts[block + 1]])  # NaN last, and before it the infinite
        first, n_there = np.searchsorted(ordered, [-np.inf, np.inf], side="right")
        last = np.searchsorted(ordered, np.inf, side="left")
        n_nulls[block], n_infinite[block] = len(ordered) - n_there, first + n_there - last
        finite = ordered[first:last]
        if len(finite):
            ends = np.concatenate([[0], np.searchsorted(finite, edges, side="left"), [len(finite)]])
            counts[block] = np.diff(ends)
            sums[block] = np.diff(np.concatenate([[0.0], np.cumsum(finite)])[ends])
            squares[block] = ((finite - middle) ** 2).sum()
            low[block], high[block] = finite[0], finite[-1]
    return Numbers(
        edges=edges,
        counts=counts,
        sums=sums,
        squares=squares,
        n_nulls=n_nulls,
        n_infinite=n_infinite,
        low=low,
        high=high,
    )


def _categories(column: pa.ChunkedArray, rows: _Order) -> Categories:
    encoded = column.cast(pa.string()).combine_chunks().dictionary_encode()
    values, n_blocks = [value[:MOST_LETTERS] for value in encoded.dictionary.to_pylist()], len(rows.cuts) - 1
    codes = rows.by_block(pc.fill_null(encoded.indices, len(values)).to_numpy(zero_copy_only=False))
    block = np.repeat(np.arange(n_blocks), np.diff(rows.cuts))
    width = len(values) + 1
    counts = np.bincount(block * width + codes, minlength=n_blocks * width).reshape(n_blocks, width).astype(np.float64)
    return Categories(values=tuple(values), counts=counts[:, :-1], n_nulls=counts[:, -1], n_other=np.zeros(n_blocks))
