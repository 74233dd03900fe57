"""Means that are seen again and again: whether they differ, however often one looks.

A t test that is repeated after every window alarms in the end, whatever the truth. This is the one that may be: the
likelihood ratio of the two samples, averaged over shifts of delta standard deviations with delta ~ N(0, effect^2), and
over every mean and spread (the right Haar prior), is a nonnegative martingale where nothing shifted, so that it ever
exceeds 1 / alpha with probability alpha at most (J. Ville, 1939). M. Gönen, W. Johnson, Y. Lu and P. Westfall, American
Statistician 59 (2005), give the ratio; T. Lai, Annals of Statistics 4 (1976), and M. Pérez-Ortiz, T. Lardy, R. de Heide
and P. Grünwald, Annals of Statistics 52 (2024), why the right Haar prior makes it valid whatever the spread.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import reduce

import numpy as np
from numpy.typing import NDArray

from perennial.contracts import Estimate, Interval


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What is kept of some values: how many, their mean, and the sum of their squared deviations from it."""

    n: int = 0
    mean: float = 0.0
    squares: float = 0.0

    def plus(self, other: "Seen") -> "Seen":
        """Both together (T. Chan, G. Golub and R. LeVeque, American Statistician 37, 1983).

        >>> seen_of(np.array([1.0, 2.0])).plus(seen_of(np.array([6.0]))) == seen_of(np.array([1.0, 2.0, 6.0]))
        True
        """
        n = self.n + other.n
        if not n:
            return self
        apart = other.mean - self.mean
        squares = self.squares + other.squares + apart**2 * self.n * other.n / n
        return Seen(n=n, mean=self.mean + apart * other.n / n, squares=squares)


NOTHING = Seen()


def seen_of(values: NDArray[np.float64]) -> Seen:
    """What is kept of ``values``, shape (n,).

    >>> seen_of(np.array([1.0, 3.0]))
    Seen(n=2, mean=2.0, squares=2.0)
    """
    if not len(values):
        return NOTHING
    mean = float(values.mean())
    return Seen(n=len(values), mean=mean, squares=float(((values - mean) ** 2).sum()))


def together(parts: Iterable[Seen]) -> Seen:
    """All of them.

    >>> together([seen_of(np.array([1.0])), NOTHING, seen_of(np.array([3.0]))])
    Seen(n=2, mean=2.0, squares=2.0)
    """
    return reduce(Seen.plus, parts, NOTHING)


def shift_since(before: Seen, now: Seen, *, alpha: float, effect: float, n_rows: int) -> Estimate:
    """How much larger the mean of ``now`` is than that of ``before``, for whoever looks again after every value.

    Where the two have the same normal distribution, the interval ever excludes zero with probability ``alpha`` at most,
    over all that ``now`` will hold. It is the set of shifts at which the ratio is below 1 / alpha: with m and n values,
    nu = m + n - 2, n_d = m n / (m + n), r = 1 + n_d effect^2 and c = (sqrt(r) / alpha)^(2 / (nu + 1)), t^2 is
    nu (c - 1) / (1 - c / r) at its ends. ``effect``, in standard deviations, is where it is tightest; while c >= r, no
    shift could be excluded, and there is none. ``n_rows`` are those behind the values.

    >>> rng = np.random.default_rng(1)
    >>> before, now = seen_of(rng.normal(size=14)), seen_of(rng.normal(2, size=28))
    >>> print(shift_since(before, now, alpha=0.01, effect=1.0, n_rows=900))
    1.73 (0.5332 to 2.926)
    >>> shift_since(before, seen_of(np.array([2.0])), alpha=0.01, effect=1.0, n_rows=30).problem
    '14 and 1 blocks can not exclude any shift yet'
    """
    if not before.n or not now.n:
        return Estimate(problem=f"{before.n} and {now.n} blocks: both sides need one")
    value, nu = now.mean - before.mean, before.n + now.n - 2
    n_d = before.n * now.n / (before.n + now.n)
    reach = _reach(n_d, nu, alpha=alpha, effect=effect) if nu >= 1 else None
    if reach is None:
        return Estimate(value=value, problem=f"{before.n} and {now.n} blocks can not exclude any shift yet")
    error = ((before.squares + now.squares) / nu / n_d) ** 0.5
    interval = Interval(
        low=value - reach * error,
        high=value + reach * error,
        standard_error=error,
        n_rows=n_rows,
        n_blocks=nu + 1,
        confidence=1 - alpha,
    )
    return Estimate(value=value, interval=interval)


def at_every_look(found: Estimate, *, alpha: float, effect: float) -> Estimate:
    """An estimate of :mod:`perennial.statistics.intervals` with an interval for whoever looks again after every block.

    The same test for one sample: G blocks, each the value and G times the sum of its influences, whose t is the value
    less a shift by its standard error. Where these are normal and alike, the intervals of all looks together miss the
    truth with probability ``alpha`` at most; n_d = G and nu = G - 1 in :func:`shift_since`, and ``effect`` is in
    standard deviations of a block.

    >>> once = Estimate(value=0.05, interval=around(0.05, 0.01, 900, 14, 0.95))
    >>> print(once, "|", at_every_look(once, alpha=0.05, effect=0.5))
    0.05 (0.0284 to 0.0716) | 0.05 (0.01148 to 0.08852)
    """
    if found.interval is None or found.value is None:
        return found
    seen, n_blocks = found.interval, found.interval.n_blocks
    reach = _reach(n_blocks, n_blocks - 1, alpha=alpha, effect=effect)
    if reach is None:
        return Estimate(value=found.value, problem=f"{n_blocks} blocks can not exclude any difference yet")
    low, high = found.value - reach * seen.standard_error, found.value + reach * seen.standard_error
    return replace(found, interval=replace(seen, low=low, high=high, confidence=1 - alpha))


def _reach(n_d: float, nu: int, *, alpha: float, effect: float) -> float | None:
    """How many standard errors the interval reaches to either side; None while no shift could be excluded."""
    ratio = 1 + n_d * effect**2
    edge = (ratio**0.5 / alpha) ** (2 / (nu + 1))
    return None if edge >= ratio else float((nu * (edge - 1) / (1 - edge / ratio)) ** 0.5)
