"""The metrics of regression tasks, in the unit of the label unless they say otherwise."""

from __future__ import annotations

from perennial.statistics import influence
from perennial.statistics.metrics.declared import declare
from perennial.statistics.ranges import AT_MOST_ONE, DISTANCE, NUMBER
from perennial.statistics.rows import Rows


@declare("regression", "r2", more_is_better=True, values=AT_MOST_ONE, influence=influence.of_r2)
def r2(rows: Rows) -> float | None:
    """The coefficient of determination; none for constant labels. (``sklearn.metrics.r2_score``)

    >>> import numpy as np
    >>> compute("regression", labels=np.array([1.0, 2.0, 3.0]), scores=np.array([1.0, 2.0, 3.0]))["r2"]
    1.0
    """
    from sklearn.metrics import r2_score

    return None if rows.one_valued else float(r2_score(rows.truth, rows.scores))


@declare("regression", "rmse", more_is_better=False, values=DISTANCE, influence=influence.of_rmse)
def rmse(rows: Rows) -> float:
    """The root mean squared error, in the label's unit. (``sklearn.metrics.root_mean_squared_error``)

    >>> import numpy as np
    >>> compute("regression", labels=np.array([1.0, 2.0]), scores=np.array([4.0, 5.0]))["rmse"]
    3.0
    """
    from sklearn.metrics import root_mean_squared_error

    return float(root_mean_squared_error(rows.truth, rows.scores))


@declare("regression", "mae", more_is_better=False, values=DISTANCE, influence=influence.of_mae)
def mae(rows: Rows) -> float:
    """The mean absolute error, in the label's unit. (``sklearn.metrics.mean_absolute_error``)

    >>> import numpy as np
    >>> compute("regression", labels=np.array([1.0, 2.0]), scores=np.array([1.0, 5.0]))["mae"]
    1.5
    """
    from sklearn.metrics import mean_absolute_error

    return float(mean_absolute_error(rows.truth, rows.scores))


@declare("regression", "mape", more_is_better=False, values=DISTANCE, influence=influence.of_mape)
def mape(rows: Rows) -> float | None:
    """The mean absolute error as a share of the label; none when a label is zero.

    (``sklearn.metrics.mean_absolute_percentage_error``)

    >>> import numpy as np
    >>> compute("regression", labels=np.array([1.0, 2.0]), scores=np.array([1.5, 2.0]))["mape"]
    0.25
    """
    from sklearn.metrics import mean_absolute_percentage_error

    return float(mean_absolute_percentage_error(rows.truth, rows.scores)) if rows.truth.all() else None


@declare("regression", "median_absolute_error", more_is_better=False, values=DISTANCE)
def median_absolute_error(rows: Rows) -> float:
    """The median of the absolute errors. (``sklearn.metrics.median_absolute_error``)

    >>> import numpy as np
    >>> found = compute("regression", labels=np.array([1.0, 2.0, 3.0]), scores=np.array([1.0, 3.0, 9.0]))
    >>> found["median_absolute_error"]
    1.0
    """
    import numpy as np

    return float(np.median(np.abs(rows.truth - rows.scores)))


@declare("regression", "bias", more_is_better=False, values=DISTANCE, influence=influence.of_bias)
def bias(rows: Rows) -> float:
    """How far the mean residual, label less score, lies from zero.

    >>> import numpy as np
    >>> compute("regression", labels=np.array([1.0, 2.0]), scores=np.array([2.0, 4.0]))["bias"]
    1.5
    """
    return float(abs((rows.truth - rows.scores).mean()))


@declare("regression", "residual_q10", more_is_better=True, values=NUMBER)
def residual_q10(rows: Rows) -> float:
    """The 10 % quantile of the residuals, label less score: how much too high one answer in ten is, at least.

    >>> import numpy as np
    >>> compute("regression", labels=np.arange(11.0), scores=np.full(11, 5.0))["residual_q10"]
    -4.0
    """
    import numpy as np

    return float(np.quantile(rows.truth - rows.scores, 0.1))


@declare("regression", "residual_q90", more_is_better=False, values=NUMBER)
def residual_q90(rows: Rows) -> float:
    """The 90 % quantile of the residuals, label less score: how much too low one answer in ten is, at least.

    >>> import numpy as np
    >>> compute("regression", labels=np.arange(11.0), scores=np.full(11, 5.0))["residual_q90"]
    4.0
    """
    import numpy as np

    return float(np.quantile(rows.truth - rows.scores, 0.9))
