"""Two profiles side by side: the counts of one column by block, in the bins that each distance asks for. Pure."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from perennial.profiles.grid import Floats
from perennial.profiles.profile import Categories, Numbers, Profile
from perennial.statistics.drift.distances import Method, distance
from perennial.statistics.drift.permutation import BlockCounts

METHODS: dict[str, Method] = {
    "wasserstein": "wasserstein",
    "jensenshannon": "jensen_shannon",
    "psi_quantile": "psi",
    "hellinger": "hellinger",
    "kl_div": "kl",
}
"""Our distance for each ``signals.drift.*.method``."""

N_TENTHS, N_FINE = 10, 30
ALONG: frozenset[Method] = frozenset({"wasserstein", "ks"})
"""Distances along an axis: they are better the finer the bins are."""
OF_NUMBERS: tuple[Method, ...] = ("jensen_shannon", "psi", "wasserstein", "ks")
OF_CATEGORIES: tuple[Method, ...] = ("jensen_shannon", "chi_squared", "l_infinity")
WINSOR = 0.005
"""Beyond this share at either end of the reference, a value counts as one at its edge."""


@dataclass(frozen=True, slots=True)
class ColumnPair:
    """One column of a reference and of a window: counts of shape (n_blocks, n_bins), the blocks of the reference first.

    ``axis`` of a number holds the edges of its bins, and the sums of the values, shape (n_blocks, n_bins); of a
    category it is None, and its last bin holds all rare values.
    """

    name: str
    in_window: NDArray[np.bool_]
    counts: Floats
    n_nulls: Floats
    axis: tuple[Floats, Floats] | None = None

    @property
    def sides(self) -> tuple[Floats, Floats]:
        """Counts by bin of the window, and of the reference."""
        return self.counts[self.in_window].sum(axis=0), self.counts[~self.in_window].sum(axis=0)

    def value(self, method: Method) -> float:
        """The distance of the window from the reference; NaN where a side has no value.

        >>> twice = ColumnPair("x", np.array([False, True]), np.array([[5.0, 5.0], [8.0, 2.0]]), np.zeros(2))
        >>> round(twice.value("l_infinity"), 2)
        0.3
        """
        window, reference = self.sides
        if self.axis is None:
            return float(distance(method, window, reference))
        if method in ALONG:
            edges, sums = self.axis
            at = places(edges, sums[~self.in_window].sum(axis=0), reference)
            return float(distance(method, window, reference, at))
        starts = starts_of(reference, N_TENTHS)
        return float(distance(method, np.add.reduceat(window, starts), np.add.reduceat(reference, starts)))

    def null_rate(self) -> float:
        """By how much the share of nulls differs; NaN where a side has no row."""
        rates = []
        for side in (self.in_window, ~self.in_window):
            n_nulls, n_values = self.n_nulls[side].sum(), self.counts[side].sum()
            rates.append(n_nulls / (n_nulls + n_values) if n_nulls + n_values else np.nan)
        return float(abs(rates[0] - rates[1]))

    def permuted(self, methods: tuple[Method, ...]) -> list[BlockCounts]:
        """What the test is asked: ``methods``, in bins between the quantiles of both sides together.

        They must not depend on which block is the window's.
        """
        if self.axis is None:
            return [BlockCounts(column=self.name, counts=self.counts, methods=methods)]
        edges, sums = self.axis
        total, asked = self.counts.sum(axis=0), []
        at = places(edges, sums.sum(axis=0), total)
        for n_bins, some in ((N_TENTHS, set(methods) - ALONG), (N_FINE, set(methods) & ALONG)):
            starts = starts_of(total, n_bins)
            counts = np.add.reduceat(self.counts, starts, axis=1)
            of_bins = np.add.reduceat(total, starts)
            weighted = np.add.reduceat(at * total, starts) / np.where(of_bins > 0, of_bins, 1.0)
            ordered = tuple(method for method in methods if method in some)
            asked.append(BlockCounts(column=self.name, counts=counts, methods=ordered, at=weighted))
        return asked

    def permuted_nulls(self) -> list[BlockCounts]:
        """The same, of the null rate, and of the null rates of the blocks.

        Where whole days have no value, those outweigh in the null rate what happens on all the others; among the rates
        of the days each is one.
        """
        n_rows = self.n_nulls + self.counts.sum(axis=1)
        days = BlockCounts(column=self.name, counts=by_rate(self.n_nulls, n_rows, N_FINE), methods=("null_days",))
        return [BlockCounts.of_nulls(self.name, self.n_nulls, n_rows), days]


def by_rate(n_nulls: Floats, n_rows: Floats, n_bins: int) -> Floats:
    """In which of at most ``n_bins`` ranges, of about as many blocks each, the null rate of a block lies: 1 there.

    Shape (n_blocks, n_ranges), the ranges ascending; a block without rows lies in none.

    >>> by_rate(np.array([1.0, 0.0, 9.0, 1.0]), np.array([10.0, 0.0, 9.0, 10.0]), 30).tolist()
    [[1.0, 0.0], [0.0, 0.0], [0.0, 1.0], [1.0, 0.0]]
    """
    there = n_rows > 0
    rates, place = np.unique(n_nulls[there] / n_rows[there], return_inverse=True)
    each = np.zeros((len(n_rows), len(rates)))
    each[np.flatnonzero(there), place] = 1.0
    return np.asarray(np.add.reduceat(each, starts_of(each.sum(axis=0), n_bins), axis=1)) if len(rates) else each


def places(edges: Floats, sums: Floats, counts: Floats) -> Floats:
    """What stands for each bin, ascending: the mean of its values, winsorised at either end; all of shape (n_bins,).

    >>> places(np.array([1.0, 3.0]), np.array([0.0, 20.0, 9.0]), np.array([0.0, 10.0, 1.0])).tolist()
    [2.0, 2.0, 9.0]
    """
    ends = np.concatenate([edges[:1], edges, edges[-1:]])
    middles = ends[:-1] + np.diff(ends) / 2
    at = np.where(counts > 0, sums / np.where(counts > 0, counts, 1.0), middles)
    up_to = np.cumsum(counts) / max(counts.sum(), 1.0)
    first, last = np.searchsorted(up_to, [WINSOR, 1 - WINSOR]).clip(max=len(at) - 1)
    return np.asarray(np.maximum.accumulate(np.clip(at, at[first], at[last])))


def starts_of(counts: Floats, n_bins: int) -> NDArray[np.int64]:
    """Where to begin each of at most ``n_bins`` groups of bins, so that they hold about as many values each.

    >>> starts_of(np.array([50.0, 0.0, 30.0, 20.0]), 2).tolist(), starts_of(np.array([0.0, 0.0]), 2).tolist()
    ([0, 1], [0])
    """
    total = counts.sum()
    if not total:
        return np.zeros(1, np.int64)
    inner = np.searchsorted(np.cumsum(counts) / total, np.arange(1, n_bins) / n_bins - 1e-12) + 1
    return np.unique(np.concatenate([[0], inner[inner < len(counts)]]))


def beside(reference: Profile, window: Profile, name: str) -> ColumnPair | None:
    """A column of two profiles on one grid; None where a side does not have it."""
    sides = (reference, window)
    in_window = np.repeat([False, True], [len(side.blocks) for side in sides])
    if all(name in side.numbers for side in sides):
        return _number(name, in_window, [side.numbers[name] for side in sides])
    if all(name in side.categories for side in sides):
        return _category(name, in_window, [side.categories[name] for side in sides])
    return None


def _number(name: str, in_window: NDArray[np.bool_], sides: list[Numbers]) -> ColumnPair | None:
    if not len(sides[0].edges):
        return None
    return ColumnPair(
        name=name,
        in_window=in_window,
        counts=np.concatenate([side.counts for side in sides]),
        n_nulls=np.concatenate([side.n_nulls for side in sides]),
        axis=(sides[0].edges, np.concatenate([side.sums for side in sides])),
    )


def _category(name: str, in_window: NDArray[np.bool_], sides: list[Categories]) -> ColumnPair:
    values = sorted({value for side in sides for value in side.values})
    place = {value: at for at, value in enumerate(values)}
    aligned: list[NDArray[Any]] = []
    for side in sides:
        counts = np.zeros((len(side.counts), len(values) + 1))
        counts[:, [place[value] for value in side.values]] = side.counts
        counts[:, -1] = side.n_other
        aligned.append(counts)
    return ColumnPair(name, in_window, np.concatenate(aligned), np.concatenate([side.n_nulls for side in sides]))
