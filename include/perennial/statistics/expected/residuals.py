"""Whether residuals are what they were on the holdout, by permuted blocks: how large they are, or how scores err.

Blocks of holdout and window are pooled and parted anew, as for the drift of features
(:mod:`perennial.statistics.drift.permutation`): what days differ by, chance makes as well.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from perennial.contracts import Chance
from perennial.statistics.blocks import Codes
from perennial.statistics.drift.distances import Floats, distance
from perennial.statistics.drift.permutation import SAME, partings

N_BINS = 50
"""Between quantiles of the holdout's residuals."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Residuals:
    """The residuals (label less score) of one side, shape (n,), their groups of like scores, and their blocks."""

    values: NDArray[np.float64]
    groups: Codes
    blocks: Codes


@dataclass(frozen=True, slots=True, kw_only=True)
class ResidualShift:
    """How far the residuals of two sides lie apart, beside what permuted blocks give, and the least p that can be."""

    value: float
    chance: Chance
    least_p: float


def sizes_apart(
    before: Residuals, now: Residuals, *, n_permutations: int, confidence: float, rng: np.random.Generator
) -> ResidualShift | str:
    """The Wasserstein distance of two distributions of residuals, in standard deviations of ``before``; or why not.

    In ``N_BINS`` bins between its quantiles, the outer ones taken at their means.

    >>> rng = np.random.default_rng(1)
    >>> before, now = (
    ...     Residuals(values=rng.normal(mean, size=400), groups=np.zeros(400, np.intp), blocks=np.arange(400) // 20)
    ...     for mean in (0, 1)
    ... )
    >>> found = sizes_apart(before, now, n_permutations=999, confidence=0.99, rng=rng)
    >>> round(found.value, 1), found.chance.p
    (1.1, 0.001)
    """
    if not len(now.values) or not len(before.values) or not before.values.std() > 0:
        return "a side has no residuals, or those of the holdout are all the same"
    edges = np.unique(np.quantile(before.values, np.linspace(0, 1, N_BINS + 1)[1:-1]))
    known, asked = (np.searchsorted(edges, side.values, side="right") for side in (before, now))
    n_bins = len(edges) + 1
    sizes = np.bincount(known, minlength=n_bins)
    middles = np.concatenate([edges[:1], (edges[1:] + edges[:-1]) / 2, edges[-1:]])
    at = np.where(
        sizes > 0, np.bincount(known, weights=before.values, minlength=n_bins) / np.maximum(sizes, 1), middles
    )
    counts = np.vstack([_counted(before.blocks, known, n_bins), _counted(now.blocks, asked, n_bins)])

    def far(window: Floats, rest: Floats) -> Floats:
        return distance("wasserstein", window, rest, at)

    return _permuted(counts, before, now, far, n_permutations=n_permutations, confidence=confidence, rng=rng)


def errors_apart(
    before: Residuals, now: Residuals, *, n_permutations: int, confidence: float, rng: np.random.Generator
) -> ResidualShift | str:
    """How much the mean residual of like scores differs, in the mean over the scores of ``now``; or why it can not be.

    In [0, 2]: sum_g w_g |r_g(now) - r_g(before)|, w_g the share of the rows of ``now`` in the group g, as far as both
    sides have rows of it. Where scores are probabilities, it is how far their calibration moved, whatever their mix.

    >>> rng = np.random.default_rng(1)
    >>> before, now = (
    ...     Residuals(values=rng.normal(mean, size=400), groups=np.arange(400) % 4, blocks=np.arange(400) // 20)
    ...     for mean in (0, 1)
    ... )
    >>> found = errors_apart(before, now, n_permutations=999, confidence=0.99, rng=rng)
    >>> round(found.value, 1), found.chance.p
    (1.0, 0.001)
    """
    n_groups = int(max(side.groups.max(initial=-1) for side in (before, now))) + 1
    if not len(before.values) or not len(now.values):
        return "a side has no residuals"
    sums = np.vstack(
        [
            np.hstack(
                [
                    _counted(side.blocks, side.groups, n_groups),
                    _counted(side.blocks, side.groups, n_groups, side.values),
                ]
            )
            for side in (before, now)
        ]
    )

    def far(window: Floats, rest: Floats) -> Floats:
        (n_now, sum_now), (n_before, sum_before) = (np.split(side, 2, axis=1) for side in (window, rest))
        weights = n_now * (n_before > 0)
        gaps = np.abs(sum_now / np.maximum(n_now, 1) - sum_before / np.maximum(n_before, 1))
        return np.asarray((weights * gaps).sum(axis=1) / np.maximum(weights.sum(axis=1), 1))

    return _permuted(sums, before, now, far, n_permutations=n_permutations, confidence=confidence, rng=rng)


def _permuted(
    counts: Floats,
    before: Residuals,
    now: Residuals,
    far: Callable[[Floats, Floats], Floats],
    *,
    n_permutations: int,
    confidence: float,
    rng: np.random.Generator,
) -> ResidualShift | str:
    """``counts``, shape (n_blocks, n_cells), are those of the blocks of ``before``, then of ``now``."""
    n_before = int(before.blocks.max()) + 1
    parted = partings(np.arange(len(counts)) >= n_before, n_permutations, rng)
    windows = parted @ counts
    values = far(windows, counts.sum(axis=0) - windows)
    if not np.isfinite(values[0]):
        return "the residuals of both sides can not be compared"
    chance = Chance(
        quantile=float(np.nanquantile(values, confidence)),
        confidence=confidence,
        p=float((values >= values[0] - SAME).mean()),
        n_rows=len(now.values),
        n_blocks=len(counts),
    )
    return ResidualShift(value=float(values[0]), chance=chance, least_p=1 / len(parted))


def _counted(blocks: Codes, bins: Codes, n_bins: int, weights: NDArray[np.float64] | None = None) -> Floats:
    """How many rows, or the sum of their weights, of each block (numbered from 0) and bin."""
    cells = np.bincount(blocks * n_bins + bins, weights=weights, minlength=(int(blocks.max()) + 1) * n_bins)
    return cells.reshape(-1, n_bins).astype(np.float64)
