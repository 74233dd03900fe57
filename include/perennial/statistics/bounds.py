"""Where an interval stands to a bound."""

import math
from typing import Literal

from perennial.contracts import Estimate

Standing = Literal["ok", "breached", "undecided"]


def standing(estimate: Estimate, bound: float, *, is_least: bool) -> Standing:
    """Whether a figure keeps a bound: the least that is allowed (``is_least``), or the most.

    ``ok`` when all of the interval keeps it, ``breached`` when none does; a figure at the bound keeps it. Everything
    else is ``undecided``: these rows could not have shown it, and that is no pass. So is what has no interval. Raises
    ValueError for a bound that is no number.

    >>> auc = Estimate(
    ...     value=0.7, low=0.65, high=0.75, standard_error=0.02, n=900, n_blocks=14, df=13, confidence=0.95
    ... )
    >>> [standing(auc, bound, is_least=True) for bound in (0.6, 0.65, 0.7, 0.75, 0.76)]
    ['ok', 'ok', 'undecided', 'undecided', 'breached']
    >>> [standing(auc, bound, is_least=False) for bound in (0.6, 0.65, 0.7, 0.75, 0.76)]
    ['breached', 'undecided', 'undecided', 'ok', 'ok']
    >>> unseen = Estimate.without_interval("4 blocks; an interval needs 10", value=0.2)
    >>> standing(unseen, 0.6, is_least=True), standing(unseen, 0.1, is_least=True)
    ('undecided', 'undecided')
    """
    if math.isnan(bound):
        raise ValueError("a bound that is no number can be kept by nothing")
    if estimate.low is None or estimate.high is None:
        return "undecided"
    worst, best = (estimate.low, estimate.high) if is_least else (-estimate.high, -estimate.low)
    least = bound if is_least else -bound
    if worst >= least:
        return "ok"
    return "breached" if best < least else "undecided"
