"""How much a training row counts by its age (``training.half_life``), and whether a recipe can be told so."""

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from sklearn.utils.validation import has_fit_parameter

from perennial.config import ModelConfig
from perennial.errors import TrainingError


def weights_of(config: ModelConfig, table: pa.Table) -> NDArray[np.float64] | None:
    """A weight above 0 for every row, shape (n,), on average 1; None where ``training.half_life`` is not given.

    Half for every half-life by which its ``event_time`` (timestamp[us], UTC) lies before the newest of the table.

    >>> config = flights.model_copy(
    ...     update={"training": flights.training.model_copy(update={"half_life": day(0).end - day(0).start})})
    >>> times = pa.table({"event_time": pa.array([day(0).start, day(1).start], pa.timestamp("us", "UTC"))})
    >>> weights_of(config, times).round(3).tolist()
    [0.667, 1.333]
    """
    if config.training.half_life is None:
        return None
    times = table.column("event_time").to_numpy()
    ages = (times.max() - times) / np.timedelta64(config.training.half_life)
    weights = np.exp2(-np.minimum(ages, 1000.0))
    found: NDArray[np.float64] = weights / weights.mean()
    return found


def weight_name(estimator: Any) -> str | None:
    """The keyword by which ``fit`` hands weights to the last estimator of a pipeline; None where it takes none.

    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.neighbors import KNeighborsClassifier
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> weight_name(make_pipeline(StandardScaler(), LogisticRegression()))
    'logisticregression__sample_weight'
    >>> weight_name(KNeighborsClassifier())
    """
    prefix = ""
    while steps := getattr(estimator, "steps", None):
        name, estimator = steps[-1]
        prefix += f"{name}__"
    return f"{prefix}sample_weight" if _takes_weights(estimator) else None


def _takes_weights(estimator: Any) -> bool:
    """Whether it, and what it wraps, takes weights: a wrapped pipeline would be fitted without them."""
    wrapped = getattr(estimator, "estimator", None) or getattr(estimator, "regressor", None)
    return has_fit_parameter(estimator, "sample_weight") and (wrapped is None or _takes_weights(wrapped))


def refused(config: ModelConfig, estimator: Any) -> str | None:
    """Why the rows can not be weighted as ``model.yaml`` asks, and what to do; None when they can."""
    if config.training.half_life is None or weight_name(estimator):
        return None
    last = estimator
    while steps := getattr(last, "steps", None):
        last = steps[-1][1]
    return (
        f"training.half_life = {config.training.half_life}: {type(last).__name__}, the recipe's last estimator, takes "
        "no sample_weight, or wraps one that does not. Let a pipeline end in one that does, or leave half_life out"
    )


def weighted(config: ModelConfig, estimator: Any, table: pa.Table) -> dict[str, NDArray[np.float64]]:
    """What to fit ``estimator`` on ``table`` with besides features and labels. Raises TrainingError."""
    weights = weights_of(config, table)
    if weights is None:
        return {}
    name = weight_name(estimator)
    if name is None:
        raise TrainingError(f"{config.model}: {refused(config, estimator)}")
    return {name: weights}
