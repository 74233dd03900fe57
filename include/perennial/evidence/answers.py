"""What a model answered for labelled rows, and the metrics of that."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from perennial.config import ModelConfig
from perennial.contracts import Estimate
from perennial.statistics.blocks import Codes, blocks_of_entities, blocks_of_times
from perennial.statistics.intervals import Demands, estimate, mean, paired_difference
from perennial.statistics.metrics import compute
from perennial.statistics.rows import Rows, rows_of

NO_BLOCKS = "it is not known which rows belong together: they carry no event time"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """Labels and answers of the same rows, in one order: arrays of shape (n,).

    ``predicted`` names the predicted classes of a multiclass task and is None for every other one. ``times``
    (datetime64[us], UTC) is None where nobody asks when, ``blocks`` (intp, one number a block) where nobody asks how
    far a figure can be trusted. Binary: a score from ``threshold`` on predicts the positive class (one for all rows, or
    one a row where several versions answered), from ``label.decision_threshold`` where it is None.
    """

    labels: NDArray[Any]
    scores: NDArray[Any]
    predicted: NDArray[Any] | None = None
    times: NDArray[np.datetime64] | None = None
    blocks: Codes | None = None
    threshold: float | NDArray[np.float64] | None = None

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
            blocks=None if self.blocks is None else self.blocks[wanted],
            threshold=self.threshold[wanted] if isinstance(self.threshold, np.ndarray) else self.threshold,
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

    def decides_at(self, config: ModelConfig) -> float | NDArray[np.float64]:
        """From which score on they predict the positive class: for all rows, or for each."""
        return config.label.decision_threshold if self.threshold is None else self.threshold

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
            threshold=self.decides_at(config),
        )

    def estimate(self, config: ModelConfig, metric: str, *, demands: Demands | None = None) -> Estimate:
        """A metric with its interval, by the blocks of ``signals.uncertainty``; as that demands, unless told otherwise.

        >>> few = Answers(labels=np.array([0, 1]), scores=np.array([0.2, 0.7]), blocks=np.array([0, 1]))
        >>> few.estimate(flights, "roc_auc").problem
        '2 blocks; an interval needs 10'
        """
        rows, wanted = self.measured(config), config.metric(metric)
        if self.blocks is None:
            return Estimate(value=self.metrics(config).get(metric), problem=NO_BLOCKS)
        return estimate(wanted, rows, self.blocks, rng=_rng(config), demands=demands or demands_of(config))

    def gain_over(self, other: "Answers", config: ModelConfig, metric: str) -> Estimate:
        """How much better these answers are than ``other`` ones for the same rows, in the unit of the metric.

        Positive is better, whatever the direction of the metric. What makes a block hard for both cancels out.
        """
        mine, theirs, wanted = self.measured(config), other.measured(config), config.metric(metric)
        if self.blocks is None:
            return Estimate(problem=NO_BLOCKS)
        return paired_difference(wanted, theirs, mine, self.blocks, rng=_rng(config), demands=demands_of(config))

    def mean(self, config: ModelConfig, values: NDArray[np.float64]) -> Estimate:
        """The mean of something about these rows, shape (n,), with its interval by the same blocks.

        >>> few = Answers(labels=np.array([0, 1]), scores=np.array([0.2, 0.7]), blocks=np.array([0, 1]))
        >>> print(few.mean(flights, few.outcomes - few.scores))
        0.05 (no interval: 2 blocks; an interval needs 10)
        """
        if self.blocks is None:
            return Estimate(problem=NO_BLOCKS)
        return mean(values, self.blocks, demands=demands_of(config))

    @property
    def outcomes(self) -> NDArray[np.float64]:
        """What the scores foretell, shape (n,): the label, or, where classes are predicted, whether the class is right.

        >>> Answers(labels=np.array(["a", "b"]), scores=np.ones(2), predicted=np.array(["a", "a"])).outcomes.tolist()
        [1.0, 0.0]
        """
        right = self.labels if self.predicted is None else self.labels.astype(str) == self.predicted.astype(str)
        return right.astype(np.float64)

    def measured(self, config: ModelConfig) -> Rows | None:
        """These rows as metrics take them; None where nothing can be computed on them."""
        return rows_of(
            config.task,
            labels=self.labels,
            scores=self.scores,
            predicted=self.predicted,
            classes=config.label.classes,
            threshold=self.decides_at(config),
        )


def demands_of(config: ModelConfig) -> Demands:
    """What an interval is asked for, by ``signals.uncertainty``."""
    asked = config.signals.uncertainty
    return Demands(confidence=asked.confidence, min_blocks=asked.min_blocks, min_per_class=asked.min_class_rows)


def _rng(config: ModelConfig) -> np.random.Generator:
    return np.random.default_rng(config.signals.seed)


def answers_in(config: ModelConfig, rows: pa.Table) -> Answers:
    """The answers that stand in rows with ``label``, ``score`` (double) and, for multiclass, ``predicted`` (text).

    >>> answers_in(flights, pa.table({"label": [0.0, 1.0], "score": [0.2, 0.7]})).scores.tolist()
    [0.2, 0.7]
    """
    return Answers(
        labels=rows["label"].to_numpy(),
        scores=rows["score"].to_numpy(),
        predicted=rows["predicted"].to_numpy() if config.task == "multiclass" else None,
        blocks=blocks_in(config, rows),
    )


def blocks_in(config: ModelConfig, rows: pa.Table) -> Codes | None:
    """The block of each row, shape (n,): of its ``event_time``, or of the feature ``signals.uncertainty.block_by``.

    None for rows without that column: a reference of before it was kept, say.

    >>> two = pa.table({"event_time": pa.array([day(0).start, day(1).start], pa.timestamp("us", "UTC"))})
    >>> len(set(blocks_in(flights, two).tolist())), blocks_in(flights, pa.table({"score": [0.5]}))
    (2, None)
    """
    uncertainty = config.signals.uncertainty
    column = uncertainty.block_by or "event_time"
    if column not in rows.column_names:
        return None
    if uncertainty.block_by:
        return blocks_of_entities(rows[column].to_numpy(zero_copy_only=False))
    return blocks_of_times(rows[column].to_numpy(), uncertainty.block)
