"""The fits of a learning curve: the recipe on ever more of the newest rows, judged by the last fold."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
from sklearn.model_selection import TimeSeriesSplit

from perennial.config import ModelConfig
from perennial.evidence.answers import Answers
from perennial.registry.scoring import score
from perennial.training.drawn.learning import as_record, curve_metric, learning_curve
from perennial.training.fitting.folds import converging, fit_rows, refuse_one_class
from perennial.training.rows import labels_of

_MOST_KNOWN = 10_000
"""So many of the rows fitted on, the newest, are scored."""


def without_curve(config: ModelConfig) -> ModelConfig:
    """The same configuration, that asks for no learning curve. Pure.

    >>> without_curve(flights).training.learning_curve
    0.0
    """
    return config.model_copy(update={"training": config.training.model_copy(update={"learning_curve": 0.0})})


def curve_of(config: ModelConfig, build: Callable[[], Any], table: pa.Table, budget_s: float) -> list[list[Any]]:
    """The newest of the rows before the last fold, ever more of them, judged by that fold; as JSON takes it."""
    past, later = list(TimeSeriesSplit(n_splits=config.training.cv_folds).split(np.arange(table.num_rows)))[-1]
    unseen, name = table.slice(int(later[0]), len(later)), curve_metric(config)

    def tried(n_rows: int) -> tuple[float, float]:
        known = table.slice(len(past) - n_rows, n_rows)
        refuse_one_class(config, known)
        with converging():
            model = fit_rows(config, build(), known)
        newest = known.slice(max(0, n_rows - _MOST_KNOWN))
        own, ahead = (_answers(config, model, rows).metrics(config)[name] for rows in (newest, unseen))
        return own, ahead

    return as_record(learning_curve(len(past), tried, budget_s=budget_s, clock=time.process_time))


def _answers(config: ModelConfig, model: Any, rows: pa.Table) -> Answers:
    scores, predicted = score(config, model, rows)
    times = rows.column("event_time").to_numpy()
    return Answers(times=times, labels=labels_of(config, rows), scores=scores, predicted=predicted)
