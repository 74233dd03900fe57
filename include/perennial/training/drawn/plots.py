"""Pictures of a candidate on its holdout, drawn without a display and without matplotlib's global state."""

from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from sklearn.calibration import calibration_curve
from sklearn.metrics import confusion_matrix, precision_recall_curve, roc_curve

from perennial.config import ModelConfig
from perennial.evidence.answers import Answers
from perennial.training.drawn.attributions import Attributions
from perennial.training.drawn.learning import Point, curve_metric

_BINS = 10
_MOST_POINTS = 5_000
_MOST_FEATURES = 20
_SPREAD = 0.35
"""Points of one feature lie so far apart, in rows of the plot, at most."""


def figures(
    config: ModelConfig,
    answers: Answers,
    importance: dict[str, float] | None = None,
    attributed: Attributions | None = None,
) -> dict[str, Figure]:
    """File name to figure: ROC, precision against recall, and calibration; the confusion matrix; the residuals; what
    the features weigh (``importance``, name to share) and add to single answers, where it is known. None without rows.

    One class among the labels leaves no ROC, no precision and no calibration to be drawn.

    >>> answers = Answers(labels=np.array([0, 1, 1]), scores=np.array([0.2, 0.4, 0.7]))
    >>> list(figures(flights, answers, {"distance": 0.75, "origin": 0.25}))
    ['confusion.png', 'roc.png', 'precision_recall.png', 'calibration.png', 'importance.png']
    """
    if len(answers.labels) == 0:
        return {}
    drawn = {}
    if config.task == "regression":
        drawn["residuals.png"] = _residuals(answers)
    else:
        drawn["confusion.png"] = _confusion(config, answers)
    if config.task == "binary" and len(np.unique(answers.labels)) > 1:
        drawn["roc.png"] = _roc(answers)
        drawn["precision_recall.png"] = _precision_recall(answers)
        drawn["calibration.png"] = _calibration(answers)
    if importance:
        drawn["importance.png"] = _importance(importance)
    if attributed:
        drawn["attributions.png"] = _attributions(attributed)
    return drawn


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


def _precision_recall(answers: Answers) -> Figure:
    """Beside the share of positives, which is the precision of an answer that knows nothing."""
    figure = _figure("recall", "precision")
    precision, recall, _ = precision_recall_curve(answers.labels, answers.scores)
    figure.axes[0].plot(recall, precision)
    figure.axes[0].axhline(np.mean(answers.labels), linestyle=":", color="grey")
    return figure


def _calibration(answers: Answers) -> Figure:
    figure = _figure("predicted probability", "observed share")
    scores = np.clip(answers.scores, 0, 1)
    observed, expected = calibration_curve(answers.labels, scores, n_bins=_BINS, strategy="quantile")
    figure.axes[0].plot(expected, observed, marker="o")
    figure.axes[0].plot([0, 1], [0, 1], linestyle=":", color="grey")
    return figure


def _confusion(config: ModelConfig, answers: Answers) -> Figure:
    """Rows of labels by columns of answers; of a binary model at its threshold."""
    if answers.predicted is None:
        classes = ["0", "1"]
        counts = confusion_matrix(answers.labels, answers.scores >= answers.decides_at(config), labels=[0, 1])
    else:
        classes = [str(known) for known in config.label.classes or ()]
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


def _importance(shares: dict[str, float]) -> Figure:
    """The features that weigh most, the heaviest on top."""
    heaviest = sorted(shares.items(), key=lambda item: item[1])[-_MOST_FEATURES:]
    figure = _figure("share of the loss when it is shuffled", "")
    figure.axes[0].barh([name for name, _ in heaviest], [share for _, share in heaviest])
    return figure


def _attributions(found: Attributions) -> Figure:
    """A point for every row: what the feature added to its answer, coloured by the rank of its value.

    Categories, and missing numbers, are grey: they have no rank. After S. Lundberg and S.-I. Lee, A unified approach to
    interpreting model predictions (NeurIPS 2017), figure "summary plot".
    """
    names = found.heaviest[:_MOST_FEATURES]
    n_rows, n_features = found.parts.shape
    title = f"{n_rows} holdout rows; a point is sure within {2 * found.error:.2g} (twice the mean standard error)"
    figure = Figure(figsize=(7, 1.2 + 0.32 * len(names)), layout="constrained")
    axes: Any = figure.subplots()
    axes.set_title(title, fontsize="small")
    axes.set_xlabel("added to the answer (Shapley value)")
    offsets: Any = np.random.default_rng(n_features).uniform(-_SPREAD, _SPREAD, n_rows)
    points = None
    for place, name in enumerate(reversed(names)):
        parts = found.parts[:, list(found.features.columns).index(name)]
        ranks = _ranks(found.features[name])
        known, heights = np.isfinite(ranks), place + offsets
        axes.scatter(parts[~known], heights[~known], s=8, color="grey", alpha=0.6)
        coloured = {"c": ranks[known], "cmap": "coolwarm", "vmin": 0, "vmax": 1}
        points = axes.scatter(parts[known], heights[known], **coloured, s=8, alpha=0.8)
    axes.axvline(0, color="black", linewidth=0.8)
    axes.set_yticks(range(len(names)), list(reversed(names)))
    if points is not None:
        figure.colorbar(points, ax=axes, label="rank of the value (grey: category, missing)", ticks=[0, 1])
    return figure


def _ranks(values: Any) -> NDArray[np.float64]:
    """Of numbers from 0 to 1; NaN for what has none."""
    if values.dtype.kind != "f":
        return np.full(len(values), np.nan)
    ranks: NDArray[np.float64] = values.rank(pct=True).to_numpy()
    return ranks


def learning_figure(config: ModelConfig, points: tuple[Point, ...]) -> Figure:
    """The metric over the number of rows: on those fitted on, and on later ones.

    >>> points = (Point(n_rows=10, known=0.9, unseen=0.6), Point(n_rows=20, known=0.85, unseen=0.65))
    >>> learning_figure(flights, points).axes[0].get_ylabel()
    'roc_auc'
    """
    figure = _figure("training rows, the newest", curve_metric(config))
    axes = figure.axes[0]
    rows = [point.n_rows for point in points]
    axes.plot(rows, [point.known for point in points], marker="o", color="grey", label="rows fitted on")
    axes.plot(rows, [point.unseen for point in points], marker="o", label="later rows")
    axes.set_xscale("log", base=2)
    axes.set_xticks(rows, [f"{n:,}" for n in rows])
    axes.minorticks_off()
    axes.legend()
    return figure
