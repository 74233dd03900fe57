"""One figure over several windows, from the figure and the interval of each."""

from collections.abc import Sequence

from perennial.contracts import Estimate, Interval
from perennial.statistics.intervals import around


def over_windows(found: Sequence[Estimate]) -> Estimate:
    """The mean of a figure over windows that share no block, each weighted by its rows, with its interval.

    Standard errors add up as those of independent figures, with the degrees of freedom of B. Welch (Biometrika 34,
    1947), rounded down; where no window shows a spread there is none. ``n_rows`` are those of all windows, ``n_blocks``
    one more than the degrees of freedom, ``confidence`` the largest of theirs. Each has a value and an interval, in one
    unit. Raises ValueError for no window.

    >>> windows = [Estimate(value=v, interval=around(v, 0.02, 900, 14, 0.95)) for v in (0.5, 0.6)]
    >>> pooled = over_windows(windows)
    >>> print(pooled, pooled.interval.n_blocks)
    0.55 (0.5209 to 0.5791) 27
    >>> print(over_windows([*windows, Estimate(value=0.7, interval=around(0.7, 0.4, 18, 3, 0.95))]))
    0.5515 (0.5216 to 0.5813)
    """
    known = [(one.value, one.interval) for one in found if one.value is not None and one.interval is not None]
    if not known or len(known) < len(found):
        raise ValueError(f"{len(known)} of {len(found)} windows have a figure with an interval")
    n_rows = sum(interval.n_rows for _, interval in known)
    value = sum(figure * interval.n_rows for figure, interval in known) / n_rows
    squares = [(interval.n_rows / n_rows * interval.standard_error) ** 2 for _, interval in known]
    confidence = max(interval.confidence for _, interval in known)
    df = _degrees(squares, [interval for _, interval in known])
    return Estimate(value=value, interval=around(value, sum(squares) ** 0.5, n_rows, df + 1, confidence))


def _degrees(squares: list[float], intervals: list[Interval]) -> int:
    spread = sum(square**2 / (one.n_blocks - 1) for square, one in zip(squares, intervals, strict=True))
    return int(sum(squares) ** 2 / spread) if spread else sum(one.n_blocks - 1 for one in intervals)
