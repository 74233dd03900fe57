"""How far two distributions lie apart, by their counts in the same bins.

Which bins is the caller's: quantiles of the reference for Jensen-Shannon and PSI, many for Kolmogorov-Smirnov and
Wasserstein, with open bins at both ends, so that one outlier moves none of them. No distance here depends on the unit
of the column, nor, but for chance, on the number of rows.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]
Method = Literal[
    "jensen_shannon",
    "psi",
    "hellinger",
    "kl",
    "wasserstein",
    "ks",
    "chi_squared",
    "l_infinity",
    "null_rate",
    "null_days",
]
OF_NULLS: frozenset[Method] = frozenset({"null_rate", "null_days"})
"""Of the nulls of a column: how its null rate differs, and how the null rates of its blocks do."""
EMPTY = 1e-4
"""As what PSI and Kullback-Leibler take a share that is smaller, or zero."""

ROUNDING = 1e-12
"""A variance below this share of the mean square is rounding."""


@dataclass(frozen=True, slots=True)
class Sides:
    """Shares of shape (..., n_bins) that add up to one; a distance has shape (...).

    ``at``, shape (n_bins,), ascending, are the values that stand for the bins of a number.
    """

    window: Floats
    reference: Floats
    at: Floats


def jensen_shannon(sides: Sides) -> Floats:
    """Jensen-Shannon distance with the natural logarithm: 0 to sqrt(ln 2) = 0.83. J. Lin (1991).

    >>> distance("jensen_shannon", np.array([5, 0]), np.array([0, 7])).round(4).item()
    0.8326
    """
    middle = _entropy((sides.window + sides.reference) / 2)
    return np.asarray(np.sqrt(np.maximum(middle - (_entropy(sides.window) + _entropy(sides.reference)) / 2, 0.0)))


def psi(sides: Sides) -> Floats:
    """Population stability index, sum of (w - r) ln(w / r): at least 0. N. Siddiqi (2006), B. Yurdakul (2018).

    >>> distance("psi", np.array([50, 50]), np.array([25, 75])).round(4).item()
    0.2747
    """
    w, r = np.maximum(sides.window, EMPTY), np.maximum(sides.reference, EMPTY)
    return np.asarray(((w - r) * np.log(w / r)).sum(axis=-1))


def hellinger(sides: Sides) -> Floats:
    """Hellinger distance, sqrt(1 - sum of sqrt(w r)): 0 to 1. E. Hellinger (1909).

    >>> distance("hellinger", np.array([5, 0]), np.array([0, 7])).item()
    1.0
    """
    return np.asarray(np.sqrt(np.maximum(1.0 - np.sqrt(sides.window * sides.reference).sum(axis=-1), 0.0)))


def kl(sides: Sides) -> Floats:
    """Kullback-Leibler divergence of the window from the reference, sum of w ln(w / r): at least 0.

    >>> distance("kl", np.array([50, 50]), np.array([25, 75])).round(4).item()
    0.1438
    """
    w, r = np.maximum(sides.window, EMPTY), np.maximum(sides.reference, EMPTY)
    return np.asarray(np.maximum((w * np.log(w / r)).sum(axis=-1), 0.0))


def wasserstein(sides: Sides) -> Floats:
    """Earth mover's distance in standard deviations of the reference (of both where it has none): at least 0.

    >>> distance("wasserstein", np.array([0, 4, 4]), np.array([4, 4, 0]), np.array([0.0, 2.0, 4.0])).item()
    2.0
    """
    moved = (np.abs(np.cumsum(sides.window - sides.reference, axis=-1))[..., :-1] * np.diff(sides.at)).sum(axis=-1)
    own, both = _deviation(sides.reference, sides.at), _deviation((sides.window + sides.reference) / 2, sides.at)
    spread = np.where(own > 0, own, both)
    return np.asarray(np.where(spread > 0, moved / np.where(spread > 0, spread, 1.0), moved))


def ks(sides: Sides) -> Floats:
    """Kolmogorov-Smirnov distance, the largest difference of the distribution functions: 0 to 1.

    >>> distance("ks", np.array([0, 4, 4]), np.array([4, 4, 0]), np.array([0.0, 2.0, 4.0])).item()
    0.5
    """
    return np.asarray(np.abs(np.cumsum(sides.window - sides.reference, axis=-1)).max(axis=-1))


def chi_squared(sides: Sides) -> Floats:
    """Chi-squared distance, sqrt(1/2 sum of (w - r)^2 / (w + r)): 0 to 1; the statistic without the number of rows.

    >>> distance("chi_squared", np.array([5, 0]), np.array([0, 7])).item()
    1.0
    """
    both = sides.window + sides.reference
    return np.asarray(np.sqrt(((sides.window - sides.reference) ** 2 / np.where(both > 0, both, 1.0)).sum(axis=-1) / 2))


def l_infinity(sides: Sides) -> Floats:
    """The largest difference of a share: 0 to 1. Of nulls and values, it is the difference of the null rates.

    >>> distance("l_infinity", np.array([8, 2]), np.array([5, 5])).round(4).item()
    0.3
    """
    return np.asarray(np.abs(sides.window - sides.reference).max(axis=-1))


METHODS: dict[Method, tuple[Callable[[Sides], Floats], float]] = {
    "jensen_shannon": (jensen_shannon, 0.05),
    "psi": (psi, 0.05),
    "hellinger": (hellinger, 0.05),
    "kl": (kl, 0.05),
    "wasserstein": (wasserstein, 0.05),
    "ks": (ks, 0.05),
    "chi_squared": (chi_squared, 0.05),
    "l_infinity": (l_infinity, 0.05),
    "null_rate": (l_infinity, 0.02),
    "null_days": (ks, 0.5),
}
"""Each distance, and what is added to it before its logarithm is taken: differences far below that are nothing.

With as much as ``null_days`` adds, the logarithm hardly bends: blocks that all lie on one side of the others, at a
distance of 1, would else be as near to what chance gives as 0.8 is (power by columns in ``docs/statistics.md``).
"""


def distance(method: Method, window: NDArray[Any], reference: NDArray[Any], at: Floats | None = None) -> Floats:
    """The distance of two counts of shape (..., n_bins); NaN where a side counts nothing.

    Raises ValueError for ``wasserstein`` without ``at``.

    >>> distance("ks", np.array([0, 0]), np.array([1, 1])).item()
    nan
    """
    if method == "wasserstein" and at is None:
        raise ValueError("wasserstein needs the values that stand for the bins: give at")
    places = np.zeros(window.shape[-1]) if at is None else at
    return METHODS[method][0](Sides(_shares(window), _shares(reference), places))


def _shares(counts: NDArray[Any]) -> Floats:
    total = counts.sum(axis=-1, keepdims=True).astype(np.float64)
    return np.asarray(counts / np.where(total > 0, total, np.nan))


def _entropy(shares: Floats) -> Floats:
    return np.asarray(-(shares * np.log(np.where(shares > 0, shares, 1.0))).sum(axis=-1))


def _deviation(shares: Floats, at: Floats) -> Floats:
    off = at - at.mean()
    square = shares @ off**2
    variance = square - (shares @ off) ** 2
    return np.asarray(np.sqrt(np.where(variance > ROUNDING * square, variance, 0.0)))
