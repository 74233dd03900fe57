"""Pictures of a candidate on its holdout, drawn without a display and without matplotlib's global state."""

import numpy as np
from matplotlib.figure import Figure
from sklearn.calibration import calibration_curve
from sklearn.metrics import confusion_matrix, roc_curve

from perennial.config import ModelConfig
from perennial.evidence.answers import Answers

_BINS = 10
_MOST_POINTS = 5_000


def figures(config: ModelConfig, answers: Answers) -> dict[str, Figure]:
    """File name to figure: ROC and calibration, the confusion matrix, or the residuals; none without rows.

    One class among the labels leaves no ROC and no calibration to be drawn.

    >>> list(figures(flights, Answers(labels=np.array([0, 1, 1]), scores=np.array([0.2, 0.4, 0.7]))))
    ['roc.png', 'calibration.png']
    """
    if len(answers.labels) == 0:
        return {}
    if config.task == "multiclass":
        return {"confusion.png": _confusion(config, answers)}
    if config.task == "regression":
        return {"residuals.png": _residuals(answers)}
    if len(np.unique(answers.labels)) < 2:  # noqa: PLR2004
        return {}
    return {"roc.png": _roc(answers), "calibration.png": _calibration(answers)}


def _figure(x: str, y: str) -> Figure:
    figure = Figure(figsize=(5, 5), layout="constrained")
    figure.subplots().set(xlabel=x, ylabel=y)
    return figure


def _roc(answers: Answers) -> Figure:
    figure = _figure("false positive rate", "true positive rate")
    false_rate, true_rate, _ = roc_curve(answers.labels, answers.scores)
    figure.axes[0].plot(false_rate, true_rate)
    figure.axes[0].plot([0, 1], [0, 1], linestyle=":", color="grey")
    return figure


def _calibration(answers: Answers) -> Figure:
    figure = _figure("predicted probability", "observed share")
    scores = np.clip(answers.scores, 0, 1)
    observed, expected = calibration_curve(answers.labels, scores, n_bins=_BINS, strategy="quantile")
    figure.axes[0].plot(expected, observed, marker="o")
    figure.axes[0].plot([0, 1], [0, 1], linestyle=":", color="grey")
    return figure


def _confusion(config: ModelConfig, answers: Answers) -> Figure:
    classes = [str(known) for known in config.label.classes or ()]
    assert answers.predicted is not None  # noqa: S101 - a multiclass answer names its class
    counts = confusion_matrix(answers.labels, answers.predicted, labels=classes)
    figure = _figure("predicted", "label")
    axes = figure.axes[0]
    axes.imshow(counts, cmap="Blues")
    axes.set_xticks(range(len(classes)), classes, rotation=45, ha="right")
    axes.set_yticks(range(len(classes)), classes)
    for (row, column), count in np.ndenumerate(counts):
        axes.annotate(str(count), (column, row), ha="center", va="center")
    return figure


def _residuals(answers: Answers) -> Figure:
    figure = _figure("predicted", "label - predicted")
    step = max(1, len(answers.labels) // _MOST_POINTS)
    scores, labels = answers.scores[::step], answers.labels[::step]
    figure.axes[0].scatter(scores, labels - scores, s=8, alpha=0.5)
    figure.axes[0].axhline(0, linestyle=":", color="grey")
    return figure
