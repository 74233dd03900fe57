"""Control limits: between which values the next one of a series lies, if it goes on as it did."""

from collections.abc import Sequence

import numpy as np
from scipy.special import ndtr, stdtrit

LEAST_EARLIER = 5
"""Fewer values do not say how much a series varies."""


def control_limits(earlier: Sequence[float], sigmas: float, *, least_spread: float = 0.0) -> tuple[float, float] | None:
    """The limits of the next value of a series, or None after fewer than five.

    mean +- t s sqrt(1 + 1 / n), with n - 1 degrees of freedom and the confidence that so many ``sigmas`` of a normal
    distribution have: W. Shewhart's limits (1931), as far apart as few values demand; s is ``least_spread`` at least.
    Trend and season are not known to them.

    >>> low, high = control_limits([10, 12, 11, 9, 10, 11, 12, 9], 3.0)
    >>> round(low, 2), round(high, 2)
    (4.76, 16.24)
    >>> control_limits([10, 12], 3.0)
    """
    n_earlier = len(earlier)
    if n_earlier < LEAST_EARLIER:
        return None
    values = np.asarray(earlier, dtype=np.float64)
    spread = max(float(values.std(ddof=1)), least_spread)
    reach = float(stdtrit(n_earlier - 1, ndtr(sigmas))) * spread * (1 + 1 / n_earlier) ** 0.5
    middle = float(values.mean())
    return middle - reach, middle + reach
