"""By how much each row moves a metric: influence functions, arrays of shape (n,) whose sum is zero.

A metric that is a smooth function of means changes by the sum of its rows' influence; the variance of that sum over
blocks is the variance of the metric (the sandwich, or infinitesimal jackknife). :mod:`perennial.statistics.intervals`
makes intervals of it. Each function asks that its metric exists on the rows. Imported with the metrics, by DAG files:
numpy and scipy are imported where they are used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy as np
    from numpy.typing import NDArray

    from perennial.statistics.rows import Rows, Values

    Psi: TypeAlias = NDArray[np.float64]


def of_mean(values: Values) -> Psi:
    """Of the mean of ``values``, shape (n,).

    >>> import numpy as np
    >>> of_mean(np.array([1.0, 3.0])).tolist()
    [-0.5, 0.5]
    """
    psi: Psi = values - values.mean()
    return psi / len(psi)


def of_ratio(above: Values, below: Values) -> Psi:
    """Of ``sum(above) / sum(below)``, by the delta method; zero where ``below`` is zero throughout.

    >>> import numpy as np
    >>> of_ratio(np.array([1.0, 0.0]), np.array([1.0, 1.0])).tolist()
    [0.25, -0.25]
    """
    above, below = above.astype("float64"), below.astype("float64")
    total = below.sum()
    return (above - above.sum() / total * below) / total if total else 0.0 * above


def of_roc_auc(rows: Rows) -> Psi:
    """Of the area under the ROC curve, by placements.

    The placement of a positive row is the share of negatives that score less (a tie counts half), and the other way
    round; psi is placement minus AUC over the number of rows of its class. E. DeLong, D. DeLong and D. Clarke-Pearson,
    Biometrics 44 (1988); with clusters, N. Obuchowski, Biometrics 53 (1997). Midranks, X. Sun and W. Xu (2014):
    O(n log n).

    >>> import numpy as np
    >>> from perennial.statistics.rows import Rows
    >>> scores = np.array([0.1, 0.6, 0.5, 0.9])
    >>> of_roc_auc(Rows(np.array([0, 0, 1, 1]), scores, scores)).tolist()
    [0.125, -0.125, -0.125, 0.125]
    """
    import numpy as np
    from scipy.stats import rankdata

    positive = rows.truth == 1
    ranks = rankdata(rows.scores)
    psi: Psi = np.empty(len(ranks))
    n_positive = int(positive.sum())
    n_negative = len(ranks) - n_positive
    psi[positive] = (ranks[positive] - rankdata(rows.scores[positive])) / n_negative
    psi[~positive] = 1.0 - (ranks[~positive] - rankdata(rows.scores[~positive])) / n_positive
    psi -= psi[positive].mean()
    psi /= np.where(positive, n_positive, n_negative)
    return psi


def of_pr_auc(rows: Rows) -> Psi:
    """Of average precision: the mean of A(s) / B(s) over the positives' scores s.

    A(s) and B(s) are the shares of positives and of all rows that score s or more; both move with every row that
    scores as much. The functional's derivative, as in K. Boyd, K. Eng and C. Page, ECML 2013 (section 3), ties
    together.

    >>> import numpy as np
    >>> from perennial.statistics.rows import Rows
    >>> scores = np.array([0.1, 0.6, 0.5, 0.9])
    >>> of_pr_auc(Rows(np.array([0, 0, 1, 1]), scores, scores)).round(4).tolist()
    [0.0, -0.1111, -0.0278, 0.1389]
    """
    import numpy as np

    _, place = np.unique(rows.scores, return_inverse=True)
    n_rows, positive = len(place), rows.truth == 1
    of_positives, of_all = np.bincount(place, weights=positive), np.bincount(place)
    at_least, all_at_least = np.cumsum(of_positives[::-1])[::-1], np.cumsum(of_all[::-1])[::-1]
    precision, share = at_least / all_at_least, positive.mean()
    total = float((precision * of_positives).sum()) / n_rows
    joining = np.cumsum(of_positives / all_at_least)[place]
    diluting = np.cumsum(of_positives * at_least / all_at_least**2)[place]
    psi = positive * (precision[place] + joining) - diluting - total
    moved: Psi = (psi - total / share * (positive - share)) / share / n_rows
    return moved


def of_accuracy(rows: Rows) -> Psi:
    """Of the share of rows whose class was predicted."""
    return of_mean(rows.truth == rows.predicted)


def of_balanced_accuracy(rows: Rows) -> Psi:
    """Of the mean recall of the classes that occur."""
    import numpy as np

    right = rows.truth == rows.predicted
    return _mean_of(of_ratio(right & (rows.truth == name), rows.truth == name) for name in np.unique(rows.truth))


def of_precision(rows: Rows) -> Psi:
    """Of the share of predicted positives that are positive."""
    return of_ratio(rows.truth * rows.predicted, rows.predicted)


def of_recall(rows: Rows) -> Psi:
    """Of the share of positives that were predicted."""
    return of_ratio(rows.truth * rows.predicted, rows.truth)


def of_f1(rows: Rows) -> Psi:
    """Of F1 of the positive class."""
    return _of_f1(rows.truth == 1, rows.predicted == 1)


def of_f1_macro(rows: Rows) -> Psi:
    """Of the mean F1 over the classes that occur or were predicted."""
    import numpy as np

    classes = np.union1d(rows.truth, rows.predicted)
    return _mean_of(_of_f1(rows.truth == name, rows.predicted == name) for name in classes)


def of_f1_weighted(rows: Rows) -> Psi:
    """Of the mean F1 over the classes, by their share of the labels, which moves with every row too."""
    import numpy as np

    psi = np.zeros(len(rows.truth))
    for name in np.unique(rows.truth):
        truth, predicted = rows.truth == name, rows.predicted == name
        value = 2.0 * (truth & predicted).sum() / (truth.sum() + predicted.sum())
        psi += truth.mean() * _of_f1(truth, predicted) + value * of_mean(truth)
    return psi


def of_precision_macro(rows: Rows) -> Psi:
    """Of the mean precision over the classes that occur or were predicted."""
    import numpy as np

    right, classes = rows.truth == rows.predicted, np.union1d(rows.truth, rows.predicted)
    return _mean_of(of_ratio(right & (rows.predicted == name), rows.predicted == name) for name in classes)


def of_log_loss(rows: Rows) -> Psi:
    """Of the mean negative log-likelihood; probabilities are clipped as scikit-learn clips them."""
    import numpy as np

    least = np.finfo(np.float64).eps
    probability = np.clip(rows.scores, least, 1 - least)
    return of_mean(-np.log(np.where(rows.truth == 1, probability, 1 - probability)))


def of_mse(rows: Rows) -> Psi:
    """Of the mean squared error, which for probabilities is the Brier score."""
    return of_mean((rows.truth - rows.scores) ** 2)


def of_rmse(rows: Rows) -> Psi:
    """Of the root mean squared error, by the delta method; zero where every error is."""
    root = float(((rows.truth - rows.scores) ** 2).mean() ** 0.5)
    return of_mse(rows) / (2 * root) if root else 0.0 * rows.scores


def of_mae(rows: Rows) -> Psi:
    """Of the mean absolute error."""
    return of_mean(abs(rows.truth - rows.scores))


def of_mape(rows: Rows) -> Psi:
    """Of the mean absolute error as a share of the label."""
    return of_mean(abs((rows.truth - rows.scores) / rows.truth))


def of_bias(rows: Rows) -> Psi:
    """Of the distance of the mean residual from zero; there it has no derivative, and the right-hand one is given."""
    residuals = rows.truth - rows.scores
    return of_mean(residuals) * (1 if residuals.mean() >= 0 else -1)


def of_r2(rows: Rows) -> Psi:
    """Of the coefficient of determination; that the mean is an estimate too is of second order."""
    return -of_ratio((rows.truth - rows.scores) ** 2, (rows.truth - rows.truth.mean()) ** 2)


def _of_f1(truth: NDArray[np.bool_], predicted: NDArray[np.bool_]) -> Psi:
    return of_ratio(2.0 * (truth & predicted), 1.0 * truth + predicted)


def _mean_of(each: Iterable[Psi]) -> Psi:
    import numpy as np

    return np.asarray(np.mean(np.stack(list(each)), axis=0))
