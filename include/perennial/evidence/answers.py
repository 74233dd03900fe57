"""What a model answered for labelled rows, and the metrics of that."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from perennial.config import ModelConfig
from perennial.statistics.metrics import compute


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """Labels and answers of the same rows, in one order: arrays of shape (n,).

    ``predicted`` names the predicted classes of a multiclass task and is None for every other one. ``times``
    (datetime64[us], UTC) is None where nobody asks when.
    """

    labels: NDArray[Any]
    scores: NDArray[Any]
    predicted: NDArray[Any] | None = None
    times: NDArray[np.datetime64] | None = None

    def rows(self, wanted: NDArray[np.bool_]) -> "Answers":
        """Those of the wanted rows.

        >>> Answers(labels=np.array([0, 1]), scores=np.array([0.2, 0.7])).rows(np.array([False, True])).scores.tolist()
        [0.7]
        """
        return Answers(
            labels=self.labels[wanted],
            scores=self.scores[wanted],
            predicted=None if self.predicted is None else self.predicted[wanted],
            times=None if self.times is None else self.times[wanted],
        )

    def since(self, moment: datetime) -> NDArray[np.bool_]:
        """Which rows lie at a moment or after it. Raises ValueError for answers without times.

        >>> times = np.array(["2013-01-01", "2013-01-02"], "datetime64[us]")
        >>> Answers(labels=np.zeros(2), scores=np.zeros(2), times=times).since(day(1).start).tolist()
        [False, True]
        """
        if self.times is None:
            raise ValueError("these answers do not say when their events were")
        # Arrow gives times in UTC without their zone
        return self.times >= np.datetime64(moment.astimezone(UTC).replace(tzinfo=None), "us")

    def metrics(self, config: ModelConfig) -> dict[str, float]:
        """Every metric of the task that these rows allow; what can not be computed is absent.

        >>> Answers(labels=np.array([0, 1]), scores=np.array([0.2, 0.7])).metrics(flights)["roc_auc"]
        1.0
        """
        return compute(
            config.task,
            labels=self.labels,
            scores=self.scores,
            predicted=self.predicted,
            classes=config.label.classes,
            threshold=config.label.decision_threshold,
        )


def answers_in(config: ModelConfig, rows: pa.Table) -> Answers:
    """The answers that stand in rows with ``label``, ``score`` (double) and, for multiclass, ``predicted`` (text).

    >>> answers_in(flights, pa.table({"label": [0.0, 1.0], "score": [0.2, 0.7]})).scores.tolist()
    [0.2, 0.7]
    """
    return Answers(
        labels=rows["label"].to_numpy(),
        scores=rows["score"].to_numpy(),
        predicted=rows["predicted"].to_numpy() if config.task == "multiclass" else None,
    )
