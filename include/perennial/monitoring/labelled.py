"""Labelled rows of one window, and what their metrics are."""

import pyarrow as pa
import pyarrow.compute as pc
from sqlalchemy import Select, select

from perennial.config import ModelConfig
from perennial.metrics import compute
from perennial.monitoring.maturity import Coverage, maturity
from perennial.monitoring.rows import sample_key, served
from perennial.monitoring.signals import Subject
from perennial.store import Store
from perennial.store.bulk import read
from perennial.store.schema import labels_table, predictions_table


def labelled_query(
    config: ModelConfig, subject: Subject, coverage: Coverage, *, with_features: bool
) -> Select[tuple[object, ...]]:
    """The rows that the champion scored and whose label had arrived: score, predicted and label, features if asked.

    At most ``signals.sample_rows`` of them, drawn by the hash of their id; the hash is only asked when there are more.
    """
    predictions, labels = predictions_table(config), labels_table(config)
    features = config.features if with_features else ()
    columns = [predictions.c[name] for name in (*features, "score", "predicted")]
    query = (
        select(*columns, labels.c.label)
        .join_from(predictions, labels, predictions.c.prediction_id == labels.c.prediction_id)
        .where(
            served(predictions, subject.window),
            predictions.c.model_version == subject.version,
            labels.c.labelled_at < subject.as_of,
        )
    )
    if coverage.n_by_champion_labelled <= config.signals.sample_rows:
        return query
    return query.order_by(sample_key(predictions, config.signals.seed)).limit(config.signals.sample_rows)


def read_labelled(
    config: ModelConfig, subject: Subject, coverage: Coverage, *, with_features: bool, store: Store
) -> pa.Table | None:
    """The labelled rows of the champion in a mature window; None for a window that never matured."""
    if maturity(config, coverage, subject.as_of) != "mature":
        return None
    return read(store, labelled_query(config, subject, coverage, with_features=with_features))


def metrics_of(config: ModelConfig, rows: pa.Table) -> dict[str, float]:
    """The metrics of rows with ``label``, ``score`` and ``predicted``; what can not be computed is absent."""
    return compute(
        config.task,
        labels=rows["label"].to_numpy(),
        scores=rows["score"].to_numpy(),
        predicted=rows["predicted"].to_numpy() if config.task == "multiclass" else None,
        classes=config.label.classes,
    )


def not_enough(config: ModelConfig, coverage: Coverage, rows: pa.Table | None) -> str | None:
    """Why nothing can be said about the window, or None. Pure."""
    if rows is None:
        return f"{coverage.n_labelled} of {coverage.n_rows} predictions have a label, and it is past label.max_wait"
    least = config.signals.min_labelled_rows
    if coverage.n_by_champion_labelled < least:
        return f"{coverage.n_by_champion_labelled} labelled rows of the champion, at least {least} are needed"
    return None


def census(rows: pa.Table | None) -> str:
    """What the rows hold, for a reader who wonders why a metric is missing."""
    if rows is None:
        return "no rows"
    n_labels = pc.count_distinct(rows["label"]).as_py()
    n_missing = rows["score"].null_count
    return f"{rows.num_rows} rows with {n_labels} distinct labels, {n_missing} without a score"
