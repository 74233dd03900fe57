"""By how much the loss of a labelled row exceeds what its score lets expect, and by how much that errs. Pure."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from perennial.config import ModelConfig
from perennial.evidence.groups.worst import losses
from perennial.statistics.expected.estimates import DrawnTruths
from perennial.statistics.rows import Rows

Numbers = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Excess:
    """The loss of each row less the expected one, shape (n,), and the mean of the expected ones, above zero."""

    values: Numbers
    expected: float


def excess_of(config: ModelConfig, real: Rows, drawn: tuple[Rows, ...]) -> Excess | str:
    """What labels cost (:func:`losses`) beyond what drawn ones would have; or why that can not be said.

    >>> real, drawn = (Rows(np.array(truth), np.array([0.5, 0.5]), np.zeros(2)) for truth in ([1, 3], [1, 0]))
    >>> excess_of(flights, real, (drawn,))
    Excess(values=array([0., 6.]), expected=0.25)
    """
    expected = np.mean([losses(config, one) for one in drawn], axis=0)
    if not expected.mean() > 0:
        return "no loss is expected of any row: there is nothing to exceed"
    return Excess(losses(config, real) - expected, float(expected.mean()))


def residuals_of(config: ModelConfig, judged: DrawnTruths) -> Numbers:
    """Labels less scores, shape (n,); of predicted classes, whether the class is right less the score.

    >>> rows = Rows(np.array([1, 0]), np.array([0.75, 0.5]), np.zeros(2))
    >>> residuals_of(flights, DrawnTruths(rows, (), np.arange(2))).tolist()
    [0.25, -0.5]
    """
    rows = judged.real
    outcomes = rows.truth == rows.predicted if config.task == "multiclass" else rows.truth
    return np.asarray(outcomes.astype(np.float64) - rows.scores)
