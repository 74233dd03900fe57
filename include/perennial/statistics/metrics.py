"""The metrics, each declared once: its task, its direction, its function.

What can not be computed is absent from the answer: never zero, never NaN. ``model.yaml`` is checked against this table,
and so is a DAG file when it is parsed: numpy and scikit-learn are imported where a figure is computed, not here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from perennial.statistics import influence
from perennial.statistics.ranges import AT_MOST_ONE, DISTANCE, SHARE, Range
from perennial.statistics.rows import Rows, Task, known_task, rows_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Values: TypeAlias = NDArray[Any]

Function = Callable[[Rows], "float | None"]
Influence = Callable[[Rows], "NDArray[np.float64]"]


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric of one task, and the range of its values. ``function`` answers None where the rows do not allow it.

    ``influence`` gives each row's influence on it; without, its interval comes from resampled blocks. ``by_class``: it
    is made of figures per class, and needs enough rows of each.
    """

    name: str
    task: Task
    more_is_better: bool
    function: Function
    values: Range
    influence: Influence | None = None
    by_class: bool = False

    def loss(self, value: float, reference: float) -> float:
        """How much worse ``value`` is than ``reference``, in the metric's unit: positive is worse, negative is better.

        >>> METRICS["regression"]["rmse"].loss(60.0, 50.0), METRICS["binary"]["accuracy"].loss(1.0, 0.75)
        (10.0, -0.25)
        """
        return reference - value if self.more_is_better else value - reference


METRICS: dict[Task, dict[str, Metric]] = {"binary": {}, "multiclass": {}, "regression": {}}
"""Every metric by task and name, in the order of their declaration."""


def _declare(
    task: Task,
    name: str,
    *,
    more_is_better: bool,
    values: Range,
    influence: Influence | None = None,
    by_class: bool = False,
) -> Callable[[Function], Function]:
    def declared(function: Function) -> Function:
        METRICS[task][name] = Metric(name, task, more_is_better, function, values, influence, by_class)
        return function

    return declared


@_declare("binary", "roc_auc", more_is_better=True, values=SHARE, influence=influence.of_roc_auc, by_class=True)
def roc_auc(rows: Rows) -> float | None:
    """Area under the ROC curve; none for labels of one class. (``sklearn.metrics.roc_auc_score``)

    >>> import numpy as np
    >>> compute("binary", labels=np.array([0, 0, 1, 1]), scores=np.array([0.1, 0.6, 0.5, 0.9]))["roc_auc"]
    0.75
    """
    from sklearn.metrics import roc_auc_score

    return None if rows.one_valued else roc_auc_score(rows.truth, rows.scores)


@_declare("binary", "accuracy", more_is_better=True, values=SHARE, influence=influence.of_accuracy)
@_declare("multiclass", "accuracy", more_is_better=True, values=SHARE, influence=influence.of_accuracy)
def accuracy(rows: Rows) -> float:
    """The share of rows whose class was predicted. (``sklearn.metrics.accuracy_score``)

    >>> import numpy as np
    >>> compute("binary", labels=np.array([0, 0, 1, 1]), scores=np.array([0.1, 0.6, 0.7, 0.9]))["accuracy"]
    0.75
    """
    from sklearn.metrics import accuracy_score

    return float(accuracy_score(rows.truth, rows.predicted))


@_declare(
    "binary",
    "balanced_accuracy",
    more_is_better=True,
    values=SHARE,
    influence=influence.of_balanced_accuracy,
    by_class=True,
)
@_declare(
    "multiclass",
    "balanced_accuracy",
    more_is_better=True,
    values=SHARE,
    influence=influence.of_balanced_accuracy,
    by_class=True,
)
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


@_declare("binary", "f1", more_is_better=True, values=SHARE, influence=influence.of_f1, by_class=True)
def f1(rows: Rows) -> float | None:
    """F1 of the positive class; none for labels of one class. (``sklearn.metrics.f1_score``)

    >>> import numpy as np
    >>> compute("binary", labels=np.array([0, 0, 1, 1]), scores=np.array([0.1, 0.6, 0.4, 0.9]))["f1"]
    0.5
    """
    from sklearn.metrics import f1_score

    return None if rows.one_valued else float(f1_score(rows.truth, rows.predicted, zero_division=0))


@_declare("binary", "precision", more_is_better=True, values=SHARE, influence=influence.of_precision, by_class=True)
def precision(rows: Rows) -> float | None:
    """The share of predicted positives that are positive; none without any, or for labels of one class.

    (``sklearn.metrics.precision_score``)

    >>> import numpy as np
    >>> compute("binary", labels=np.array([0, 0, 1, 1]), scores=np.array([0.1, 0.6, 0.4, 0.9]))["precision"]
    0.5
    """
    from sklearn.metrics import precision_score

    return None if rows.one_valued or not rows.predicted.any() else float(precision_score(rows.truth, rows.predicted))


@_declare("binary", "recall", more_is_better=True, values=SHARE, influence=influence.of_recall, by_class=True)
def recall(rows: Rows) -> float | None:
    """The share of positives that were predicted; none for labels of one class. (``sklearn.metrics.recall_score``)

    >>> import numpy as np
    >>> compute("binary", labels=np.array([0, 0, 1, 1]), scores=np.array([0.1, 0.6, 0.4, 0.9]))["recall"]
    0.5
    """
    from sklearn.metrics import recall_score

    return None if rows.one_valued else float(recall_score(rows.truth, rows.predicted))


@_declare("binary", "pr_auc", more_is_better=True, values=SHARE, by_class=True)
def pr_auc(rows: Rows) -> float | None:
    """Average precision: the area under the curve of precision over recall, without interpolation.

    None for labels of one class. (``sklearn.metrics.average_precision_score``)

    >>> import numpy as np
    >>> compute("binary", labels=np.array([0, 0, 1, 1]), scores=np.array([0.1, 0.2, 0.4, 0.9]))["pr_auc"]
    1.0
    """
    from sklearn.metrics import average_precision_score

    return None if rows.one_valued else float(average_precision_score(rows.truth, rows.scores))


@_declare("binary", "log_loss", more_is_better=False, values=DISTANCE, influence=influence.of_log_loss)
def log_loss(rows: Rows) -> float | None:
    """The mean negative log-likelihood, in nats; none for scores outside [0, 1]. (``sklearn.metrics.log_loss``)

    >>> import numpy as np
    >>> round(compute("binary", labels=np.array([0, 1]), scores=np.array([0.5, 0.5]))["log_loss"], 4)
    0.6931
    """
    from sklearn.metrics import log_loss as score

    return float(score(rows.truth, rows.scores, labels=[0, 1])) if rows.are_probabilities else None


@_declare("binary", "brier", more_is_better=False, values=SHARE, influence=influence.of_mse)
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


@_declare("multiclass", "f1_macro", more_is_better=True, values=SHARE, influence=influence.of_f1_macro, by_class=True)
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


@_declare("regression", "r2", more_is_better=True, values=AT_MOST_ONE, influence=influence.of_r2)
def r2(rows: Rows) -> float | None:
    """The coefficient of determination; none for constant labels. (``sklearn.metrics.r2_score``)

    >>> import numpy as np
    >>> compute("regression", labels=np.array([1.0, 2.0, 3.0]), scores=np.array([1.0, 2.0, 3.0]))["r2"]
    1.0
    """
    from sklearn.metrics import r2_score

    return None if rows.one_valued else float(r2_score(rows.truth, rows.scores))


@_declare("regression", "rmse", more_is_better=False, values=DISTANCE, influence=influence.of_rmse)
def rmse(rows: Rows) -> float:
    """The root mean squared error, in the label's unit. (``sklearn.metrics.root_mean_squared_error``)

    >>> import numpy as np
    >>> compute("regression", labels=np.array([1.0, 2.0]), scores=np.array([4.0, 5.0]))["rmse"]
    3.0
    """
    from sklearn.metrics import root_mean_squared_error

    return float(root_mean_squared_error(rows.truth, rows.scores))


@_declare("regression", "mae", more_is_better=False, values=DISTANCE, influence=influence.of_mae)
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

    The arguments, and what is raised, are those of :func:`perennial.statistics.rows.rows_of`.

    >>> import numpy as np
    >>> compute("regression", labels=np.array([1.0, 2.0]), scores=np.array([1.0, np.nan]))
    {}
    """
    import numpy as np

    rows = rows_of(task, labels=labels, scores=scores, predicted=predicted, classes=classes, threshold=threshold)
    if rows is None:
        return {}
    found = {name: metric.function(rows) for name, metric in METRICS[known_task(task)].items()}
    return {name: float(value) for name, value in found.items() if value is not None and np.isfinite(value)}
