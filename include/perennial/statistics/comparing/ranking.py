"""Whether a ranking by what matters most is the one it was."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from perennial.contracts import Estimate
from perennial.statistics.blocks import Codes, count_blocks, resamples
from perennial.statistics.intervals import DEFAULT, Demands, around

Numbers = NDArray[np.float64]


def ndcg(now: Numbers, before: Numbers) -> float | None:
    """How well the ranking by ``now`` puts what had a large share ``before`` first, in [0, 1]; both of shape (p,).

    Normalised discounted cumulative gain (K. Järvelin and J. Kekäläinen, TOIS 20, 2002), the earlier shares as gains:
    1 where the order is the same, and little less where only small ones changed places. None without any share.

    >>> before = np.array([0.6, 0.3, 0.1])
    >>> ndcg(np.array([5.0, 3.0, 1.0]), before), round(ndcg(np.array([1.0, 3.0, 5.0]), before), 3)
    (1.0, 0.702)
    """
    gains = np.clip(before, 0.0, None)
    if not gains.sum() > 0:
        return None
    discounts = 1 / np.log2(np.arange(2, len(gains) + 2))
    best = float((np.sort(gains)[::-1] * discounts).sum())
    found = float((gains[np.argsort(-now, kind="stable")] * discounts).sum())
    return found / best


def ndcg_of_means(
    now: Numbers,
    before: Numbers,
    *,
    blocks: tuple[Codes, Codes],
    rng: np.random.Generator,
    demands: Demands = DEFAULT,
) -> Estimate:
    """The :func:`ndcg` of the mean rows of two matrices, shape (n, p) and (m, p), by resampled blocks on both sides.

    Chance alone moves it down from 1, by as much as the means of columns of like weight change places.

    >>> rows = np.abs(np.random.default_rng(1).normal(size=(200, 3))) * [3.0, 2.0, 1.0]
    >>> found = ndcg_of_means(rows, rows, blocks=(np.arange(200) % 20,) * 2, rng=np.random.default_rng(2))
    >>> found.value, found.interval.high
    (1.0, 1.0)
    """
    value = ndcg(now.mean(axis=0), before.mean(axis=0))
    if value is None:
        return Estimate(problem="no column had any weight in the reference")
    n_blocks = min(count_blocks(side) for side in blocks)
    if n_blocks < demands.min_blocks:
        return Estimate(value=value, problem=f"{n_blocks} blocks; an interval needs {demands.min_blocks}")
    drawn = zip(*(resamples(side, demands.n_resamples, rng) for side in blocks), strict=True)
    values = [ndcg(now[mine].mean(axis=0), before[theirs].mean(axis=0)) for mine, theirs in drawn]
    error = float(np.std([known for known in values if known is not None], ddof=1))
    interval = around(value, error, len(now), n_blocks, demands.confidence)
    return Estimate(value=value, interval=replace(interval, low=max(interval.low, 0.0), high=min(interval.high, 1.0)))
