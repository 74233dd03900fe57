"""Blocks: the rows that depend on one another, because they are of one day, one hour or one entity.

Rows of a block are summed before anything is squared. Everything here is of shape (n,), one place a row.
"""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Codes: TypeAlias = NDArray[np.intp]


def blocks_of_times(times: NDArray[np.datetime64], period: timedelta) -> Codes:
    """The block of each event: 0, 1, ... in the order of time; blocks without an event have no number.

    ``times`` is datetime64 in UTC. A block is a multiple of ``period`` since 1970-01-01T00:00Z: days and hours are
    those of UTC, periods of 7 days begin on Thursdays. Raises ValueError for a missing time and a period that is not
    above zero.

    >>> times = np.array(["2013-01-01T23:59", "2013-01-02T00:00", "2013-01-05T12:00"], "datetime64[us]")
    >>> blocks_of_times(times, timedelta(days=1)).tolist()
    [0, 1, 2]
    """
    length = period // timedelta(microseconds=1)
    if length <= 0:
        raise ValueError(f"a block of {period} is not longer than zero")
    if np.isnat(times).any():
        raise ValueError(f"{int(np.isnat(times).sum())} of {len(times)} events have no time")
    return _codes(times.astype("datetime64[us]").astype(np.int64) // length)


def blocks_of_entities(entities: NDArray[Any]) -> Codes:
    """The block of each row: the rows of one entity (compared as text); those without an entity share one block.

    >>> blocks_of_entities(np.array(["ada", None, "ada", "bob", None], object)).tolist()
    [1, 0, 1, 2, 0]
    """
    import pandas as pd

    known = ~np.asarray(pd.isna(entities))
    codes = np.zeros(len(entities), np.intp)
    codes[known] = 1 + _codes(entities[known].astype(str))
    return _codes(codes)


def count_blocks(blocks: Codes) -> int:
    """How many blocks have a row.

    >>> count_blocks(np.array([0, 0, 3]))
    2
    """
    return int(np.count_nonzero(np.bincount(blocks)))


def clustered_error(psi: NDArray[np.float64], blocks: Codes) -> float:
    """The standard error of a figure whose rows have the influence ``psi``: cluster-robust, with G blocks.

    ``s^2 = G / (G - 1) * sum over blocks of (sum of psi)^2``; G is two at least. N. Obuchowski, Biometrics 53 (1997).

    >>> clustered_error(np.array([0.25, 0.25, -0.25, -0.25]), np.array([0, 0, 1, 1]))
    1.0
    """
    n_blocks = count_blocks(blocks)
    sums = np.bincount(blocks, weights=psi)
    return float(np.sqrt(n_blocks / (n_blocks - 1) * np.dot(sums, sums)))


def resamples(blocks: Codes, n_times: int, rng: np.random.Generator) -> Iterator[NDArray[np.intp]]:
    """``n_times`` the places of the rows of G blocks, drawn with replacement from the G blocks there are.

    >>> [sorted(places.tolist()) for places in resamples(np.array([0, 1, 1, 0]), 2, np.random.default_rng(1))]
    [[0, 1, 2, 3], [1, 1, 2, 2]]
    """
    order = np.argsort(blocks, kind="stable")
    sizes = np.bincount(blocks)
    starts = np.cumsum(sizes) - sizes
    present = np.flatnonzero(sizes)
    for _ in range(n_times):
        drawn = present[rng.integers(0, len(present), len(present))]
        n_rows = sizes[drawn]
        within = np.arange(n_rows.sum()) - np.repeat(np.cumsum(n_rows) - n_rows, n_rows)
        yield order[np.repeat(starts[drawn], n_rows) + within]


def _codes(values: NDArray[Any]) -> Codes:
    return np.unique(values, return_inverse=True)[1].astype(np.intp)
