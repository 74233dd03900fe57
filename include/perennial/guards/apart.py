"""How far counts of two arms lie apart, each with an interval."""

import math
from bisect import bisect_left
from itertools import accumulate

from scipy.special import ndtri

from perennial.contracts import Estimate, Interval
from perennial.guards.figures import LATENCY_S


def rate(n_hits: float, n_all: float, confidence: float) -> tuple[float, float]:
    """The interval of a share (E. Wilson, Journal of the American Statistical Association 22, 1927).

    >>> [round(end, 4) for end in rate(0, 100, 0.95)]
    [0.0, 0.037]
    """
    z2 = float(ndtri((1 + confidence) / 2)) ** 2
    share = n_hits / n_all
    middle = share + z2 / (2 * n_all)
    reach = math.sqrt(z2 * (share * (1 - share) + z2 / (4 * n_all)) / n_all)
    scale = 1 + z2 / n_all
    return max(0.0, (middle - reach) / scale), min(1.0, (middle + reach) / scale)


def rise(own: tuple[float, float], beside: tuple[float, float] | None, confidence: float) -> Estimate:
    """How much larger a share is than another one, both as (hits, all); the share itself where there is no other.

    The interval is that of R. Newcombe (Statistics in Medicine 17, 1998, method 10), of Wilson's.

    >>> print(rise((30, 1000), (10, 1000), 0.95))
    0.02 (0.007819 to 0.03331)
    >>> print(rise((30, 1000), None, 0.95))
    0.03 (0.02109 to 0.0425)
    >>> rise((0, 0), (10, 1000), 0.95).problem
    'nothing was counted'
    """
    if not own[1]:
        return Estimate(problem="nothing was counted")
    mine, (low, high) = own[0] / own[1], rate(*own, confidence)
    if beside is None or not beside[1]:
        return _estimate(mine, low, high, own[1], confidence)
    theirs, (least, most) = beside[0] / beside[1], rate(*beside, confidence)
    value = mine - theirs
    down, up = math.hypot(mine - low, most - theirs), math.hypot(high - mine, theirs - least)
    return _estimate(value, value - down, value + up, own[1] + beside[1], confidence)


def distance(
    own: tuple[int, ...], beside: tuple[int, ...], n_independent: tuple[float, float], confidence: float
) -> Estimate:
    """The largest difference of two cumulative distributions, in [0, 1], of counts in the same bins: the distance of
    Kolmogorov and Smirnov. ``n_independent`` is how many rows each side is worth.

    No distribution is farther from its sample than sqrt(ln(2 / a) / (2 n)), but with probability a (P. Massart, Annals
    of Probability 18, 1990); both sides have half of the error.

    >>> print(distance((90, 10), (50, 50), (100, 100), 0.95))
    0.4 (0.104 to 0.696)
    >>> distance((0, 0), (50, 50), (0, 100), 0.95).problem
    'no rows to compare'
    """
    if not (sum(own) and sum(beside) and min(n_independent) > 0):
        return Estimate(problem="no rows to compare")
    up_to = zip(_below(own), _below(beside), strict=True)
    value = max(abs(mine - theirs) for mine, theirs in up_to)
    each = (1 - confidence) / 2
    reach = sum(math.sqrt(math.log(2 / each) / (2 * n_rows)) for n_rows in n_independent)
    return _estimate(value, max(0.0, value - reach), min(1.0, value + reach), sum(n_independent), confidence)


def latency_ratio(own: tuple[int, ...], beside: tuple[int, ...], share: float, confidence: float) -> Estimate:
    """How many times as long as beside it the quantile of the time to answer is, of counts by :data:`LATENCY_S`.

    The interval lies between the edges of the bins that hold the ranks n share +- z sqrt(n share (1 - share)) (R.
    Woodruff, Journal of the American Statistical Association 47, 1952), at half of the error on either side.

    >>> def at(place, n): return (0,) * place + (n,) + (0,) * (80 - place)
    >>> print(latency_ratio(at(44, 900), at(40, 900), 0.5, 0.95))
    2 (1.682 to 2.378)
    >>> latency_ratio(at(44, 90), at(40, 900), 0.99, 0.95).problem
    'the 99 % quantile of 90 requests reaches beyond them'
    """
    ends = []
    for counts in (own, beside):
        if not sum(counts):
            return Estimate(problem="no requests to compare")
        found = _quantile(counts, share, 1 - (1 - confidence) / 2)
        if found is None:
            problem = f"the {100 * share:g} % quantile of {sum(counts)} requests reaches beyond them"
            return Estimate(value=typical_s(own, share) / typical_s(beside, share), problem=problem)
        ends.append(found)
    (low, high), (least, most) = ends
    value = typical_s(own, share) / typical_s(beside, share)
    return _estimate(value, min(low / most, value), max(high / least, value), sum(own) + sum(beside), confidence)


def typical_s(counts: tuple[int, ...], share: float) -> float:
    """The quantile in seconds: the geometric middle of the bin that holds it; NaN without a count.

    >>> round(typical_s((0,) * 40 + (9,) + (0,) * 40, 0.5), 3)
    0.094
    """
    if not sum(counts):
        return math.nan
    low, high = _edges(bisect_left(list(accumulate(counts)), max(1.0, share * sum(counts))))
    return math.sqrt(low * high)


def _quantile(counts: tuple[int, ...], share: float, confidence: float) -> tuple[float, float] | None:
    up_to = list(accumulate(counts))
    n_all = up_to[-1]
    reach = float(ndtri((1 + confidence) / 2)) * math.sqrt(n_all * share * (1 - share))
    low, high = math.floor(n_all * share - reach), math.ceil(n_all * share + reach)
    if low < 1 or high > n_all:
        return None
    return _edges(bisect_left(up_to, low))[0], _edges(bisect_left(up_to, high))[1]


def _edges(place: int) -> tuple[float, float]:
    """The ends of a bin in seconds; the open ones are as wide as their neighbours."""
    step = LATENCY_S[1] / LATENCY_S[0]
    low = LATENCY_S[place - 1] if place else LATENCY_S[0] / step
    return low, LATENCY_S[place] if place < len(LATENCY_S) else low * step


def _below(counts: tuple[int, ...]) -> list[float]:
    total = sum(counts)
    return [count / total for count in accumulate(counts)]


def _estimate(value: float, low: float, high: float, n_rows: float, confidence: float) -> Estimate:
    error = (high - low) / 2 / float(ndtri((1 + confidence) / 2))
    n_whole = round(n_rows)
    interval = Interval(
        low=low, high=high, standard_error=error, n_rows=n_whole, n_blocks=n_whole, confidence=confidence
    )
    return Estimate(value=value, interval=interval)
