"""Evidently's page: every screened column of a sample drawn, with its distances.

Evidently takes longer to import than a small window to be measured: it is imported where there is a page to be drawn.
"""

import logging
import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from perennial.monitoring.drift.screening import Pair

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Distances:
    """The distance of each column, and the page that draws them; or the reason why the report could not be made."""

    values: dict[str, float]
    html: str | None
    problem: str | None = None


def measure(pairs: Sequence[Pair]) -> Distances:
    """One ``ValueDrift`` per column, with method and threshold named, for neither default nor direction depends on n.

    Whatever Evidently raises becomes ``problem``, and a line in the log: there is no page then.

    >>> measure([])
    Distances(values={}, html=None, problem=None)
    """
    if not pairs:
        return Distances({}, None)
    with warnings.catch_warnings():
        # the import itself warns: deprecated names in litestar and numpy.core
        warnings.simplefilter("ignore")
        from evidently import Report
        from evidently.metrics import ValueDrift
    metrics = [
        ValueDrift(column=pair.name, method=pair.method.method, threshold=pair.method.threshold) for pair in pairs
    ]
    try:
        with warnings.catch_warnings():
            # it draws by the correlation of a column with itself, undefined where the column is constant
            warnings.simplefilter("ignore", RuntimeWarning)
            result = Report(metrics).run(_dataset(pairs, "current"), _dataset(pairs, "reference"))
            html: str = result.get_html_str(as_iframe=False)
    except Exception as error:
        problem = f"Evidently: {type(error).__name__}: {error}"
        _log.warning("no page: %s", problem)
        return Distances({}, None, problem)
    # it sums over a set of text, whose order changes from process to process: nine decimals are the same in all
    found = {item["config"]["column"]: round(float(item["value"]), 9) for item in result.dict()["metrics"]}
    return Distances({name: value for name, value in found.items() if math.isfinite(value)}, html)


def _dataset(pairs: Sequence[Pair], side: str) -> Any:
    from evidently import DataDefinition, Dataset

    definition = DataDefinition(
        numerical_columns=[pair.name for pair in pairs if pair.kind == "number"],
        categorical_columns=[pair.name for pair in pairs if pair.kind == "category"],
    )
    frame = pd.DataFrame({pair.name: getattr(pair, side) for pair in pairs})
    return Dataset.from_pandas(frame, data_definition=definition)
