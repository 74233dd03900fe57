"""Labels as they would be, if scores were worth what they were on a holdout: drawn without chance.

Labels are drawn systematically in the order of the scores (W. Madow, Annals of Mathematical Statistics 20, 1949): among
any rows next to one another the number of positives is off by less than one, so that a draw gives every metric of a
window as its expectation does, up to some 1 / n.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from perennial.statistics.blocks import Codes
from perennial.statistics.rows import Rows, Task

Numbers = NDArray[np.float64]
N_DRAWS = 5
"""Their mean leaves little of what one draw does to one block."""
_GOLDEN = (5**0.5 - 1) / 2
"""Its multiples modulo one fill [0, 1) evenly, however many there are."""


@dataclass(frozen=True, slots=True)
class Isotonic:
    """A rising curve of scores to probabilities: isotonic regression, straight between its steps, flat beyond them."""

    scores: Numbers
    probabilities: Numbers

    def at(self, scores: Numbers) -> Numbers:
        """The probability of each score, shape (n,).

        >>> Isotonic(np.array([0.2, 0.6]), np.array([0.1, 0.5])).at(np.array([0.0, 0.4])).round(6).tolist()
        [0.1, 0.3]
        """
        return np.asarray(np.interp(scores, self.scores, self.probabilities), dtype=np.float64)


def calibrate(scores: Numbers, outcomes: NDArray[Any]) -> Isotonic:
    """How often outcomes (0 and 1, shape (n,)) came true at which score: the rising curve nearest to them.

    B. Zadrozny and C. Elkan, KDD 2002. The mean of the curve over the rows is that of the outcomes.

    >>> curve = calibrate(np.array([0.1, 0.1, 0.9, 0.9]), np.array([0, 1, 1, 1]))
    >>> curve.at(np.array([0.1, 0.9])).tolist()
    [0.5, 1.0]
    """
    from sklearn.isotonic import IsotonicRegression

    fitted = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip").fit(scores, outcomes)
    return Isotonic(fitted.X_thresholds_.astype(np.float64), fitted.y_thresholds_.astype(np.float64))


def draw(probabilities: Numbers, order: NDArray[np.intp], offset: float = 0.5) -> NDArray[np.bool_]:
    """Which rows are positive, shape (n,): as many as the probabilities add up to, wherever along ``order`` one looks.

    ``offset``, in [0, 1), says where the first one falls.

    >>> draw(np.array([0.5, 0.5, 0.5, 0.5]), np.arange(4)).tolist()
    [True, False, True, False]
    """
    passed = np.floor(np.cumsum(probabilities[order]) + offset)
    drawn = np.empty(len(order), dtype=bool)
    drawn[order] = np.diff(passed, prepend=np.floor(offset)) > 0
    return drawn


@dataclass(frozen=True, slots=True)
class Unlabelled:
    """Rows without labels, shape (n,): scores, predictions, and of regression the groups of ``direct loss``."""

    scores: Numbers
    predicted: NDArray[Any]
    groups: Codes | None = None


def drawn_rows(task: Task, holdout: Rows, asked: Unlabelled, *, groups: Codes | None = None) -> tuple[Rows, ...]:
    """``N_DRAWS`` times the ``asked`` rows with the labels that those of ``holdout`` let expect.

    binary: P(label = 1) is calibrated on the holdout (CBPE: NannyML). multiclass: so is P(the prediction is right), and
    wrong ones are of the classes that wrong ones of the same prediction were of. regression: each residual is one of
    the holdout's rows of the same group; ``groups`` numbers those (direct loss estimation: NannyML; residuals are drawn
    by the leaves of a tree, after N. Meinshausen, JMLR 7, 2006).

    >>> rows = Rows(np.array([0, 1, 1, 1]), np.array([0.1, 0.1, 0.9, 0.9]), np.array([0, 0, 1, 1]))
    >>> asked = Unlabelled(np.array([0.1, 0.1, 0.95]), np.array([0, 0, 1]))
    >>> [int(drawn.truth.sum()) for drawn in drawn_rows("binary", rows, asked)]
    [2, 2, 2, 2, 2]
    """
    known = groups if groups is not None else np.zeros(len(holdout.truth), np.intp)
    each = {"binary": _binary, "multiclass": _classes, "regression": _numbers}[task](holdout, known, asked)
    whole = Rows(asked.predicted, asked.scores, asked.predicted)
    return tuple(replace(whole, truth=truth) for truth in each)


def _offsets() -> Numbers:
    return (np.arange(N_DRAWS) + 0.5) / N_DRAWS


def _binary(holdout: Rows, _: Codes, asked: Unlabelled) -> Iterator[NDArray[Any]]:
    probabilities = calibrate(holdout.scores, holdout.truth).at(asked.scores)
    order = np.argsort(asked.scores, kind="stable")
    for offset in _offsets():
        yield draw(probabilities, order, offset).astype(np.int8)


def _classes(holdout: Rows, _: Codes, asked: Unlabelled) -> Iterator[NDArray[Any]]:
    right = calibrate(holdout.scores, holdout.truth == holdout.predicted).at(asked.scores)
    order = np.argsort(asked.scores, kind="stable")
    missed = holdout.truth != holdout.predicted
    for offset in _offsets():
        truth = asked.predicted.astype(object)
        for name in np.unique(asked.predicted):
            mine = order[asked.predicted[order] == name]
            wrong = mine[~draw(right[mine], np.arange(len(mine)), offset)]
            others = np.sort(holdout.truth[missed & (holdout.predicted == name)])
            if len(others):
                truth[wrong] = others[_turns(len(wrong), len(others), offset)]
        yield truth.astype(str)


def _numbers(holdout: Rows, groups: Codes, asked: Unlabelled) -> Iterator[NDArray[Any]]:
    residuals = holdout.truth - holdout.scores
    of_asked = asked.groups if asked.groups is not None else np.zeros(len(asked.scores), np.intp)
    for offset in _offsets():
        truth = asked.scores.copy()
        for group in np.unique(of_asked):
            own, mine = np.sort(residuals[groups == group]), of_asked == group
            truth[mine] += own[_turns(int(mine.sum()), len(own), offset)]
        yield truth


def _turns(n_rows: int, n_values: int, offset: float) -> NDArray[np.intp]:
    """Places among ``n_values`` sorted ones, each as often as any other, and no order in them."""
    return (((np.arange(n_rows) * _GOLDEN + offset) % 1.0) * n_values).astype(np.intp)
