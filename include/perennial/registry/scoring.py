"""The one way in which rows become what a recipe sees, and what a model answers."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from perennial.config import ModelConfig
from perennial.errors import IntegrityError, first_of

MISSING = "(missing)"
"""What a null category reads as."""


def features_frame(config: ModelConfig, table: pa.Table) -> pd.DataFrame:
    """The features of ``table`` as a recipe sees them, in the order of ``model.yaml``; other columns are left out.

    Numbers (``float`` and ``int``) are float64 with NaN for null. Categories and booleans are text (pandas ``str``):
    a category as it is, a boolean ``true`` or ``false``, and null the text ``(missing)``, a category like any other, so
    that an encoder meets neither None nor NaN and answers the same for a row whatever rows stand around it. A recipe
    chooses its columns by name or by ``make_column_selector(dtype_include="number")`` and its opposite, and lets its
    encoder take unknown categories. The index is 0, 1, 2, ...

    Raises IntegrityError when a feature is not among the columns.
    """
    absent = [name for name in config.features if name not in table.column_names]
    if absent:
        raise IntegrityError(f"{config.model}: rows without the features {first_of(absent)} can not be scored")
    columns: dict[str, Any] = {}
    for name in config.features:
        column = table.column(name)
        if name in config.numbers:
            columns[name] = column.cast(pa.float64()).to_numpy(zero_copy_only=False).astype(np.float64)
        else:
            columns[name] = pd.array(_without_nulls(column).to_pylist(), dtype="str")
    return pd.DataFrame(columns, index=pd.RangeIndex(table.num_rows))


def _without_nulls(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """As text without nulls. Arrow writes a boolean as ``true`` or ``false``."""
    return pc.fill_null(column.cast(pa.string()), MISSING)


def score(config: ModelConfig, model: Any, table: pa.Table) -> tuple[NDArray[np.float64], NDArray[np.str_] | None]:
    """What ``model`` answers for each row: scores of shape (n,), and the predicted classes for multiclass.

    binary: P(label = 1), no classes. multiclass: P(predicted class), and the class as text. regression: the value, no
    classes. Raises IntegrityError for a model that knows other classes than the configuration or answers NaN or
    infinity, that needs a feature ``model.yaml`` no longer has, or that raises. A model fitted before a feature was
    added is asked without it.
    """
    return score_frame(config, model, features_frame(config, table))


def score_frame(
    config: ModelConfig, model: Any, features: pd.DataFrame
) -> tuple[NDArray[np.float64], NDArray[np.str_] | None]:
    """The same for rows as :func:`features_frame` gives them."""
    frame = _as_fitted(config, model, features)
    if config.task == "regression":
        return _finite(config, _answers(config, model.predict, frame)), None
    classes, proba = _chances(config, model, frame)
    if config.task == "binary":
        return proba[:, 1], None
    return proba.max(axis=1), np.asarray(classes)[proba.argmax(axis=1)]


def own_threshold(model: Any) -> float | None:
    """From which score on a binary model itself predicts the positive class; None where it was told no threshold.

    Of scikit-learn's FixedThresholdClassifier and TunedThresholdClassifierCV.

    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.model_selection import FixedThresholdClassifier
    >>> plain = LogisticRegression()
    >>> own_threshold(plain), own_threshold(FixedThresholdClassifier(plain, threshold=0.2))
    (None, 0.2)
    """
    found = getattr(model, "best_threshold_", getattr(model, "threshold", None))
    return float(found) if isinstance(found, (int, float)) else None


def score_class(
    config: ModelConfig, model: Any, features: pd.DataFrame, named: str | NDArray[np.str_] | None
) -> NDArray[np.float64]:
    """The scores of :func:`score_frame`, or of a multiclass model P(``named``), for every row, shape (n,).

    ``named`` is one class for all rows, or one for each.
    """
    if config.task != "multiclass":
        return score_frame(config, model, features)[0]
    classes, proba = _chances(config, model, _as_fitted(config, model, features))
    wanted = np.broadcast_to(np.asarray(named, dtype=object), (len(features),))
    places = pd.Index(classes, dtype=object).get_indexer(pd.Index(wanted, dtype=object))
    if (places < 0).any():
        raise IntegrityError(
            f"{config.model}: the model knows the classes {classes[:9]}, not {wanted[places < 0][0]!r}"
        )
    chosen: NDArray[np.float64] = proba[np.arange(len(features)), places]
    return chosen


def walker(
    config: ModelConfig, model: Any, explained: pd.DataFrame, compared: pd.DataFrame, named: NDArray[np.str_] | None
) -> Callable[[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]], NDArray[np.float64]]:
    """What :func:`~perennial.statistics.shapley.shapley_of_rows` asks: the scores, by :func:`score_class`, of rows of
    ``compared`` that took over features of rows of ``explained``; ``named`` is the class of each of the latter.
    """

    def ask(rows: NDArray[np.int64], numbers: NDArray[np.int64], taken: NDArray[np.bool_]) -> NDArray[np.float64]:
        columns = {
            name: compared[name].take(numbers).reset_index(drop=True)
            .mask(taken[:, place], explained[name].take(rows).reset_index(drop=True))
            for place, name in enumerate(compared.columns)
        }  # fmt: skip
        return score_class(config, model, pd.DataFrame(columns), None if named is None else named[rows])

    return ask


def _chances(config: ModelConfig, model: Any, frame: pd.DataFrame) -> tuple[list[str], NDArray[np.float64]]:
    """The classes that a model knows, and their probabilities for each row, shape (n, n classes)."""
    classes = [str(known) for known in model.classes_]
    allowed = [str(known) for known in config.label.classes or ()]
    if not set(classes) <= set(allowed) or (config.task == "binary" and classes != allowed):
        raise IntegrityError(
            f"{config.model}: the model knows the classes {classes[:9]}, model.yaml says {allowed[:9]}"
        )
    return classes, _finite(config, _answers(config, model.predict_proba, frame))


def _as_fitted(config: ModelConfig, model: Any, frame: pd.DataFrame) -> pd.DataFrame:
    """The columns that the model was fitted on, in its order."""
    fitted_on = [str(name) for name in getattr(model, "feature_names_in_", frame.columns)]
    absent = [name for name in fitted_on if name not in frame.columns]
    if absent:
        raise IntegrityError(f"{config.model}: the model needs {first_of(absent)}, no longer a feature in model.yaml")
    return frame[fitted_on]


def _answers(config: ModelConfig, ask: Callable[[pd.DataFrame], Any], frame: pd.DataFrame) -> NDArray[np.float64]:
    try:
        return np.asarray(ask(frame), dtype=np.float64)
    except Exception as error:  # a recipe may raise anything, and none of it is worth a retry
        raise IntegrityError(
            f"{config.model}: the model could not score {len(frame)} rows: {type(error).__name__}: {error}"[:500]
        ) from error


def _finite(config: ModelConfig, answers: NDArray[np.float64]) -> NDArray[np.float64]:
    n_bad = int((~np.isfinite(answers)).sum())
    if n_bad:
        raise IntegrityError(f"{config.model}: {n_bad} of {answers.size} answers of the model are NaN or infinite")
    return answers
