"""The rows that a metric is computed on, checked once.

DAG files import this module by way of the configuration: numpy and pandas are imported where they are used.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, cast, get_args

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Values: TypeAlias = NDArray[Any]

Task = Literal["binary", "multiclass", "regression"]


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows fit to be measured, arrays of shape (n,) with n of two at least.

    ``truth``: 0 and 1, class names, or numbers. ``scores``: P(label = 1), P(predicted class) (NaN where it is not
    known), or numbers. ``predicted``: 0 and 1, class names, or numbers.
    """

    truth: Values
    scores: Values
    predicted: Values

    @property
    def one_valued(self) -> bool:
        """Whether all labels are the same.

        >>> import numpy as np
        >>> Rows(np.array([1, 1]), np.array([0.1, 0.6]), np.array([0, 1])).one_valued
        True
        """
        return bool((self.truth == self.truth[0]).all())

    @property
    def are_probabilities(self) -> bool:
        """Whether all scores lie in [0, 1].

        >>> import numpy as np
        >>> Rows(np.array([0, 1]), np.array([0.1, 1.6]), np.array([0, 1])).are_probabilities
        False
        """
        return bool(self.scores.min() >= 0 and self.scores.max() <= 1)

    def take(self, index: NDArray[np.intp]) -> Rows:
        """The rows at the places ``index``, shape (m,), one as often as it is named.

        >>> import numpy as np
        >>> Rows(np.array([0, 1]), np.array([0.1, 0.6]), np.array([0, 1])).take(np.array([1, 1, 0])).truth.tolist()
        [1, 1, 0]
        """
        return Rows(self.truth[index], self.scores[index], self.predicted[index])


def known_task(task: str) -> Task:
    """The task itself. Raises ValueError for a text that names none.

    >>> known_task("binary")
    'binary'
    """
    for known in get_args(Task):
        if task == known:
            return cast(Task, known)
    raise ValueError(f"task {task!r}: one of {', '.join(get_args(Task))}")


def rows_of(
    task: str,
    *,
    labels: Values,
    scores: Values,
    predicted: Values | None = None,
    classes: Sequence[Any] | None = None,
    threshold: float | Values = 0.5,
) -> Rows | None:
    """The rows of ``task``, or None where nothing can be computed on them.

    ``labels`` and ``scores`` have shape (n,). binary: labels 0 and 1, scores P(label = 1), of which one at or above
    ``threshold``, one for all or one a row, means the positive class; ``predicted`` is ignored. multiclass: labels and
    ``predicted`` name classes (compared as text), ``classes`` lists those that may occur, and scores, which may be
    missing, are P(predicted class). regression: both are numbers of the same unit. Nothing is computed on fewer than
    two rows, with a missing or infinite value, or a class out of ``classes``.

    Raises ValueError for an unknown task, for arrays of different lengths, for multiclass without ``predicted``.

    >>> import numpy as np
    >>> rows_of("binary", labels=np.array([0, 1]), scores=np.array([0.2, 0.7])).predicted.tolist()
    [0, 1]
    >>> rows_of("binary", labels=np.array([0, 1]), scores=np.array([0.2, np.nan])) is None
    True
    """
    import numpy as np

    answers = predicted if known_task(task) == "multiclass" else scores
    if answers is None:
        raise ValueError("a multiclass task is measured on the predicted classes: give predicted")
    if not len(labels) == len(answers) == len(scores):
        n_answers = min(len(answers), len(scores))
        raise ValueError(f"{len(labels)} labels for {n_answers} predictions; they must be of the same rows")
    if len(labels) < 2:  # noqa: PLR2004 - one row shows no spread
        return None
    labels, answers = np.asarray(labels), np.asarray(answers)
    if task == "multiclass":
        return _classes(labels, answers, np.asarray(scores), classes)
    return _numbers(task, labels, answers, threshold)


def _numbers(task: str, labels: Values, scores: Values, threshold: float | Values) -> Rows | None:
    """The rows of a binary or a regression task; None when a value is missing, infinite or no number."""
    import numpy as np

    try:
        truth, answers = labels.astype(np.float64), scores.astype(np.float64)
    except (TypeError, ValueError):
        return None
    if not (np.isfinite(truth).all() and np.isfinite(answers).all()):
        return None
    if task == "regression":
        return Rows(truth, answers, answers)
    if not np.isin(truth, (0, 1)).all():
        return None
    return Rows(truth.astype(np.int8), answers, (answers >= threshold).astype(np.int8))


def _classes(labels: Values, predicted: Values, scores: Values, classes: Sequence[Any] | None) -> Rows | None:
    """The rows of a multiclass task as text; None when one is missing, or out of ``classes``."""
    import numpy as np
    import pandas as pd

    if pd.isna(labels).any() or pd.isna(predicted).any():
        return None
    truth, answers = labels.astype(str), predicted.astype(str)
    if classes is not None and not np.isin(np.unique(truth), [str(known) for known in classes]).all():
        return None
    try:
        known = scores.astype(np.float64)
    except (TypeError, ValueError):
        known = np.full(len(truth), np.nan)
    return Rows(truth, known, answers)
