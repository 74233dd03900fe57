"""A quantile of values that come in blocks, with its interval."""

import numpy as np
from numpy.typing import NDArray

from perennial.contracts import Estimate, Interval
from perennial.statistics.blocks import Codes
from perennial.statistics.intervals import DEFAULT, Demands, mean


def quantile(values: NDArray[np.float64], share: float, blocks: Codes, *, demands: Demands = DEFAULT) -> Estimate:
    """The quantile of ``values``, shape (n,), below which a ``share`` of them lies; ``blocks`` numbers theirs.

    Its interval lies between the quantiles of the ends of an interval for that share, by blocks (R. Woodruff, Journal
    of the American Statistical Association 47, 1952); where that reaches beyond all values, there is none.

    >>> values, blocks = np.random.default_rng(1).exponential(size=2000), np.arange(2000) // 100
    >>> print(quantile(values, 0.95, blocks))
    2.876 (2.707 to 3.068)
    >>> quantile(values, 0.9999, blocks).problem
    'the interval of the 99.99 % quantile reaches beyond all 2000 values'
    """
    if not len(values) or not np.isfinite(values).all():
        return Estimate(problem="no finite values")
    value = float(np.quantile(values, share, method="inverted_cdf"))
    below = mean((values <= value).astype(np.float64), blocks, demands=demands)
    if below.interval is None:
        return Estimate(value=value, problem=below.problem)
    reach = (below.interval.high - below.interval.low) / 2
    if reach == 0 or not 0 < share - reach <= share + reach < 1:  # no reach: all values lie below, in every block
        problem = f"the interval of the {100 * share:g} % quantile reaches beyond all {len(values)} values"
        return Estimate(value=value, problem=problem)
    low, high = np.quantile(values, [share - reach, share + reach], method="inverted_cdf").tolist()
    t = reach / below.interval.standard_error if below.interval.standard_error > 0 else 1.0
    interval = Interval(
        low=low,
        high=high,
        standard_error=(high - low) / 2 / t,
        n_rows=len(values),
        n_blocks=below.interval.n_blocks,
        confidence=demands.confidence,
    )
    return Estimate(value=value, interval=interval)
