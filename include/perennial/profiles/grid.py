"""Where numbers are counted: bins that are fixed before the rows come, so that counts of any blocks can be added.

A grid has for every number its edges, shape (n_bins - 1,), ascending; bin i holds the values from edge i - 1 on and
below edge i, the first and the last one are open. It is made of a sample: 200 bins that hold as many values each, and a
bin of its own, from v to the next float after it, for every value v that fills such a bin alone. Without those a column
of few values would lose them (a PSI off by 1.75 on the flights).
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]
Grid: TypeAlias = Mapping[str, Floats]
N_BINS = 200


def edges_of(values: NDArray[Any]) -> Floats:
    """The edges for a column, from a sample of its values; those that are not finite are left out.

    >>> edges = edges_of(np.array([0.0] * 600 + [1.0, 2.0, 3.0]))
    >>> edges.tolist() == [0.0, np.nextafter(0, 1), np.nextafter(3, 4)]
    True
    >>> len(edges_of(np.arange(1000.0)))
    201
    """
    ordered = np.sort(values[np.isfinite(values)].astype(np.float64))
    if not len(ordered):
        return np.empty(0)
    inner = ordered[np.arange(N_BINS) * len(ordered) // N_BINS]
    distinct, n_each = np.unique(ordered, return_counts=True)
    atoms = distinct[n_each >= max(2.0, len(ordered) / N_BINS)]
    ends = [np.nextafter(ordered[-1], np.inf)]
    return np.unique(np.concatenate([inner, atoms, np.nextafter(atoms, np.inf), ends]))


def regrid(counts: Floats, before: Floats, after: Floats, *, low: Floats, high: Floats) -> Floats:
    """Counts of shape (n_blocks, n_bins) in the bins of other edges; within a bin values are taken to lie evenly.

    ``low`` and ``high``, shape (n_blocks,), are the least and the largest value of each block.

    >>> counts, ends = np.array([[0.0, 8.0, 2.0]]), dict(low=np.array([0.0]), high=np.array([12.0]))
    >>> regrid(counts, np.array([0.0, 4.0]), np.array([2.0]), **ends).tolist()
    [[4.0, 6.0]]
    """
    if before is after or np.array_equal(before, after):
        return counts
    below = np.cumsum(counts, axis=1)
    moved = np.zeros((len(counts), len(after) + 1))
    for block, total in enumerate(below[:, -1]):
        if total:  # without a value there is nothing to move, and no low or high
            least, most = np.fmin(low[block], before[:1]), np.fmax(np.nextafter(high[block], np.inf), before[-1:])
            at = np.concatenate([least, before, most])
            up_to = np.interp(after, at, np.concatenate([[0.0], below[block]]), left=0.0, right=total)
            moved[block] = np.diff(np.concatenate([[0.0], up_to, [total]]))
    return moved


def encode_grid(grid: Grid) -> bytes:
    """The grid as bytes, the same ones every time.

    >>> decode_grid(encode_grid({"temp": np.array([1.5, 2.0])}))["temp"].tolist()
    [1.5, 2.0]
    """
    sizes = json.dumps({name: len(edges) for name, edges in grid.items()}).encode()
    return b"\n".join([sizes, b"".join(np.asarray(edges, "<f8").tobytes() for edges in grid.values())])


def decode_grid(kept: bytes) -> dict[str, Floats]:
    """What :func:`encode_grid` made bytes of."""
    sizes, _, edges = kept.partition(b"\n")
    lengths: dict[str, int] = json.loads(sizes)
    parts = np.split(np.frombuffer(edges, "<f8").astype(np.float64), np.cumsum(list(lengths.values()))[:-1])
    return dict(zip(lengths, parts, strict=True)) if lengths else {}


def grid_id(grid: Grid) -> str:
    """The same for the same edges of the same columns, and for no others.

    >>> grid_id({"temp": np.array([1.5])}) == grid_id({"temp": np.array([1.6])})
    False
    """
    return hashlib.sha256(encode_grid(grid)).hexdigest()[:16]
