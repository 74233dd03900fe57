"""Metrics of drawn labels, how far they can be trusted, and how far they are from the real ones."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from perennial.contracts import Estimate
from perennial.statistics.blocks import Codes, clustered_error, count_blocks
from perennial.statistics.intervals import DEFAULT, Demands, around, difference
from perennial.statistics.metrics import Influence, Metric
from perennial.statistics.rows import Rows


@dataclass(frozen=True, slots=True)
class DrawnTruths:
    """The same rows with their labels and, several times, with drawn ones; the block of each row, numbered from 0."""

    real: Rows
    drawn: tuple[Rows, ...]
    blocks: Codes


def matched(known: DrawnTruths, of_known: Codes, of_asked: Codes) -> DrawnTruths:
    """The rows of ``known``, each as often as its group occurs among the asked ones: what rows like those surprise by.

    ``of_known`` and ``of_asked``, shape (n,) and (m,), number the groups. Rows of a group take turns: about n rows come
    out, of the groups that the asked rows are of. One that ``known`` lacks can not be shown.

    >>> rows = Rows(np.array([0, 1, 1]), np.zeros(3), np.zeros(3))
    >>> matched(DrawnTruths(rows, (rows,), np.arange(3)), np.array([0, 1, 1]), np.array([0, 0, 1])).real.truth.tolist()
    [0, 0, 1]
    """
    names, counts = np.unique(of_asked, return_counts=True)
    shares = np.round(np.diff(np.concatenate([[0.0], np.cumsum(counts / counts.sum())])) * len(of_known))
    places = [
        np.resize(np.flatnonzero(of_known == name), int(share))
        for name, share in zip(names, shares, strict=True)
        if (of_known == name).any()
    ]
    taken = np.concatenate(places) if places else np.arange(len(of_known))
    return DrawnTruths(known.real.take(taken), tuple(rows.take(taken) for rows in known.drawn), known.blocks[taken])


def surprise(metric: Metric, judged: DrawnTruths, *, demands: Demands = DEFAULT) -> Estimate:
    """How much worse the metric is on the labels than on the drawn ones, in its unit: positive is worse.

    Its interval is by blocks, of the influences' difference. On the holdout whose labels taught the drawing it lies
    about zero, and its standard error is how much blocks differ from what their scores foretell.

    >>> from perennial.statistics.metrics import METRICS
    >>> real, drawn = (Rows(truth, np.zeros(20), np.zeros(20)) for truth in (np.arange(20) % 2, np.zeros(20)))
    >>> print(surprise(METRICS["binary"]["accuracy"], DrawnTruths(real, (drawn,), np.arange(20))))
    0.5 (0.2599 to 0.7401)
    """
    real, foretold = metric.function(judged.real), _mean_of(metric, judged.drawn)
    if real is None or foretold is None or not np.isfinite(real):
        return Estimate(problem=f"{metric.name} does not exist on these rows")
    value, n_blocks = metric.loss(float(real), foretold), count_blocks(judged.blocks)
    if n_blocks < demands.min_blocks:
        return Estimate(value=value, problem=f"{n_blocks} blocks; an interval needs {demands.min_blocks}")
    if metric.influence is None:
        return Estimate(value=value, problem=f"{metric.name} has no influence function")
    error = clustered_error(metric.influence(judged.real) - _mean_influence(metric.influence, judged), judged.blocks)
    return Estimate(value=value, interval=around(value, error, len(judged.blocks), n_blocks, demands.confidence))


def expected(
    metric: Metric, holdout: DrawnTruths, drawn: tuple[Rows, ...], blocks: Codes, *, demands: Demands = DEFAULT
) -> Estimate:
    """What the metric of rows without labels should be, from their ``drawn`` ones, with the holdout's surprises.

    The interval is for what will be realised: s^2 = s_H^2 (1 + G_H / G), s_H the standard error of the holdout's
    surprise (``holdout`` :func:`matched` to these rows) on its G_H blocks, which taught the drawing, and G blocks that
    may surprise as much each. It can not hold what the holdout never showed: another season, other labels for the same
    scores.
    """
    value = _mean_of(metric, drawn)
    if value is None:
        return Estimate(problem=f"{metric.name} does not exist on these rows")
    known = surprise(metric, holdout, demands=demands)
    if known.interval is None:
        return Estimate(value=value, problem=f"of the holdout: {known.problem}")
    n_blocks = known.interval.n_blocks
    error = known.interval.standard_error * (1 + n_blocks / max(count_blocks(blocks), 1)) ** 0.5
    interval = around(value, error, len(blocks), n_blocks, demands.confidence)
    return Estimate(value=value, interval=metric.within(interval))


def concept_gap(metric: Metric, holdout: DrawnTruths, window: DrawnTruths, *, demands: Demands = DEFAULT) -> Estimate:
    """How much worse the metric of a window is than its scores foretold, with the errors of both sides.

    That of the foretelling is the holdout's; the degrees of freedom are Welch's.
    """
    found, known = (surprise(metric, side, demands=demands) for side in (window, holdout))
    if found.interval is None or known.interval is None:
        return Estimate(value=found.value, problem=found.problem or f"of the holdout: {known.problem}")
    error, n_blocks = known.interval.standard_error, known.interval.n_blocks
    nothing = Estimate(value=0.0, interval=around(0.0, error, len(holdout.blocks), n_blocks, demands.confidence))
    return difference(found, nothing)


def _mean_of(metric: Metric, drawn: tuple[Rows, ...]) -> float | None:
    values = [value for value in map(metric.function, drawn) if value is not None]
    return float(np.mean(values)) if len(values) == len(drawn) and np.isfinite(values).all() else None


def _mean_influence(influence: Influence, judged: DrawnTruths) -> NDArray[np.float64]:
    return np.asarray(np.mean([influence(rows) for rows in judged.drawn], axis=0), dtype=np.float64)
