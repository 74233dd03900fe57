"""The metrics, each declared once: its task, its direction, its function.

What can not be computed is absent from the answer: never zero, never NaN. ``model.yaml`` is checked against this table,
and so is a DAG file when it is parsed: numpy and scikit-learn are imported where a figure is computed, not here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from perennial.statistics.ranges import AT_MOST_ONE, DISTANCE, SHARE, Range

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Values: TypeAlias = NDArray[Any]

Task = Literal["binary", "multiclass", "regression"]


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows fit to be measured, arrays of shape (n,) with n of two at least.

    ``truth``: 0 and 1, class names, or numbers. ``scores``: P(label = 1), or numbers; for multiclass as ``predicted``.
    ``predicted``: 0 and 1, class names, or numbers.
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


Function = Callable[[Rows], "float | None"]


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric of one task, and the range of its values. ``function`` answers None where the rows do not allow it."""

    name: str
    task: Task
    more_is_better: bool
    function: Function
    values: Range

    def loss(self, value: float, reference: float) -> float:
        """How much worse ``value`` is than ``reference``, in the metric's unit: positive is worse, negative is better.

        >>> METRICS["regression"]["rmse"].loss(60.0, 50.0), METRICS["binary"]["accuracy"].loss(1.0, 0.75)
        (10.0, -0.25)
        """
        return reference - value if self.more_is_better else value - reference


METRICS: dict[Task, dict[str, Metric]] = {"binary": {}, "multiclass": {}, "regression": {}}
"""Every metric by task and name, in the order of their declaration."""


def _declare(task: Task, name: str, *, more_is_better: bool, values: Range) -> Callable[[Function], Function]:
    def declared(function: Function) -> Function:
        METRICS[task][name] = Metric(name, task, more_is_better, function, values)
        return function

    return declared


@_declare("binary", "roc_auc", more_is_better=True, values=SHARE)
def roc_auc(rows: Rows) -> float | None:
    """Area under the ROC curve; none for labels of one class. (``sklearn.metrics.roc_auc_score``)

    >>> import numpy as np
    >>> compute("binary", labels=np.array([0, 0, 1, 1]), scores=np.array([0.1, 0.6, 0.5, 0.9]))["roc_auc"]
    0.75
    """
    from sklearn.metrics import roc_auc_score

    return None if rows.one_valued else roc_auc_score(rows.truth, rows.scores)


@_declare("binary", "accuracy", more_is_better=True, values=SHARE)
@_declare("multiclass", "accuracy", more_is_better=True, values=SHARE)
def accuracy(rows: Rows) -> float:
    """The share of rows whose class was predicted. (``sklearn.metrics.accuracy_score``)

    >>> import numpy as np
    >>> compute("binary", labels=np.array([0, 0, 1, 1]), scores=np.array([0.1, 0.6, 0.7, 0.9]))["accuracy"]
    0.75
    """
    from sklearn.metrics import accuracy_score

    return float(accuracy_score(rows.truth, rows.predicted))


@_declare("binary", "balanced_accuracy", more_is_better=True, values=SHARE)
@_declare("multiclass", "balanced_accuracy", more_is_better=True, values=SHARE)
def balanced_accuracy(rows: Rows) -> float | None:
    """The mean recall of the classes that occur; none when there is one only. (``sklearn.metrics.recall_score``)

    >>> import numpy as np
    >>> compute("binary", labels=np.array([0, 0, 0, 1]), scores=np.array([0.1, 0.2, 0.3, 0.4]))["balanced_accuracy"]
    0.5
    """
    import numpy as np
    from sklearn.metrics import recall_score

    if rows.one_valued:
        return None
    found = recall_score(rows.truth, rows.predicted, average="macro", labels=np.unique(rows.truth), zero_division=0)
    return float(found)


@_declare("binary", "f1", more_is_better=True, values=SHARE)
def f1(rows: Rows) -> float | None:
    """F1 of the positive class; none for labels of one class. (``sklearn.metrics.f1_score``)

    >>> import numpy as np
    >>> compute("binary", labels=np.array([0, 0, 1, 1]), scores=np.array([0.1, 0.6, 0.4, 0.9]))["f1"]
    0.5
    """
    from sklearn.metrics import f1_score

    return None if rows.one_valued else float(f1_score(rows.truth, rows.predicted, zero_division=0))


@_declare("binary", "log_loss", more_is_better=False, values=DISTANCE)
def log_loss(rows: Rows) -> float | None:
    """The mean negative log-likelihood, in nats; none for scores outside [0, 1]. (``sklearn.metrics.log_loss``)

    >>> import numpy as np
    >>> round(compute("binary", labels=np.array([0, 1]), scores=np.array([0.5, 0.5]))["log_loss"], 4)
    0.6931
    """
    from sklearn.metrics import log_loss as score

    return float(score(rows.truth, rows.scores, labels=[0, 1])) if rows.are_probabilities else None


@_declare("binary", "brier", more_is_better=False, values=SHARE)
def brier(rows: Rows) -> float | None:
    """The Brier score; none for scores outside [0, 1]. (``sklearn.metrics.brier_score_loss``)

    >>> import numpy as np
    >>> compute("binary", labels=np.array([0, 1]), scores=np.array([0.5, 0.5]))["brier"]
    0.25
    """
    from sklearn.metrics import brier_score_loss

    if not rows.are_probabilities:
        return None
    return float(brier_score_loss(rows.truth, rows.scores, labels=[0, 1], pos_label=1))


@_declare("multiclass", "f1_macro", more_is_better=True, values=SHARE)
def f1_macro(rows: Rows) -> float | None:
    """The mean F1 over the classes; none when one class occurs only. (``sklearn.metrics.f1_score``)

    >>> import numpy as np
    >>> labels = np.array(["a", "a", "b", "b"])
    >>> compute("multiclass", labels=labels, scores=np.ones(4), predicted=labels)["f1_macro"]
    1.0
    """
    from sklearn.metrics import f1_score

    if rows.one_valued:
        return None
    return float(f1_score(rows.truth, rows.predicted, average="macro", zero_division=0))


@_declare("regression", "r2", more_is_better=True, values=AT_MOST_ONE)
def r2(rows: Rows) -> float | None:
    """The coefficient of determination; none for constant labels. (``sklearn.metrics.r2_score``)

    >>> import numpy as np
    >>> compute("regression", labels=np.array([1.0, 2.0, 3.0]), scores=np.array([1.0, 2.0, 3.0]))["r2"]
    1.0
    """
    from sklearn.metrics import r2_score

    return None if rows.one_valued else float(r2_score(rows.truth, rows.scores))


@_declare("regression", "rmse", more_is_better=False, values=DISTANCE)
def rmse(rows: Rows) -> float:
    """The root mean squared error, in the label's unit. (``sklearn.metrics.root_mean_squared_error``)

    >>> import numpy as np
    >>> compute("regression", labels=np.array([1.0, 2.0]), scores=np.array([4.0, 5.0]))["rmse"]
    3.0
    """
    from sklearn.metrics import root_mean_squared_error

    return float(root_mean_squared_error(rows.truth, rows.scores))


@_declare("regression", "mae", more_is_better=False, values=DISTANCE)
def mae(rows: Rows) -> float:
    """The mean absolute error, in the label's unit. (``sklearn.metrics.mean_absolute_error``)

    >>> import numpy as np
    >>> compute("regression", labels=np.array([1.0, 2.0]), scores=np.array([1.0, 5.0]))["mae"]
    1.5
    """
    from sklearn.metrics import mean_absolute_error

    return float(mean_absolute_error(rows.truth, rows.scores))


def compute(
    task: str,
    *,
    labels: Values,
    scores: Values,
    predicted: Values | None = None,
    classes: Sequence[Any] | None = None,
    threshold: float = 0.5,
) -> dict[str, float]:
    """Every metric of ``task`` that these rows allow, by name.

    ``labels`` and ``scores`` have shape (n,). binary: labels 0 and 1, scores P(label = 1), of which one at or above
    ``threshold`` means the positive class; ``predicted`` is ignored. multiclass: labels and ``predicted`` name classes
    (compared as text), ``classes`` lists those that may occur. regression: both are numbers of the same unit. Nothing
    is computed on fewer than two rows, with a missing or infinite value, or a class out of ``classes``.

    Raises ValueError for an unknown task, for arrays of different lengths, for multiclass without ``predicted``.

    >>> import numpy as np
    >>> compute("regression", labels=np.array([1.0, 2.0]), scores=np.array([1.0, np.nan]))
    {}
    """
    import numpy as np

    if task not in METRICS:
        raise ValueError(f"task {task!r}: one of {', '.join(METRICS)}")
    answers = predicted if task == "multiclass" else scores
    if answers is None:
        raise ValueError("a multiclass task is measured on the predicted classes: give predicted")
    if len(labels) != len(answers):
        raise ValueError(f"{len(labels)} labels for {len(answers)} predictions; they must be of the same rows")
    if len(labels) < 2:  # noqa: PLR2004 - one row shows no spread
        return {}
    labels, answers = np.asarray(labels), np.asarray(answers)
    rows = _classes(labels, answers, classes) if task == "multiclass" else _numbers(task, labels, answers, threshold)
    if rows is None:
        return {}
    found = {name: metric.function(rows) for name, metric in METRICS[task].items()}
    return {name: float(value) for name, value in found.items() if value is not None and np.isfinite(value)}


def _numbers(task: str, labels: Values, scores: Values, threshold: float) -> Rows | None:
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


def _classes(labels: Values, predicted: Values, classes: Sequence[Any] | None) -> Rows | None:
    """The rows of a multiclass task as text; None when one is missing, or out of ``classes``."""
    import numpy as np
    import pandas as pd

    if pd.isna(labels).any() or pd.isna(predicted).any():
        return None
    truth, answers = labels.astype(str), predicted.astype(str)
    if classes is not None and not np.isin(np.unique(truth), [str(known) for known in classes]).all():
        return None
    return Rows(truth, answers, answers)
