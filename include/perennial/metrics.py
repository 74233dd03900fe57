"""The metrics of ``config.METRICS``, computed in one place for training, signoff and monitoring.

What can not be computed is absent from the answer: never zero, never NaN.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.metrics import (
    accuracy_score,
    brier_score_loss,
    f1_score,
    log_loss,
    mean_absolute_error,
    r2_score,
    recall_score,
    roc_auc_score,
    root_mean_squared_error,
)

from perennial.config import ModelConfig

THRESHOLD = 0.5
"""A binary score at or above it means the positive class."""

Values = NDArray[Any]


def compute(
    task: str, *, labels: Values, scores: Values, predicted: Values | None = None, classes: Sequence[Any] | None = None
) -> dict[str, float]:
    """Every metric of ``task`` that these rows allow.

    ``labels`` and ``scores`` have shape (n,). binary: labels 0 and 1, scores P(label = 1), ``predicted`` ignored.
    multiclass: labels and ``predicted`` name classes (compared as text), ``classes`` lists those that may occur.
    regression: both are numbers of the same unit. Absent: everything with fewer than two rows, a missing or infinite
    value, or a class out of ``classes``; what compares classes (AUC, balanced accuracy, F1) when the labels hold only
    one; log loss and Brier score of scores outside [0, 1]; R2 of constant labels.

    Raises ValueError for an unknown task, for arrays of different lengths, for multiclass without ``predicted``.

    >>> compute("binary", labels=np.array([0, 0, 1, 1]), scores=np.array([0.1, 0.6, 0.7, 0.9]))["accuracy"]
    0.75
    >>> "roc_auc" in compute("binary", labels=np.array([1, 1]), scores=np.array([0.1, 0.6]))
    False
    >>> compute("regression", labels=np.array([1.0, 2.0]), scores=np.array([1.0, np.nan]))
    {}
    """
    if task not in _TASKS:
        raise ValueError(f"task {task!r}: one of {', '.join(_TASKS)}")
    answers = predicted if task == "multiclass" else scores
    if answers is None:
        raise ValueError("a multiclass task is measured on the predicted classes: give predicted")
    if len(labels) != len(answers):
        raise ValueError(f"{len(labels)} labels for {len(answers)} predictions; they must be of the same rows")
    if len(labels) < 2:  # noqa: PLR2004 - one row shows no spread
        return {}
    found = _TASKS[task](np.asarray(labels), np.asarray(answers), classes)
    return {name: float(value) for name, value in found.items() if np.isfinite(value)}


def loss(config: ModelConfig, metric: str, value: float, reference: float) -> float:
    """How much worse ``value`` is than ``reference``, in the metric's unit: positive is worse, negative is better.

    Raises KeyError for a metric of another task.
    """
    return reference - value if config.more_is_better(metric) else value - reference


def _numbers(values: Values) -> Values | None:
    """As float64, or None when one is missing, infinite or not a number."""
    try:
        numbers = values.astype(np.float64)
    except (TypeError, ValueError):
        return None
    return numbers if bool(np.isfinite(numbers).all()) else None


def _binary(labels: Values, answers: Values, _classes: Sequence[Any] | None) -> dict[str, float]:
    truth, scores = _numbers(labels), _numbers(answers)
    if truth is None or scores is None or not bool(np.isin(truth, (0, 1)).all()):
        return {}
    truth = truth.astype(np.int8)
    predicted = (scores >= THRESHOLD).astype(np.int8)
    found = {"accuracy": accuracy_score(truth, predicted)}
    if scores.min() >= 0 and scores.max() <= 1:
        found["log_loss"] = log_loss(truth, scores, labels=[0, 1])
        found["brier"] = brier_score_loss(truth, scores, labels=[0, 1], pos_label=1)
    if truth.min() != truth.max():
        found["roc_auc"] = roc_auc_score(truth, scores)
        found["balanced_accuracy"] = recall_score(truth, predicted, average="macro", labels=[0, 1], zero_division=0)
        found["f1"] = f1_score(truth, predicted, zero_division=0)
    return found


def _multiclass(labels: Values, answers: Values, classes: Sequence[Any] | None) -> dict[str, float]:
    if _has_missing(labels) or _has_missing(answers):
        return {}
    truth, predicted = labels.astype(str), answers.astype(str)
    present = np.unique(truth)
    if classes is not None and not bool(np.isin(present, [str(known) for known in classes]).all()):
        return {}
    found = {"accuracy": accuracy_score(truth, predicted)}
    if len(present) > 1:
        # the mean recall of the classes that occur, which is what balanced accuracy is
        found["balanced_accuracy"] = recall_score(truth, predicted, average="macro", labels=present, zero_division=0)
        found["f1_macro"] = f1_score(truth, predicted, average="macro", zero_division=0)
    return found


def _has_missing(values: Values) -> bool:
    """True when a value is None or NaN."""
    return bool(pd.isna(values).any())


def _regression(labels: Values, answers: Values, _classes: Sequence[Any] | None) -> dict[str, float]:
    truth, scores = _numbers(labels), _numbers(answers)
    if truth is None or scores is None:
        return {}
    found = {"rmse": root_mean_squared_error(truth, scores), "mae": mean_absolute_error(truth, scores)}
    if truth.min() != truth.max():
        found["r2"] = r2_score(truth, scores)
    return found


_TASKS: dict[str, Callable[[Values, Values, Sequence[Any] | None], dict[str, float]]] = {
    "binary": _binary,
    "multiclass": _multiclass,
    "regression": _regression,
}
