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
from perennial.statistics.intervals import DEFAULT, Demands, around
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
