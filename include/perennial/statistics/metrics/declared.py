"""What a metric is, and the table of all of them.

What can not be computed is absent from the answer: never zero, never NaN. ``model.yaml`` is checked against this table,
and so is a DAG file when it is parsed: numpy and scikit-learn are imported where a figure is computed, not here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias

from perennial.contracts import Interval
from perennial.statistics.ranges import Span
from perennial.statistics.rows import Rows, Task, known_task, rows_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Values: TypeAlias = NDArray[Any]

Function = Callable[[Rows], "float | None"]
Influence = Callable[[Rows], "NDArray[np.float64]"]


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric of one task, and the range of its values. ``function`` answers None where the rows do not allow it.

    ``influence`` gives each row's influence on it; without, its interval comes from resampled blocks. ``by_class``: it
    is made of figures per class, and needs enough rows of each.
    """

    name: str
    task: Task
    more_is_better: bool
    function: Function
    values: Span
    influence: Influence | None = None
    by_class: bool = False

    def loss(self, value: float, reference: float) -> float:
        """How much worse ``value`` is than ``reference``, in the metric's unit: positive is worse, negative is better.

        >>> METRICS["regression"]["rmse"].loss(60.0, 50.0), METRICS["binary"]["accuracy"].loss(1.0, 0.75)
        (10.0, -0.25)
        """
        return reference - value if self.more_is_better else value - reference

    def within(self, interval: Interval) -> Interval:
        """An interval of it, cut to the values that it can have."""
        return replace(
            interval, low=max(interval.low, self.values.lowest), high=min(interval.high, self.values.highest)
        )


METRICS: dict[Task, dict[str, Metric]] = {"binary": {}, "multiclass": {}, "regression": {}}
"""Every metric by task and name, in the order of their declaration."""


def declare(
    task: Task,
    name: str,
    *,
    more_is_better: bool,
    values: Span,
    influence: Influence | None = None,
    by_class: bool = False,
) -> Callable[[Function], Function]:
    """Declares the function below it as a metric of ``task``, as the fields of :class:`Metric` say."""

    def declared(function: Function) -> Function:
        METRICS[task][name] = Metric(name, task, more_is_better, function, values, influence, by_class)
        return function

    return declared


def compute(
    task: str,
    *,
    labels: Values,
    scores: Values,
    predicted: Values | None = None,
    classes: Sequence[Any] | None = None,
    threshold: float | Values = 0.5,
) -> dict[str, float]:
    """Every metric of ``task`` that these rows allow, by name.

    The arguments, and what is raised, are those of :func:`perennial.statistics.rows.rows_of`.

    >>> import numpy as np
    >>> compute("regression", labels=np.array([1.0, 2.0]), scores=np.array([1.0, np.nan]))
    {}
    """
    import numpy as np

    rows = rows_of(task, labels=labels, scores=scores, predicted=predicted, classes=classes, threshold=threshold)
    if rows is None:
        return {}
    found = {name: metric.function(rows) for name, metric in METRICS[known_task(task)].items()}
    return {name: float(value) for name, value in found.items() if value is not None and np.isfinite(value)}


def calibration_error(outcomes: Values, scores: Values, n_bins: int = 10) -> float:
    """How far frequencies lie from scores in [0, 1], in the mean over rows in ``n_bins`` bins of equal width.

    Both of shape (n,); outcomes are 0 and 1, or false and true.

    >>> import numpy as np
    >>> calibration_error(np.array([0, 1]), np.array([0.25, 0.75]))
    0.25
    """
    import numpy as np

    bins = np.minimum((scores * n_bins).astype(np.intp), n_bins - 1)
    return float(np.abs(np.bincount(bins, weights=outcomes - scores, minlength=n_bins)).sum() / len(bins))
