"""Fits in the order of time: each fold lies after what was fitted for it."""

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import pyarrow as pa
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import TimeSeriesSplit

from perennial.config import ModelConfig
from perennial.errors import TrainingError
from perennial.evidence.answers import Answers
from perennial.registry.scoring import features_frame, score
from perennial.training.fitting.weights import weighted
from perennial.training.rows import labels_of


def fit_rows(config: ModelConfig, model: Any, table: pa.Table) -> Any:
    """``model`` fitted on ``table`` (features, ``event_time`` and ``label``), its rows weighted as declared."""
    return model.fit(features_frame(config, table), labels_of(config, table), **weighted(config, model, table))


@contextmanager
def converging() -> Iterator[None]:
    """A fit that does not converge in here raises scikit-learn's ConvergenceWarning. For one thread alone."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        yield


def refuse_one_class(config: ModelConfig, table: pa.Table) -> None:
    """Raises TrainingError for labels of one class only."""
    if config.task == "regression":
        return
    found = np.unique(labels_of(config, table))
    if len(found) < 2:  # noqa: PLR2004 - nothing to tell apart
        raise TrainingError(
            f"{config.model}: all {table.num_rows} training rows have the label {found[0]}; lengthen training.train"
        )


def fold_answers(config: ModelConfig, build: Callable[[], Any], table: pa.Table, n_folds: int) -> Iterator[Answers]:
    """What an estimator answers for each fold, fitted anew on the rows before it; the oldest fold first.

    ``table`` is in the order of time. A fold whose past holds one class only is left out. (scikit-learn's
    TimeSeriesSplit.)

    >>> from sklearn.dummy import DummyClassifier
    >>> columns = {name: ["a"] * 8 if name in flights.categories else [1.0] * 8 for name in flights.features}
    >>> times = pa.array([day(number).start for number in range(8)], pa.timestamp("us", "UTC"))
    >>> table = pa.table({**columns, "event_time": times, "label": [0.0, 1.0] * 4})
    >>> [len(answers.labels) for answers in fold_answers(flights, DummyClassifier, table, 3)]
    [2, 2, 2]
    """
    for past, later in TimeSeriesSplit(n_splits=n_folds).split(np.arange(table.num_rows)):
        known, unseen = table.slice(0, len(past)), table.slice(int(later[0]), len(later))
        if config.task != "regression" and len(np.unique(labels_of(config, known))) < 2:  # noqa: PLR2004
            continue
        scores, predicted = score(config, fit_rows(config, build(), known), unseen)
        yield Answers(
            times=unseen.column("event_time").to_numpy(),
            labels=labels_of(config, unseen),
            scores=scores,
            predicted=predicted,
        )


def summed_up(config: ModelConfig, folds: Sequence[Answers]) -> dict[str, float]:
    """``cv_<metric>_mean`` and ``cv_<metric>_std`` over folds; ``cv_folds`` counts them.

    A fold with too few rows for a metric is left out of it. The deviation is that of the population. Pure.

    >>> summed_up(flights, [Answers(labels=np.array([0, 1]), scores=np.array([0.2, 0.7]))])["cv_roc_auc_mean"]
    1.0
    """
    found: dict[str, list[float]] = {}
    for answers in folds:
        for name, value in answers.metrics(config).items():
            found.setdefault(name, []).append(value)
    summary = {"cv_folds": float(len(folds))}
    for name, values in found.items():
        summary[f"cv_{name}_mean"], summary[f"cv_{name}_std"] = float(np.mean(values)), float(np.std(values))
    return summary
