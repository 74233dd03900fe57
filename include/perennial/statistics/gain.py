"""The accumulated gain: what a retrain would have gained over the last windows, and whether it is worth its price.

Each window with mature labels gives a paired difference g of a fresh model to the champion with its standard error s,
on G blocks. S sums g, V sums s^2, D sums G - 1; all are zero again when S is not above zero, and after every retrain.
A retrain is worth its price when S > price and S > t(confidence, D) sqrt(V).
"""

from collections.abc import Iterable
from dataclasses import dataclass

from scipy.special import stdtrit

from perennial.contracts import Estimate


@dataclass(frozen=True, slots=True, kw_only=True)
class Gain:
    """What the windows since the last reset add up to.

    ``total`` is S, in the metric's unit, positive where a retrain would gain; ``variance`` is V, in its square, ``df``
    is D, and ``n_windows`` counts the windows.
    """

    total: float = 0.0
    variance: float = 0.0
    df: int = 0
    n_windows: int = 0

    def plus(self, gain: float, standard_error: float, n_blocks: int) -> "Gain":
        """This with one more window: its gain and standard error in the metric's unit, and its number of blocks.

        Raises ValueError for figures that are not finite, a standard error below zero, and fewer than two
        blocks.

        >>> NOTHING.plus(0.02, 0.01, 14).plus(0.03, 0.01, 14).n_windows
        2
        >>> NOTHING.plus(0.02, 0.01, 14).plus(-0.02, 0.01, 14) == NOTHING
        True
        """
        if not (abs(gain) < float("inf") and 0 <= standard_error < float("inf") and n_blocks >= 2):  # noqa: PLR2004
            raise ValueError(f"gain {gain} with standard error {standard_error} on {n_blocks} blocks is no measurement")
        total = self.total + gain
        if total <= 0:
            return NOTHING
        return Gain(
            total=total,
            variance=self.variance + standard_error**2,
            df=self.df + n_blocks - 1,
            n_windows=self.n_windows + 1,
        )

    def reach(self, confidence: float) -> float:
        """How far above zero S may lie by chance, one-sided: t(confidence, D) sqrt(V); infinite without a window.

        S minus it and S plus it are the ends of the interval of S that goes with the test.

        >>> round(NOTHING.plus(0.02, 0.01, 14).reach(0.95), 4), NOTHING.reach(0.95)
        (0.0177, inf)
        """
        return float(stdtrit(self.df, confidence)) * self.variance**0.5 if self.df else float("inf")

    def fires(self, *, price: float, confidence: float) -> bool:
        """Whether S is above the price, and above what chance gives.

        >>> seen = NOTHING.plus(0.03, 0.015, 14)
        >>> seen.fires(price=0.02, confidence=0.95), seen.fires(price=0.03, confidence=0.95)
        (True, False)
        >>> NOTHING.plus(0.03, 0.0175, 14).fires(price=0.02, confidence=0.95)  # 1.71 errors; t asks for 1.77
        False
        """
        return self.total > price and self.total > self.reach(confidence)


NOTHING = Gain()
"""Before the first window, after a reset, and after a retrain."""


def accumulate(windows: Iterable[Estimate], start: Gain = NOTHING) -> Gain:
    """The gain over windows in the order of time, each the paired difference of a fresh model to the champion.

    A window without an interval adds nothing and takes nothing away: that it could not be seen is for others to say.

    >>> seen = Estimate(value=0.03, interval=around(0.03, 0.015, 900, 14, 0.95))
    >>> accumulate([seen, Estimate(value=-1.0, problem="4 blocks; an interval needs 10")]).total
    0.03
    """
    gain = start
    for window in windows:
        if window.interval is not None and window.value is not None:
            gain = gain.plus(window.value, window.interval.standard_error, window.interval.n_blocks)
    return gain
