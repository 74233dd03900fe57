"""A metric, or the difference of two models in it, with the interval that the blocks of its rows allow.

Rows of one block (a day, a user) are not independent: taken for independent, nominal 95 % intervals of an AUC
covered 75 % (``docs/statistics.md``). Influence functions are summed over blocks where the metric has one
(:mod:`perennial.statistics.influence`); any other metric is computed anew on resampled blocks. Either way the interval
is the value plus and minus t with G - 1 degrees of freedom times the standard error, G blocks: of no width where every
block shows the same (two models with the same answers, a constant score). What has no interval says why, and is never
taken for one that has.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from perennial.contracts import Estimate, Interval
from perennial.statistics.blocks import Codes, clustered_error, count_blocks, resamples
from perennial.statistics.metrics import Influence, Metric
from perennial.statistics.rows import Rows

NO_ROWS = "no rows to measure: fewer than two, a value that is missing or infinite, or a class that is not declared"
ROUNDING = 1e-12
"""A standard error below this share of the influence of all rows together is no spread, but rounding."""
MOST_FAILED = 0.02
"""With a larger share of resamples on which the metric does not exist, the others are no fair sample of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Demands:
    """What an interval is asked for: its confidence, and the least evidence that makes one.

    ``min_per_class`` rows of each class, and each class in ``min_blocks`` blocks, are asked of the metrics that are
    made of figures per class. ``n_resamples`` bounds what a metric without influence function costs.
    """

    confidence: float = 0.95
    min_blocks: int = 10
    min_per_class: int = 10
    n_resamples: int = 400

    def __post_init__(self) -> None:
        if not 0 < self.confidence < 1:
            raise ValueError(f"confidence {self.confidence} does not lie between 0 and 1")
        if self.min_blocks < 2:  # noqa: PLR2004 - one block shows no spread
            raise ValueError("fewer than two blocks show no spread")
        if self.n_resamples < 2:  # noqa: PLR2004 - nor does one resample
            raise ValueError("fewer than two resamples show no spread")


DEFAULT = Demands()


def estimate(
    metric: Metric, rows: Rows | None, blocks: Codes, *, rng: np.random.Generator, demands: Demands = DEFAULT
) -> Estimate:
    """The metric on ``rows`` with its interval, within the range of its values.

    ``blocks``, shape (n,), numbers the block of each row from 0. ``rng`` is used by metrics without influence function
    alone. ``rows`` may be None, as :func:`perennial.statistics.rows.rows_of` answers. Raises ValueError unless there is
    one block a row.

    G blocks that all have the best value there is, or the worst, show no spread: their interval reaches as far as a
    share of other blocks that G draws miss with probability (1 - confidence) / 2 (C. Clopper and E. Pearson, Biometrika
    26, 1934).

    >>> from perennial.statistics.metrics import METRICS
    >>> from perennial.statistics.rows import rows_of
    >>> rows = rows_of("regression", labels=np.zeros(20), scores=np.arange(20.0))
    >>> mae, rng = METRICS["regression"]["mae"], np.random.default_rng(1)
    >>> print(estimate(mae, rows, np.arange(20), rng=rng))
    9.5 (6.731 to 12.27)
    >>> print(estimate(mae, rows, np.arange(20) // 10, rng=rng))
    9.5 (no interval: 2 blocks; an interval needs 10)
    >>> right = rows_of("binary", labels=np.arange(20) % 2, scores=np.arange(20) % 2)
    >>> print(estimate(METRICS["binary"]["accuracy"], right, np.arange(20), rng=rng))
    1 (0.8316 to 1)
    """
    found = _measured(metric, [rows], blocks, demands, rng)
    if found.interval is None or found.value is None:
        return found
    interval = found.interval
    if interval.low == interval.high and metric.values.is_end(found.value):
        unseen = metric.values.width * (1 - ((1 - demands.confidence) / 2) ** (1 / interval.n_blocks))
        interval = replace(interval, low=interval.low - unseen, high=interval.high + unseen)
    return replace(found, interval=metric.within(interval))


def paired_difference(
    metric: Metric,
    old: Rows | None,
    new: Rows | None,
    blocks: Codes,
    *,
    rng: np.random.Generator,
    demands: Demands = DEFAULT,
) -> Estimate:
    """How much better ``new`` is than ``old`` on the same rows, in the metric's unit: positive is better.

    Both hold the same truth in one order; influences are subtracted row by row, so that what makes a block hard for
    both cancels. Otherwise as :func:`estimate`. Raises ValueError for rows of different truth too.

    >>> from perennial.statistics.metrics import METRICS
    >>> from perennial.statistics.rows import rows_of
    >>> truth, off = np.zeros(20), np.arange(20.0)
    >>> old, new = (rows_of("regression", labels=truth, scores=scores) for scores in (off, off / 2))
    >>> print(paired_difference(METRICS["regression"]["mae"], old, new, np.arange(20), rng=np.random.default_rng(1)))
    4.75 (3.366 to 6.134)
    """
    if old is not None and new is not None and not np.array_equal(old.truth, new.truth):
        raise ValueError("the two are not of the same rows: their truth differs")
    return _measured(metric, [old, new], blocks, demands, rng)


def mean(values: NDArray[np.float64], blocks: Codes, *, demands: Demands = DEFAULT) -> Estimate:
    """The mean of ``values``, shape (n,), with its interval; ``blocks`` as in :func:`estimate`.

    >>> print(mean(np.arange(20.0), np.arange(20)))
    9.5 (6.731 to 12.27)
    >>> print(mean(np.zeros(0), np.zeros(0, np.intp)))
    unknown (no interval: no finite values)
    """
    if not len(values) or not np.isfinite(values).all():
        return Estimate(problem="no finite values")
    value, n_blocks = float(values.mean()), count_blocks(blocks)
    if n_blocks < demands.min_blocks:
        return Estimate(value=value, problem=f"{n_blocks} blocks; an interval needs {demands.min_blocks}")
    error = clustered_error((values - value) / len(values), blocks)
    return Estimate(value=value, interval=around(value, error, len(values), n_blocks, demands.confidence))


def _measured(
    metric: Metric, sides: list[Rows | None], blocks: Codes, demands: Demands, rng: np.random.Generator
) -> Estimate:
    """The metric of one side, or of the second less the first (turned so that more is better), with its interval."""
    known = [side for side in sides if side is not None]
    n_blocks = count_blocks(blocks)

    def without(problem: str, value: float | None = None) -> Estimate:
        return Estimate(value=value, problem=problem)

    if len(known) < len(sides):
        return without(NO_ROWS)
    if any(len(side.truth) != len(blocks) for side in known):
        raise ValueError(f"{len(blocks)} blocks for {len(known[0].truth)} rows; there must be one a row")
    value = value_of(metric, known)
    if value is None:
        return without(f"{metric.name} does not exist on these rows")
    if lack := lack_of(metric, known[0], blocks, n_blocks, demands):
        return without(lack, value)
    if metric.influence is None:
        error = _by_resampling(metric, known, blocks, demands, rng)
    else:
        error = _by_influence(metric.influence, known, blocks)
    if isinstance(error, str):
        return without(error, value)
    return Estimate(value=value, interval=around(value, error, len(blocks), n_blocks, demands.confidence))


def around(value: float, standard_error: float, n_rows: int, n_blocks: int, confidence: float) -> Interval:
    """The interval of a figure: t with ``n_blocks - 1`` degrees of freedom times its standard error to either side.

    >>> print(around(0.5, 0.1, 900, 14, 0.95))
    0.284 to 0.716
    """
    reach = float(stdtrit(n_blocks - 1, (1 + confidence) / 2)) * standard_error
    return Interval(
        low=value - reach,
        high=value + reach,
        standard_error=standard_error,
        n_rows=n_rows,
        n_blocks=n_blocks,
        confidence=confidence,
    )


def value_of(metric: Metric, sides: list[Rows]) -> float | None:
    """The metric of one side, or how much better the second is; None where it does not exist."""
    values = [metric.function(side) for side in sides]
    if any(value is None or not np.isfinite(value) for value in values):
        return None
    first, last = float(values[0] or 0.0), float(values[-1] or 0.0)
    return first if len(sides) == 1 else metric.loss(first, last)


def lack_of(metric: Metric, rows: Rows, blocks: Codes, n_blocks: int, demands: Demands) -> str:
    """What the rows lack for an interval; empty when nothing."""
    if n_blocks < demands.min_blocks:
        return f"{n_blocks} blocks; an interval needs {demands.min_blocks}"
    if not metric.by_class:
        return ""
    for name in np.unique(rows.truth):
        of_class = rows.truth == name
        n_rows, n_with = int(of_class.sum()), count_blocks(blocks[of_class])
        if n_rows < demands.min_per_class:
            return f"{n_rows} rows of class {name}; an interval needs {demands.min_per_class}"
        if n_with < demands.min_blocks:
            return f"class {name} occurs in {n_with} of {n_blocks} blocks; an interval needs {demands.min_blocks}"
    return ""


def _by_influence(influence: Influence, sides: list[Rows], blocks: Codes) -> float:
    """The standard error of the metric of one side, or of the difference of two."""
    each = [influence(side) for side in sides]
    error = clustered_error(each[-1] - each[0] if len(each) > 1 else each[0], blocks)
    return spread_of(error, sum(float(np.abs(psi).sum()) for psi in each))


def _by_resampling(
    metric: Metric, sides: list[Rows], blocks: Codes, demands: Demands, rng: np.random.Generator
) -> float | str:
    """The same, from the spread of the figure over resampled blocks; G / (G - 1) as for influences."""
    drawings = resamples(blocks, demands.n_resamples, rng)
    drawn = (value_of(metric, [side.take(places) for side in sides]) for places in drawings)
    return spread_of_drawn(metric, [value for value in drawn if value is not None], count_blocks(blocks), demands)


def spread_of_drawn(metric: Metric, drawn: list[float], n_blocks: int, demands: Demands) -> float | str:
    """The standard error from figures of resampled blocks, or why they are too few."""
    n_failed = demands.n_resamples - len(drawn)
    if n_failed > MOST_FAILED * demands.n_resamples:
        return f"{metric.name} does not exist on {n_failed} of {demands.n_resamples} resamples of the blocks"
    values = np.array(drawn)
    return spread_of(float(np.sqrt(n_blocks / (n_blocks - 1)) * values.std(ddof=1)), float(np.abs(values).max()))


def spread_of(error: float, scale: float) -> float:
    """The standard error itself, and zero where it is rounding: every block has the same figure."""
    return error if error > ROUNDING * scale else 0.0


def difference(first: Estimate, second: Estimate) -> Estimate:
    """``first`` less ``second``, of rows that have no block in common, in the unit of the metric.

    The errors add in squares; the degrees of freedom are Welch's (B. L. Welch, Biometrika 34, 1947), rounded down, and
    ``n_blocks`` is one more than they.

    >>> once, again = (around(value, 0.03, 100, 11, 0.95) for value in (0.7, 0.6))
    >>> print(difference(Estimate(value=0.7, interval=once), Estimate(value=0.6, interval=again)))
    0.1 (0.0115 to 0.1885)
    >>> difference(Estimate(problem="no rows"), Estimate(value=0.6, interval=again)).problem
    'no rows'
    """
    value = None if first.value is None or second.value is None else first.value - second.value
    if value is None or first.interval is None or second.interval is None:
        return Estimate(value=value, problem=first.problem or second.problem)
    one, other = first.interval, second.interval
    squares = [one.standard_error**2, other.standard_error**2]
    spread = sum(square**2 / (side.n_blocks - 1) for square, side in zip(squares, (one, other), strict=True))
    df = int(sum(squares) ** 2 / spread) if spread else one.n_blocks + other.n_blocks - 2
    n_rows = one.n_rows + other.n_rows
    interval = around(value, sum(squares) ** 0.5, n_rows, df + 1, one.confidence)
    return Estimate(value=value, interval=interval)


def lower_bound(value: float, interval: Interval, confidence: float) -> float:
    """The one-sided lower bound of an estimate at ``confidence``.

    >>> round(lower_bound(0.5, around(0.5, 0.1, 900, 14, 0.95), 0.975), 3)
    0.284
    """
    return value - float(stdtrit(interval.n_blocks - 1, confidence)) * interval.standard_error
