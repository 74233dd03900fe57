"""From which score on a binary model predicts the positive class, chosen on the folds of its cross-validation."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import FixedThresholdClassifier

from perennial.config import ModelConfig
from perennial.evidence.answers import Answers

MOST_TRIED = 200
"""So many quantiles of the scores are tried."""


def tuned_threshold(config: ModelConfig, folds: Sequence[Answers]) -> float:
    """The threshold with the best mean over folds of ``training.tune_threshold``; of equal ones the one nearest to
    ``label.decision_threshold``, which is tried as well, and kept where no fold can tell.

    Tried are quantiles of all folds' scores. Pure.

    >>> config = flights.model_copy(
    ...     update={"training": flights.training.model_copy(update={"tune_threshold": "f1"})})
    >>> fold = Answers(labels=np.array([0, 0, 1, 1]), scores=np.array([0.1, 0.2, 0.3, 0.4]))
    >>> tuned_threshold(config, [fold]), tuned_threshold(config, [])
    (0.3, 0.5)
    """
    declared = config.label.decision_threshold
    if not folds:
        return declared
    scores = np.concatenate([answers.scores for answers in folds])
    tried = np.unique(np.append(np.quantile(scores, np.linspace(0, 1, MOST_TRIED), method="nearest"), declared))
    figures = np.array([_figures(str(config.training.tune_threshold), answers, tried) for answers in folds])
    mean = figures.mean(axis=0)
    best = tried[mean >= mean.max() - 1e-12]
    return float(best[np.abs(best - declared).argmin()])


def _figures(metric: str, answers: Answers, tried: NDArray[np.float64]) -> NDArray[np.float64]:
    """Accuracy or F1 of one fold at every threshold, shape (n tried,); F1 is 0 where nothing is predicted or true."""
    order = np.argsort(answers.scores, kind="stable")
    positive = answers.labels[order] == 1
    below = np.searchsorted(answers.scores[order], tried, side="left")
    n_rows, n_positive = len(positive), int(positive.sum())
    missed = np.append(0, np.cumsum(positive))[below]
    found = n_positive - missed
    if metric == "accuracy":
        accuracy: NDArray[np.float64] = (found + below - missed) / n_rows
        return accuracy
    f1: NDArray[np.float64] = 2 * found / np.maximum(n_rows - below + n_positive, 1)
    return f1


def deciding_by(model: Any, threshold: float) -> Any:
    """A fitted binary model whose ``predict`` answers 1 from ``threshold`` on; its probabilities stay what they are.

    >>> from sklearn.linear_model import LogisticRegression
    >>> fitted = LogisticRegression().fit([[0.0], [1.0]], [0, 1])
    >>> deciding_by(fitted, 0.01).predict([[0.0]]).tolist(), fitted.predict([[0.0]]).tolist()
    ([1], [0])
    """
    wrapped = FixedThresholdClassifier(
        FrozenEstimator(model), threshold=threshold, response_method="predict_proba", pos_label=1
    )
    classes = np.asarray(model.classes_)
    return wrapped.fit(np.zeros((len(classes), 1)), classes)  # frozen: fit learns which classes there are and no more
