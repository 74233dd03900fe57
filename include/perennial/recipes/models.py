"""Whole recipes: columns, a model, and for a classification its weights and calibration."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import Pipeline

from perennial.recipes.columns import RARE, encoded, scaled

Task = Literal["binary", "multiclass", "regression"]
Calibration = Literal["sigmoid", "isotonic"]
_FOLDS = 3


def linear(
    task: Task,
    *,
    seed: int,
    c: float = 1.0,
    rare: int | float = RARE,
    cycles: Mapping[str, float] | None = None,
    times: Sequence[str] = (),
    balanced: bool = False,
    calibrate: Calibration | None = None,
) -> Pipeline:
    """Logistic regression, or ridge for a regression, on :func:`~perennial.recipes.columns.scaled` columns.

    ``c`` is the inverse of the regularisation. The last two are those of :func:`_decided`.

    >>> linear("binary", seed=0, balanced=True).named_steps["model"].class_weight
    'balanced'
    """
    model = (
        Ridge(alpha=1 / c, random_state=seed)
        if task == "regression"
        else LogisticRegression(C=c, max_iter=1000, class_weight=_weights(balanced=balanced), random_state=seed)
    )
    wrapped = _decided(task, model, balanced=balanced, calibrate=calibrate)
    return Pipeline([("columns", scaled(rare=rare, cycles=cycles, times=times)), ("model", wrapped)])


def forest(
    task: Task,
    *,
    seed: int,
    trees: int = 100,
    min_samples_leaf: int = 5,
    rare: int | float = RARE,
    times: Sequence[str] = (),
    balanced: bool = False,
    calibrate: Calibration | None = None,
) -> Pipeline:
    """A random forest on :func:`~perennial.recipes.columns.encoded` columns.

    >>> forest("regression", seed=0, trees=9).named_steps["model"].n_estimators
    9
    """
    shape: dict[str, Any] = {"n_estimators": trees, "min_samples_leaf": min_samples_leaf, "random_state": seed}
    model = (
        RandomForestRegressor(**shape)
        if task == "regression"
        else RandomForestClassifier(class_weight=_weights(balanced=balanced), **shape)
    )
    wrapped = _decided(task, model, balanced=balanced, calibrate=calibrate)
    return Pipeline([("columns", encoded(rare=rare, times=times)), ("model", wrapped)])


def boosting(
    task: Task,
    *,
    seed: int,
    max_iter: int = 100,
    learning_rate: float = 0.1,
    max_leaf_nodes: int = 31,
    min_samples_leaf: int = 20,
    rare: int | float = RARE,
    times: Sequence[str] = (),
    balanced: bool = False,
    calibrate: Calibration | None = None,
) -> Pipeline:
    """Histogram gradient boosting on :func:`~perennial.recipes.columns.encoded` columns.

    >>> boosting("multiclass", seed=0, calibrate="sigmoid").named_steps["model"].method
    'sigmoid'
    """
    shape: dict[str, Any] = {
        "max_iter": max_iter,
        "learning_rate": learning_rate,
        "max_leaf_nodes": max_leaf_nodes,
        "min_samples_leaf": min_samples_leaf,
        "early_stopping": False,
        "random_state": seed,
    }
    model = (
        HistGradientBoostingRegressor(**shape)
        if task == "regression"
        else HistGradientBoostingClassifier(class_weight=_weights(balanced=balanced), **shape)
    )
    wrapped = _decided(task, model, balanced=balanced, calibrate=calibrate)
    return Pipeline([("columns", encoded(rare=rare, times=times)), ("model", wrapped)])


def _weights(*, balanced: bool) -> str | None:
    return "balanced" if balanced else None


def _decided(task: Task, model: Any, *, balanced: bool, calibrate: Calibration | None) -> Any:
    """A classifier whose classes weigh alike, and whose probabilities are calibrated.

    ``balanced`` weights distort probabilities: ``calibrate`` mends them afterwards, on the rows as they are. Raises
    ValueError for a regression, which has neither.
    """
    if task == "regression" and (balanced or calibrate):
        raise ValueError("balanced and calibrate are for classes, and a regression has none")
    return CalibratedClassifierCV(model, method=calibrate, cv=_FOLDS, ensemble=False) if calibrate else model
