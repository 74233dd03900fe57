"""How far a model treats groups apart: the largest differences of their rates, with intervals by blocks.

Binary decisions (1 is the favourable or the unfavourable one: the figures are the same). M. Hardt, E. Price and
N. Srebro, NeurIPS 2016; names and aggregation as in Fairlearn (``demographic_parity_difference``,
``equal_opportunity_difference``, and ``equalized_odds_difference`` with ``agg="mean"``, the average odds difference).
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from perennial.contracts import Estimate
from perennial.statistics.blocks import Codes, count_blocks
from perennial.statistics.influence import of_ratio
from perennial.statistics.intervals import DEFAULT, MOST_FAILED, Demands, around
from perennial.statistics.rows import Rows

Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Grouped:
    """Rows of a binary task, shape (n,), the group of each (text), and its block, numbered from 0."""

    rows: Rows
    groups: NDArray[Any]
    blocks: Codes


def statistical_parity(side: Grouped, *, demands: Demands = DEFAULT) -> Estimate:
    """The largest difference of the share of rows that are predicted positive, in [0, 1].

    >>> rows = Rows(np.zeros(40), np.zeros(40), np.tile([1, 1, 1, 0], 10))
    >>> print(statistical_parity(Grouped(rows, np.tile(["a", "b"], 20), np.repeat(np.arange(10), 4))))
    0.5 (0.5 to 0.5)
    """
    return _widest(side, side.rows.predicted == 1, np.ones(len(side.groups), bool), demands)


def equal_opportunity(side: Grouped, *, demands: Demands = DEFAULT) -> Estimate:
    """The largest difference of recall, in [0, 1]."""
    return _widest(side, side.rows.predicted == 1, side.rows.truth == 1, demands)


def average_odds(side: Grouped, *, demands: Demands = DEFAULT) -> Estimate:
    """The mean of the largest differences of recall and of the rate of false alarms, in [0, 1].

    Its interval is between the means of the ends of theirs, each at a confidence for both (Bonferroni).
    """
    each = replace(demands, confidence=1 - (1 - demands.confidence) / 2)
    of_recall, of_alarms = (_widest(side, side.rows.predicted == 1, side.rows.truth == label, each) for label in (1, 0))
    if of_recall.value is None or of_alarms.value is None:
        return Estimate(problem=of_recall.problem or of_alarms.problem)
    value = (of_recall.value + of_alarms.value) / 2
    one, other = of_recall.interval, of_alarms.interval
    if one is None or other is None:
        return Estimate(value=value, problem=of_recall.problem or of_alarms.problem)
    error = (one.standard_error + other.standard_error) / 2
    low, high = (one.low + other.low) / 2, (one.high + other.high) / 2
    found = replace(one, low=low, high=high, standard_error=error, confidence=demands.confidence)
    return Estimate(value=value, interval=replace(found, n_rows=len(side.blocks)))


MEASURES: dict[str, Callable[..., Estimate]] = {
    "statistical_parity": statistical_parity,
    "equal_opportunity": equal_opportunity,
    "average_odds": average_odds,
}
"""Every measure by name; each takes :class:`Grouped` and ``demands``."""


_AMONG: dict[str, tuple[int | None, ...]] = {
    "statistical_parity": (None,),
    "equal_opportunity": (1,),
    "average_odds": (1, 0),
}


def worsening(
    measure: str, old: Grouped, new: Grouped, *, rng: np.random.Generator, demands: Demands = DEFAULT
) -> Estimate:
    """By how much further apart ``new`` treats the groups than ``old`` does on the same rows: positive is worse.

    The largest difference of a rate is no mean: its error is the spread over blocks drawn with replacement, as for
    metrics without influence. Raises ValueError for rows of other groups or blocks.

    >>> rows = [Rows(np.zeros(40), np.zeros(40), np.tile(said, 10)) for said in ([1, 1, 0, 0], [1, 0, 1, 0])]
    >>> old, new = (Grouped(one, np.tile(["a", "b"], 20), np.repeat(np.arange(10), 4)) for one in rows)
    >>> worsening("statistical_parity", old, new, rng=np.random.default_rng(1)).value
    1.0
    """
    if not (np.array_equal(old.groups, new.groups) and np.array_equal(old.blocks, new.blocks)):
        raise ValueError("the two are not of the same rows: their groups or blocks differ")
    apart = [MEASURES[measure](side, demands=demands) for side in (old, new)]
    if apart[0].value is None or apart[1].value is None:
        return Estimate(problem=apart[0].problem or apart[1].problem)
    value, n_blocks = apart[1].value - apart[0].value, count_blocks(new.blocks)
    if n_blocks < demands.min_blocks:
        return Estimate(value=value, problem=f"{n_blocks} blocks; an interval needs {demands.min_blocks}")
    drawn = rng.multinomial(n_blocks, np.full(n_blocks, 1 / n_blocks), size=demands.n_resamples)
    gaps = [np.mean([_gaps(side, label, drawn) for label in _AMONG[measure]], axis=0) for side in (old, new)]
    values = gaps[1] - gaps[0]
    if (n_failed := int(np.isnan(values).sum())) > MOST_FAILED * len(values):
        return Estimate(value=value, problem=f"a group has no rows on {n_failed} of {len(values)} resamples")
    error = float(np.sqrt(n_blocks / (n_blocks - 1)) * np.nanstd(values, ddof=1))
    return Estimate(value=value, interval=around(value, error, len(new.groups), n_blocks, demands.confidence))


def _gaps(side: Grouped, label: int | None, drawn: NDArray[np.int64]) -> NDArray[np.float64]:
    """The largest difference of the rate of predicted positives on each draw, NaN where a group has no rows there.

    ``drawn``, shape (n_times, blocks), says how often each block is in. Of all rows, or those with the ``label``.
    """
    blocks = np.unique(side.blocks, return_inverse=True)[1]
    names, groups = np.unique(side.groups, return_inverse=True)
    among = np.ones(len(groups), bool) if label is None else side.rows.truth == label
    shape = (drawn.shape[1], len(names))
    sizes, hits = np.zeros(shape), np.zeros(shape)
    np.add.at(sizes, (blocks[among], groups[among]), 1)
    chosen = among & (side.rows.predicted == 1)
    np.add.at(hits, (blocks[chosen], groups[chosen]), 1)
    n_rows = drawn @ sizes
    rates = (drawn @ hits) / np.where(n_rows > 0, n_rows, np.nan)
    return np.asarray(rates.max(axis=1) - rates.min(axis=1))


def _widest(side: Grouped, chosen: Flags, among: Flags, demands: Demands) -> Estimate:
    """The largest difference between two groups of the share of ``chosen`` rows ``among`` theirs.

    Its interval holds the largest true one, whichever groups that is of: every pair has its own at a confidence for all
    of them together, and the ends are the greatest of theirs. Groups share blocks, which are summed over both.
    """
    names = np.unique(side.groups)
    members = [(side.groups == name) & among for name in names]
    for name, member in zip(names, members, strict=True):
        if member.sum() < demands.min_per_class:
            return Estimate(problem=f"{int(member.sum())} rows of {name}; {demands.min_per_class} are needed")
    if len(names) < 2:  # noqa: PLR2004 - one group is not treated apart
        return Estimate(problem="there is one group only")
    rates = [float(chosen[member].mean()) for member in members]
    n_blocks = count_blocks(side.blocks)
    value = max(rates) - min(rates)
    if n_blocks < demands.min_blocks:
        return Estimate(value=value, problem=f"{n_blocks} blocks; an interval needs {demands.min_blocks}")
    sums = [np.bincount(side.blocks, weights=of_ratio(chosen & member, member)) for member in members]
    pairs = list(combinations(range(len(names)), 2))
    confidence = 1 - (1 - demands.confidence) / len(pairs)
    each = []
    for one, other in pairs:
        error = float(np.sqrt(n_blocks / (n_blocks - 1) * np.square(sums[one] - sums[other]).sum()))
        each.append(around(abs(rates[one] - rates[other]), error, int(among.sum()), n_blocks, confidence))
    low, high = max(0.0, *(found.low for found in each)), min(1.0, max(found.high for found in each))
    widest = max(each, key=lambda found: found.high + found.low)
    return Estimate(value=value, interval=replace(widest, low=low, high=high, confidence=demands.confidence))
