"""Whether a window lies further from a reference than blocks of both would by chance, over all columns at once.

The blocks (days) of window and reference are pooled and permuted between the two. Each distance of each column becomes
z = (log(distance + c) - mean) / (sd + 0.03) over the permutations, and the largest z of the window is ranked among the
largest z of the permutations: the rank is p for the whole family. It asks for counts per block and for no rows. Judged
one by one, twenty columns alarm in five of six windows without a change (``docs/statistics.md``). After P. Westfall and
S. Young, Resampling-Based Multiple Testing (1993): the largest statistic.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import comb, isfinite
from typing import Any

import numpy as np
from numpy.typing import NDArray

from perennial.statistics.drift.distances import METHODS, Floats, Method, distance

SPREAD = 0.03
"""Added to the standard deviation of a log distance, so that columns that hardly move do not shout."""
CACHED = 20_000
"""As many counts at a time as a processor keeps at hand: twice as fast as all at once."""
SAME = 1e-9
"""Two z that differ by less are one: of the same permutation, or of one that gives the same counts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockCounts:
    """The counts of one column by block and bin, shape (n_blocks, n_bins), and the distances asked of them.

    ``at``, shape (n_bins,), are the values of the bins, for ``wasserstein``. A column may come more than once, in other
    bins for other methods.
    """

    column: str
    counts: NDArray[Any]
    methods: tuple[Method, ...]
    at: Floats | None = None

    @classmethod
    def of_nulls(cls, column: str, n_nulls: NDArray[Any], n_rows: NDArray[Any]) -> "BlockCounts":
        """The null rate of a column: its nulls and its rows by block, both of shape (n_blocks,).

        >>> BlockCounts.of_nulls("temp", np.array([1, 0]), np.array([10, 9])).counts.tolist()
        [[1, 9], [0, 9]]
        """
        return cls(column=column, counts=np.stack([n_nulls, n_rows - n_nulls], axis=1), methods=("null_rate",))


@dataclass(frozen=True, slots=True, kw_only=True)
class Drifted:
    """One distance of one column: how large, and how large it is under the permutations.

    ``quantiles`` are those of the distance itself that were asked for. ``p`` is for the whole family: the share of
    permutations in which any distance of any column has a z as large. All are None, or empty, where the distance does
    not exist because a side counts nothing.
    """

    column: str
    method: Method
    distance: float | None
    quantiles: tuple[float, ...]
    z: float | None
    p: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftTest:
    """The answer over all columns and methods, in the order in which they were asked for.

    ``p`` is the smallest of all, None where no distance exists; ``least_p`` the smallest that these numbers of blocks
    and permutations allow: a test that can not alarm is no test that passed.
    """

    p: float | None
    least_p: float
    n_window_blocks: int
    n_reference_blocks: int
    n_permutations: int
    found: tuple[Drifted, ...]


def permute_blocks(
    columns: Sequence[BlockCounts],
    in_window: NDArray[np.bool_],
    *,
    rng: np.random.Generator,
    n_permutations: int = 2000,
    quantiles: Sequence[float] = (0.5, 0.95, 0.99),
) -> DriftTest:
    """Compares the blocks in the window with the others, all of them the rows of every column's counts.

    ``in_window`` has shape (n_blocks,). Where blocks can be parted in no more than ``n_permutations`` ways, each way is
    taken once and ``rng`` is not used. Raises ValueError where window or reference has no block, or a column other
    blocks.

    >>> counts = np.tile([8, 2], (30, 1))
    >>> counts[:10] = [2, 8]
    >>> shifted = BlockCounts(column="temp", counts=counts, methods=("l_infinity",))
    >>> found = permute_blocks([shifted], np.arange(30) < 10, rng=np.random.default_rng(1), n_permutations=199)
    >>> found.p, round(found.found[0].distance, 2)
    (0.005, 0.6)
    """
    n_blocks, n_window = len(in_window), int(in_window.sum())
    if not 0 < n_window < n_blocks:
        raise ValueError(f"{n_window} of {n_blocks} blocks in the window: both sides need one")
    if wrong := [column.column for column in columns if len(column.counts) != n_blocks]:
        raise ValueError(f"not {n_blocks} blocks: {', '.join(wrong)}")
    parted = partings(in_window, n_permutations, rng)
    measured = [part for column in columns for part in _measure(column, parted)]
    # shape (n_distances, n_permutations), the first of which is the window itself
    z = np.stack([scores for _, _, _, scores in measured]) if measured else np.empty((0, len(parted)))
    largest = np.fmax.reduce(z, axis=0, initial=-np.inf)
    found = tuple(_drifted(part, largest, quantiles) for part in measured)
    known = [one.p for one in found if one.p is not None]
    return DriftTest(
        p=min(known) if known else None,
        least_p=1 / len(parted),
        n_window_blocks=n_window,
        n_reference_blocks=n_blocks - n_window,
        n_permutations=len(parted),
        found=found,
    )


def partings(in_window: NDArray[np.bool_], n_permutations: int, rng: np.random.Generator) -> Floats:
    """Which blocks are the window, as 1.0, in each permutation: the first is the window itself.

    Of shape (n, n_blocks); each way to part them once where there are no more than ``n_permutations``.

    >>> partings(np.array([True, False, False]), 9, np.random.default_rng(1)).tolist()
    [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
    """
    n_blocks, n_window = len(in_window), int(in_window.sum())
    if comb(n_blocks, n_window) > n_permutations:
        others = rng.permuted(np.tile(in_window, (n_permutations, 1)), axis=1)
        return np.vstack([in_window, others]).astype(np.float64)
    every = np.array(list(combinations(range(n_blocks), n_window)))
    parted = np.zeros((len(every), n_blocks))
    np.put_along_axis(parted, every, 1.0, axis=1)
    return np.asarray(np.vstack([in_window, parted[(parted != in_window).any(axis=1)]]))


def _measure(column: BlockCounts, parted: Floats) -> Iterator[tuple[str, Method, Floats, Floats]]:
    """Each distance of a column under the permutations, and its z, both of shape (n_permutations,)."""
    counts = column.counts.astype(np.float64)
    total, step = counts.sum(axis=0), max(1, CACHED // counts.shape[1])
    windows = [parted[start : start + step] @ counts for start in range(0, len(parted), step)]
    for method in column.methods:
        values = np.concatenate([distance(method, window, total - window, column.at) for window in windows])
        logs = np.log(values + METHODS[method][1])
        known = logs[np.isfinite(logs)]
        z = (logs - known.mean()) / (known.std() + SPREAD) if len(known) else logs
        yield column.column, method, values, z


def _drifted(part: tuple[str, Method, Floats, Floats], largest: Floats, quantiles: Sequence[float]) -> Drifted:
    column, method, values, z = part
    if not isfinite(values[0]):
        return Drifted(column=column, method=method, distance=None, quantiles=(), z=None, p=None)
    return Drifted(
        column=column,
        method=method,
        distance=float(values[0]),
        quantiles=tuple(np.nanquantile(values, list(quantiles)).tolist()),
        z=float(z[0]),
        p=float((largest >= z[0] - SAME).mean()),
    )
