"""What is kept of the rows of each block: counts on a grid, sums, category counts, nulls; and how two are merged."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from perennial.profiles.grid import Floats, Grid, regrid

MOST_VALUES = 1000
"""As many values of a category are counted by themselves, the most frequent ones; the others together."""
Blocks = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Numbers:
    """A number by block: ``counts`` and ``sums`` by bin, shape (n_blocks, n_bins); the others, shape (n_blocks,).

    Values that are not finite are in none of the bins: ``n_infinite`` counts them, and NaN is a null. ``squares`` sums
    the squared distances from the middle edge of the grid. ``low`` and ``high`` are NaN for a block without a value.
    """

    edges: Floats
    counts: Floats
    sums: Floats
    squares: Floats
    n_nulls: Floats
    n_infinite: Floats
    low: Floats
    high: Floats

    @property
    def n_values(self) -> Floats:
        """By block, the values that are there: infinite ones too."""
        return np.asarray(self.counts.sum(axis=1) + self.n_infinite)

    def rows(self, taken: NDArray[Any]) -> "Numbers":
        """Those blocks only."""
        arrays = ("counts", "sums", "squares", "n_nulls", "n_infinite", "low", "high")
        return replace(self, **{name: getattr(self, name)[taken] for name in arrays})


@dataclass(frozen=True, slots=True, kw_only=True)
class Categories:
    """A category by block: ``counts`` by value, shape (n_blocks, n_values); ``n_other`` rows have one not listed."""

    values: tuple[str, ...]
    counts: Floats
    n_nulls: Floats
    n_other: Floats

    @property
    def n_values(self) -> Floats:
        """By block, the values that are there."""
        return np.asarray(self.counts.sum(axis=1) + self.n_other)

    def rows(self, taken: NDArray[Any]) -> "Categories":
        """Those blocks only."""
        arrays = {name: getattr(self, name)[taken] for name in ("counts", "n_nulls", "n_other")}
        return replace(self, **arrays)


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """The rows of some blocks: ``blocks`` are their starts in microseconds since 1970, ascending, each once.

    A column that a block does not have (of a feature that was declared later, say) has neither values nor nulls there.
    """

    blocks: Blocks
    n_rows: Floats
    numbers: Mapping[str, Numbers] = field(default_factory=dict)
    categories: Mapping[str, Categories] = field(default_factory=dict)

    def among(self, taken: NDArray[np.bool_]) -> "Profile":
        """Those blocks only; ``taken`` has shape (n_blocks,).

        >>> of_days = Profile(blocks=np.array([0, 5]), n_rows=np.array([8.0, 9.0]))
        >>> of_days.among(np.array([False, True])).n_rows.tolist()
        [9.0]
        """
        return Profile(
            blocks=self.blocks[taken],
            n_rows=self.n_rows[taken],
            numbers={name: column.rows(taken) for name, column in self.numbers.items()},
            categories={name: column.rows(taken) for name, column in self.categories.items()},
        )

    def renamed(self, names: Mapping[str, str]) -> "Profile":
        """With other names for some of its numbers.

        >>> Profile(blocks=np.empty(0, np.int64), n_rows=np.empty(0)).renamed({"score:3": "score"}).numbers
        {}
        """
        return replace(self, numbers={names.get(name, name): column for name, column in self.numbers.items()})


def merge(profiles: Sequence[Profile], grid: Grid) -> Profile:
    """All rows of several profiles, on one grid; in whatever order, but for the rounding of sums. Pure.

    Counts are exact where a profile was counted on that grid; else its values are taken to lie evenly within a bin. A
    column whose old bins say nothing (it had no value yet when they were made) loses those blocks. A
    category of more than 1,000 values keeps the most frequent of each merge.

    >>> first, second = (Profile(blocks=np.array([b]), n_rows=np.array([4.0])) for b in (0, 0))
    >>> merge([first, second], {}).n_rows.tolist()
    [8.0]
    """
    blocks = np.unique(np.concatenate([one.blocks for one in profiles])) if profiles else np.empty(0, np.int64)
    at = [np.searchsorted(blocks, one.blocks) for one in profiles]
    numbers = {name: None for one in profiles for name in one.numbers}
    categories = {name: None for one in profiles for name in one.categories}
    return Profile(
        blocks=blocks,
        n_rows=_added([one.n_rows for one in profiles], at, blocks.shape),
        numbers={
            name: _merged_numbers(edges, [one.numbers.get(name) for one in profiles], at, len(blocks))
            for name in numbers
            if (edges := grid.get(edges_name(name))) is not None
        },
        categories={
            name: _merged_categories([one.categories.get(name) for one in profiles], at, len(blocks))
            for name in categories
        },
    )


def edges_name(column: str) -> str:
    """Under which name the grid has the edges of a column: the scores of all versions share theirs.

    >>> edges_name("score:3"), edges_name("temp_f")
    ('score', 'temp_f')
    """
    return column.partition(":")[0]


def _merged_numbers(edges: Floats, columns: Sequence[Numbers | None], at: Sequence[Any], n_blocks: int) -> Numbers:
    pairs = [
        (column, where)
        for column, where in zip(columns, at, strict=True)
        if column is not None and (len(column.edges) or not len(edges) or not column.n_values.any())
    ]
    places = [where for _, where in pairs]

    def on_grid(name: str) -> Floats:
        parts = [
            regrid(getattr(column, name), column.edges, edges, low=column.low, high=column.high) for column, _ in pairs
        ]
        return _added(parts, places, (n_blocks, len(edges) + 1))

    def added(name: str) -> Floats:
        return _added([getattr(column, name) for column, _ in pairs], places, (n_blocks,))

    low, high = np.full((2, n_blocks), np.nan)
    for column, where in pairs:
        low[where], high[where] = np.fmin(low[where], column.low), np.fmax(high[where], column.high)
    return Numbers(
        edges=edges,
        counts=on_grid("counts"),
        sums=on_grid("sums"),
        squares=added("squares"),
        n_nulls=added("n_nulls"),
        n_infinite=added("n_infinite"),
        low=low,
        high=high,
    )


def _merged_categories(columns: Sequence[Categories | None], at: Sequence[Any], n_blocks: int) -> Categories:
    pairs = [(column, where) for column, where in zip(columns, at, strict=True) if column is not None]
    total: Counter[str] = Counter()
    for column, _ in pairs:
        total.update(dict(zip(column.values, column.counts.sum(axis=0).tolist(), strict=True)))
    kept = sorted(sorted(total), key=lambda value: -total[value])[:MOST_VALUES]
    place = {value: number for number, value in enumerate(sorted(kept))}
    counts, n_other = np.zeros((n_blocks, len(place) + 1)), np.zeros(n_blocks)
    for column, where in pairs:
        to = np.array([place.get(value, len(place)) for value in column.values], np.int64)
        np.add.at(counts, (np.asarray(where)[:, None], to[None, :]), column.counts)
        n_other[where] += column.n_other
    return Categories(
        values=tuple(place),
        counts=counts[:, :-1],
        n_nulls=_added([column.n_nulls for column, _ in pairs], [where for _, where in pairs], (n_blocks,)),
        n_other=n_other + counts[:, -1],
    )


def _added(parts: Sequence[Floats], at: Sequence[Any], shape: tuple[int, ...]) -> Floats:
    total = np.zeros(shape)
    if parts:
        np.add.at(total, np.concatenate(at), np.concatenate(parts))
    return total
