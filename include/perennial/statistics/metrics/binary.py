"""The metrics of binary tasks, on P(label = 1) and the class that it predicts."""

from __future__ import annotations

from perennial.statistics import influence
from perennial.statistics.metrics.declared import calibration_error, declare
from perennial.statistics.ranges import DISTANCE, SHARE
from perennial.statistics.rows import Rows


@declare("binary", "roc_auc", more_is_better=True, values=SHARE, influence=influence.of_roc_auc, by_class=True)
def roc_auc(rows: Rows) -> float | None:
    """Area under the ROC curve; none for labels of one class. (``sklearn.metrics.roc_auc_score``)

    >>> import numpy as np
    >>> compute("binary", labels=np.array([0, 0, 1, 1]), scores=np.array([0.1, 0.6, 0.5, 0.9]))["roc_auc"]
    0.75
    """
    from sklearn.metrics import roc_auc_score

    return None if rows.one_valued else roc_auc_score(rows.truth, rows.scores)


@declare("binary", "f1", more_is_better=True, values=SHARE, influence=influence.of_f1, by_class=True)
def f1(rows: Rows) -> float | None:
    """F1 of the positive class; none for labels of one class. (``sklearn.metrics.f1_score``)

    >>> import numpy as np
    >>> compute("binary", labels=np.array([0, 0, 1, 1]), scores=np.array([0.1, 0.6, 0.4, 0.9]))["f1"]
    0.5
    """
    from sklearn.metrics import f1_score

    return None if rows.one_valued else float(f1_score(rows.truth, rows.predicted, zero_division=0))


@declare("binary", "precision", more_is_better=True, values=SHARE, influence=influence.of_precision, by_class=True)
def precision(rows: Rows) -> float | None:
    """The share of predicted positives that are positive; none without any, or for labels of one class.

    (``sklearn.metrics.precision_score``)

    >>> import numpy as np
    >>> compute("binary", labels=np.array([0, 0, 1, 1]), scores=np.array([0.1, 0.6, 0.4, 0.9]))["precision"]
    0.5
    """
    from sklearn.metrics import precision_score

    return None if rows.one_valued or not rows.predicted.any() else float(precision_score(rows.truth, rows.predicted))


@declare("binary", "recall", more_is_better=True, values=SHARE, influence=influence.of_recall, by_class=True)
def recall(rows: Rows) -> float | None:
    """The share of positives that were predicted; none for labels of one class. (``sklearn.metrics.recall_score``)

    >>> import numpy as np
    >>> compute("binary", labels=np.array([0, 0, 1, 1]), scores=np.array([0.1, 0.6, 0.4, 0.9]))["recall"]
    0.5
    """
    from sklearn.metrics import recall_score

    return None if rows.one_valued else float(recall_score(rows.truth, rows.predicted))


@declare("binary", "pr_auc", more_is_better=True, values=SHARE, influence=influence.of_pr_auc, by_class=True)
def pr_auc(rows: Rows) -> float | None:
    """Average precision: the area under the curve of precision over recall, without interpolation.

    None for labels of one class. (``sklearn.metrics.average_precision_score``)

    >>> import numpy as np
    >>> compute("binary", labels=np.array([0, 0, 1, 1]), scores=np.array([0.1, 0.2, 0.4, 0.9]))["pr_auc"]
    1.0
    """
    from sklearn.metrics import average_precision_score

    return None if rows.one_valued else float(average_precision_score(rows.truth, rows.scores))


@declare("binary", "log_loss", more_is_better=False, values=DISTANCE, influence=influence.of_log_loss)
def log_loss(rows: Rows) -> float | None:
    """The mean negative log-likelihood, in nats; none for scores outside [0, 1]. (``sklearn.metrics.log_loss``)

    >>> import numpy as np
    >>> round(compute("binary", labels=np.array([0, 1]), scores=np.array([0.5, 0.5]))["log_loss"], 4)
    0.6931
    """
    from sklearn.metrics import log_loss as score

    return float(score(rows.truth, rows.scores, labels=[0, 1])) if rows.are_probabilities else None


@declare("binary", "brier", more_is_better=False, values=SHARE, influence=influence.of_mse)
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


@declare("binary", "ece", more_is_better=False, values=SHARE)
def ece(rows: Rows) -> float | None:
    """Expected calibration error of P(label = 1); none for scores outside [0, 1].

    ``sum over ten bins of equal width of n_bin / n * |mean label - mean score|``. Chance alone keeps it above zero: of
    perfectly calibrated scores p it is about ``0.8 sqrt(10 p (1 - p) / n)``. C. Guo et al., ICML 2017.

    >>> import numpy as np
    >>> round(compute("binary", labels=np.array([0, 1, 1, 1]), scores=np.array([0.5, 0.5, 0.9, 0.9]))["ece"], 4)
    0.05
    """
    return calibration_error(rows.truth, rows.scores) if rows.are_probabilities else None
