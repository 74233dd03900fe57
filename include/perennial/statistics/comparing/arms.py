"""Two models on rows of their own, with blocks that both may have rows in: as large as declared, and how far apart."""

import numpy as np
from numpy.typing import NDArray

from perennial.contracts import Estimate
from perennial.statistics.blocks import Codes, clustered_error, count_blocks, resamples
from perennial.statistics.comparing.shares import share
from perennial.statistics.intervals import (
    DEFAULT,
    NO_ROWS,
    Demands,
    around,
    lack_of,
    spread_of,
    spread_of_drawn,
    value_of,
)
from perennial.statistics.metrics import Metric
from perennial.statistics.rows import Rows


def difference_of_arms(
    metric: Metric,
    old: Rows | None,
    new: Rows | None,
    blocks: tuple[Codes, Codes],
    *,
    rng: np.random.Generator,
    demands: Demands = DEFAULT,
) -> Estimate:
    """How much better ``new`` is on its rows than ``old`` on others, in the metric's unit: positive is better.

    ``blocks`` number the blocks of both in one way, shapes (n_old,) and (n_new,). The influences of a block are summed
    over both arms before they are squared, so that a day that is hard for both counts as far as it is not; with no
    block in common the variances add. G is the number of all blocks, t has G - 1 degrees of freedom; each arm has to
    allow an interval by itself. Without influence function both are computed anew on the same blocks, drawn again.

    >>> from perennial.statistics.metrics import METRICS
    >>> from perennial.statistics.rows import rows_of
    >>> mae, off, days = METRICS["regression"]["mae"], np.arange(20.0), np.arange(20)
    >>> old, new = (rows_of("regression", labels=0 * off, scores=scores) for scores in (off + 1, off))
    >>> print(difference_of_arms(mae, old, new, (days, days), rng=np.random.default_rng(1)))
    1 (1 to 1)
    >>> print(difference_of_arms(mae, old, new, (days, days + 20), rng=np.random.default_rng(1)))
    1 (-2.735 to 4.735)
    """
    if old is None or new is None:
        return Estimate(problem=NO_ROWS)
    values = value_of(metric, [old]), value_of(metric, [new])
    if values[0] is None or values[1] is None:
        return Estimate(problem=f"{metric.name} does not exist on the rows of both")
    value, together = metric.loss(values[0], values[1]), np.concatenate(blocks)
    for side, of_side in zip((old, new), blocks, strict=True):
        if lack := lack_of(metric, side, of_side, count_blocks(of_side), demands):
            return Estimate(value=value, problem=lack)
    n_blocks = count_blocks(together)
    if metric.influence is not None:
        psi = np.concatenate([-metric.influence(old), metric.influence(new)])
        error: float | str = spread_of(clustered_error(psi, together), float(np.abs(psi).sum()))
    else:
        n_old, drawn = len(old.truth), list[float]()
        for places in resamples(together, demands.n_resamples, rng):
            theirs, mine = places[places < n_old], places[places >= n_old] - n_old
            again = value_of(metric, [old.take(theirs), new.take(mine)]) if len(theirs) and len(mine) else None
            drawn += [] if again is None else [again]
        error = spread_of_drawn(metric, drawn, n_blocks, demands)
    if isinstance(error, str):
        return Estimate(value=value, problem=error)
    return Estimate(value=value, interval=around(value, error, len(together), n_blocks, demands.confidence))


def share_of_arm(
    n_own: NDArray[np.int64], n_both: NDArray[np.int64], declared: float, *, demands: Demands = DEFAULT
) -> Estimate:
    """The share (0 to 1) of the rows that one arm has, to be held against the share that was ``declared`` for it.

    ``n_own`` and ``n_both``, shapes (G,), count the rows of that arm and of both in each of G blocks. An interval that
    does not hold ``declared`` is a sample ratio mismatch (A. Fabijan and others, KDD 2019): rows of one arm are lost,
    or added, and what chose them may have to do with their labels. Rows of a request, or of a key, have one arm; their
    number is not theirs to tell, so that the error is that of a ratio of sums over blocks (W. Cochran, Sampling
    Techniques, 1977, chapter 6). It is no smaller than sqrt(declared (1 - declared) / n), that of rows which are drawn
    one by one: no hash divides them more evenly than that but by chance, or few blocks may look as if it did. t has
    G - 1 degrees of freedom. Keys that come in many blocks belong together more than blocks of time can tell.

    >>> n_both = np.full(14, 1000)
    >>> print(share_of_arm(np.full(14, 500), n_both, 0.5, demands=Demands(confidence=0.999)))
    0.5 (0.4822 to 0.5178)
    >>> print(share_of_arm(np.full(14, 450), n_both, 0.5, demands=Demands(confidence=0.999)))
    0.45 (0.4322 to 0.4678)
    >>> print(share_of_arm(np.array([500] * 13 + [0]), n_both, 0.5, demands=Demands(confidence=0.999)))
    0.4643 (0.3135 to 0.615)
    >>> share_of_arm(np.full(3, 500), np.full(3, 1000), 0.5).problem
    '3 blocks; an interval needs 10'
    """
    found = share(n_own, n_both, demands=demands)
    if found.value is None or found.interval is None:
        return found
    seen = found.interval
    error = max(seen.standard_error, (declared * (1 - declared) / seen.n_rows) ** 0.5)
    return Estimate(
        value=found.value, interval=around(found.value, error, seen.n_rows, seen.n_blocks, demands.confidence)
    )
