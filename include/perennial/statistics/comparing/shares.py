"""How far shares and means of two sets of rows lie apart, by blocks on both sides."""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from perennial.contracts import Estimate, Interval
from perennial.statistics.blocks import Codes, clustered_error, count_blocks
from perennial.statistics.influence import of_ratio
from perennial.statistics.intervals import DEFAULT, Demands, around, difference, mean


def chebyshev(
    now: NDArray[Any], before: NDArray[Any], *, blocks: tuple[Codes, Codes], demands: Demands = DEFAULT
) -> tuple[Estimate, str]:
    """The largest difference of the share of a class, in [0, 1], and the class: the Chebyshev distance.

    ``now`` and ``before``, shape (n,) and (m,), name classes (compared as text); ``blocks`` are those of either side.
    The interval holds the largest true difference, whichever class that is of: each class has its own at a confidence
    for all of them together (C. Bonferroni), and the ends are the greatest of theirs.

    >>> shares, where = chebyshev(np.array(["a"] * 9 + ["b"]), np.array(["a", "b"] * 5), blocks=(np.arange(10),) * 2)
    >>> print(shares, where)
    0.4 (0 to 0.8169) b
    """
    now, before = now.astype(str), before.astype(str)
    names = np.union1d(now, before)
    n_compared = len(names) if len(names) > 2 else 1  # noqa: PLR2004 - of two the shares mirror each other
    each = replace(demands, confidence=1 - (1 - demands.confidence) / n_compared)
    apart = [
        absolute(_apart((now == name).astype(float), (before == name).astype(float), blocks, each)) for name in names
    ]
    values = [found.value or 0.0 for found in apart]
    largest = len(values) - 1 - int(np.argmax(values[::-1]))
    found, intervals = apart[largest], [one.interval for one in apart if one.interval is not None]
    if found.interval is None or len(intervals) < len(apart):
        return found, str(names[largest])
    low, high = max(one.low for one in intervals), min(max(one.high for one in intervals), 1.0)
    interval = replace(found.interval, low=low, high=max(high, low), confidence=demands.confidence)
    return replace(found, interval=interval), str(names[largest])


def shift(
    now: NDArray[np.float64], before: NDArray[np.float64], *, blocks: tuple[Codes, Codes], demands: Demands = DEFAULT
) -> Estimate:
    """How far two means lie apart, in standard deviations of ``before``; none where that is constant.

    >>> print(shift(np.arange(20.0) + 6, np.arange(20.0), blocks=(np.arange(20),) * 2))
    1.041 (0.3837 to 1.697)
    """
    spread = float(before.std()) if len(before) else 0.0
    if not spread > 0:
        return Estimate(problem="what it is compared with is constant")
    return absolute(_apart(now / spread, before / spread, blocks, demands))


def share(counts: NDArray[np.int64], totals: NDArray[np.int64], *, demands: Demands = DEFAULT) -> Estimate:
    """The share of ``counts`` in ``totals``, both of shape (G,) and of one block each; a block may hold no row.

    The error is that of a ratio of sums over blocks, by its influence.

    >>> print(share(np.array([1, 0] * 6), np.full(12, 10)))
    0.05 (0.01682 to 0.08318)
    >>> share(np.array([1]), np.array([4])).problem
    '1 blocks; an interval needs 10'
    """
    counts, totals = counts[totals > 0], totals[totals > 0]
    if not len(totals):
        return Estimate(problem="no rows")
    value, n_rows = float(counts.sum() / totals.sum()), int(totals.sum())
    if len(totals) < demands.min_blocks:
        return Estimate(value=value, problem=f"{len(totals)} blocks; an interval needs {demands.min_blocks}")
    error = clustered_error((counts - value * totals) / n_rows, np.arange(len(totals)))
    return Estimate(value=value, interval=around(value, error, n_rows, len(totals), demands.confidence))


def apart_from_rest(
    values: NDArray[np.float64], inside: NDArray[np.bool_], blocks: Codes, *, demands: Demands = DEFAULT
) -> Estimate:
    """How much larger the mean of some rows is than that of all others, shape (n,), by the blocks that both share.

    >>> values, inside = np.tile([3.0, 1.0, 2.0, 0.0], 10), np.tile([True, False], 20)
    >>> print(apart_from_rest(values, inside, np.repeat(np.arange(10), 4)))
    2 (2 to 2)
    """
    if not 0 < inside.sum() < len(inside):
        return Estimate(problem="there are no rows on one of both sides")
    value = float(values[inside].mean() - values[~inside].mean())
    n_blocks = count_blocks(blocks)
    if n_blocks < demands.min_blocks:
        return Estimate(value=value, problem=f"{n_blocks} blocks; an interval needs {demands.min_blocks}")
    psi = of_ratio(values * inside, inside) - of_ratio(values * ~inside, ~inside)
    error = clustered_error(psi, blocks)
    return Estimate(value=value, interval=around(value, error, int(inside.sum()), n_blocks, demands.confidence))


def absolute(found: Estimate) -> Estimate:
    """The distance of a figure from zero, with its interval.

    >>> print(absolute(Estimate(value=-0.5, interval=around(-0.5, 0.1, 900, 14, 0.95))))
    0.5 (0.284 to 0.716)
    >>> print(absolute(Estimate(value=-0.1, interval=around(-0.1, 0.1, 900, 14, 0.95))))
    0.1 (0 to 0.316)
    """
    if found.value is None or found.interval is None:
        return found if found.value is None else replace(found, value=abs(found.value))
    return Estimate(value=abs(found.value), interval=_folded(found.interval))


def _folded(interval: Interval) -> Interval:
    ends = sorted((abs(interval.low), abs(interval.high)))
    low = 0.0 if interval.low <= 0 <= interval.high else ends[0]
    return replace(interval, low=low, high=ends[1])


def _apart(
    now: NDArray[np.float64], before: NDArray[np.float64], blocks: tuple[Codes, Codes], demands: Demands
) -> Estimate:
    return difference(mean(now, blocks[0], demands=demands), mean(before, blocks[1], demands=demands))
