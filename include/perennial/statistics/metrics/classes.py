"""The metrics of predicted classes: of multiclass tasks, and those that binary ones share."""

from __future__ import annotations

from perennial.statistics import influence
from perennial.statistics.metrics.declared import calibration_error, declare
from perennial.statistics.ranges import SHARE
from perennial.statistics.rows import Rows


@declare("binary", "accuracy", more_is_better=True, values=SHARE, influence=influence.of_accuracy)
@declare("multiclass", "accuracy", more_is_better=True, values=SHARE, influence=influence.of_accuracy)
def accuracy(rows: Rows) -> float:
    """The share of rows whose class was predicted. (``sklearn.metrics.accuracy_score``)

    >>> import numpy as np
    >>> compute("binary", labels=np.array([0, 0, 1, 1]), scores=np.array([0.1, 0.6, 0.7, 0.9]))["accuracy"]
    0.75
    """
    from sklearn.metrics import accuracy_score

    return float(accuracy_score(rows.truth, rows.predicted))


@declare(
    "binary",
    "balanced_accuracy",
    more_is_better=True,
    values=SHARE,
    influence=influence.of_balanced_accuracy,
    by_class=True,
)
@declare(
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


@declare("multiclass", "f1_macro", more_is_better=True, values=SHARE, influence=influence.of_f1_macro, by_class=True)
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


@declare(
    "multiclass", "f1_weighted", more_is_better=True, values=SHARE, influence=influence.of_f1_weighted, by_class=True
)
def f1_weighted(rows: Rows) -> float | None:
    """The mean F1 over the classes, each by its share of the labels; none when one class occurs only.

    (``sklearn.metrics.f1_score``)

    >>> import numpy as np
    >>> labels, predicted = np.array(["a", "a", "a", "b"]), np.array(["a", "a", "b", "b"])
    >>> round(compute("multiclass", labels=labels, scores=np.ones(4), predicted=predicted)["f1_weighted"], 4)
    0.7667
    """
    from sklearn.metrics import f1_score

    if rows.one_valued:
        return None
    return float(f1_score(rows.truth, rows.predicted, average="weighted", zero_division=0))


@declare(
    "multiclass",
    "precision_macro",
    more_is_better=True,
    values=SHARE,
    influence=influence.of_precision_macro,
    by_class=True,
)
def precision_macro(rows: Rows) -> float | None:
    """The mean precision over the classes, 0 of one that was never predicted; none when one class occurs only.

    The mean recall is ``balanced_accuracy``, and every micro average ``accuracy``.
    (``sklearn.metrics.precision_score``)

    >>> import numpy as np
    >>> labels, predicted = np.array(["a", "a", "a", "b"]), np.array(["a", "a", "b", "b"])
    >>> compute("multiclass", labels=labels, scores=np.ones(4), predicted=predicted)["precision_macro"]
    0.75
    """
    from sklearn.metrics import precision_score

    if rows.one_valued:
        return None
    return float(precision_score(rows.truth, rows.predicted, average="macro", zero_division=0))


@declare("multiclass", "ece", more_is_better=False, values=SHARE)
def ece(rows: Rows) -> float | None:
    """Expected calibration error of P(predicted class), of whether it is right; none for scores outside [0, 1].

    As that of binary tasks, of the top label: C. Guo et al., ICML 2017.

    >>> import numpy as np
    >>> labels, predicted = np.array(["a", "a", "b", "b"]), np.array(["a", "b", "b", "b"])
    >>> round(compute("multiclass", labels=labels, scores=np.full(4, 0.8), predicted=predicted)["ece"], 4)
    0.05
    """
    return calibration_error(rows.truth == rows.predicted, rows.scores) if rows.are_probabilities else None
