"""Rows of a snapshot: their labels as scikit-learn wants them, samples, and answers of a model in bounded memory."""

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from perennial.config import ModelConfig
from perennial.evidence.answers import Answers, blocks_in
from perennial.registry.scoring import own_threshold, score
from perennial.storage import Storage


def labels_of(config: ModelConfig, table: pa.Table) -> NDArray[Any]:
    """Labels of shape (n,): int64 0 or 1 for binary, text for multiclass, float64 for regression.

    ``table`` has a column ``label``: double, text for multiclass.

    >>> labels_of(flights, pa.table({"label": [0.0, 1.0]})).tolist()
    [0, 1]
    """
    column = table.column("label")
    if config.task == "multiclass":
        return np.asarray(column.cast(pa.string()).to_pylist(), dtype=np.str_)
    values = column.cast(pa.float64()).to_numpy()
    labels: NDArray[Any] = values.astype(np.int64 if config.task == "binary" else np.float64)
    return labels


def answer(config: ModelConfig, model: Any, uri: str, *, storage: Storage) -> Answers:
    """What ``model`` answers for every row of a snapshot file, a bounded batch at a time. Raises as ``score``."""
    times, labels, scores, predicted, blocked = [], [], [], [], []
    of_blocks = ["event_time", *filter(None, [config.signals.uncertainty.block_by])]
    for batch in storage.read_batches(uri):
        table = pa.Table.from_batches([batch])
        found, classes = score(config, model, table)
        times.append(table.column("event_time").to_numpy())
        blocked.append(table.select(of_blocks))
        labels.append(labels_of(config, table))
        scores.append(found)
        if classes is not None:
            predicted.append(classes)
    return Answers(
        times=np.concatenate(times) if times else np.empty(0, "datetime64[us]"),
        labels=np.concatenate(labels) if labels else np.empty(0),
        scores=np.concatenate(scores) if scores else np.empty(0),
        predicted=np.concatenate(predicted) if predicted else None,
        blocks=blocks_in(config, pa.concat_tables(blocked)) if blocked else None,
        threshold=own_threshold(model) if config.task == "binary" else None,
    )


def pick(n_rows: int, most: int, seed: int) -> NDArray[np.int64]:
    """Positions of at most ``most`` of ``n_rows`` rows, ascending; the same ones for the same seed.

    >>> pick(3, 5, seed=7).tolist(), pick(1000, 3, seed=7).tolist() == pick(1000, 3, seed=7).tolist()
    ([0, 1, 2], True)
    """
    if n_rows <= most:
        return np.arange(n_rows, dtype=np.int64)
    return np.sort(np.random.default_rng(seed).choice(n_rows, size=most, replace=False)).astype(np.int64)


def take_rows(uri: str, positions: NDArray[np.int64], *, storage: Storage) -> pa.Table:
    """The rows of a file, all its columns, at ascending ``positions``, read a bounded batch at a time."""
    parts, first = [], 0
    for batch in storage.read_batches(uri):
        inside = positions[(positions >= first) & (positions < first + batch.num_rows)] - first
        parts.append(pa.Table.from_batches([batch]).take(pa.array(inside)))
        first += batch.num_rows
    if not parts:
        return storage.read_table(uri)
    return pa.concat_tables(parts)
