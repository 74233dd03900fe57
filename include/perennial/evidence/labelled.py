"""Labelled rows: of one window, to measure a version on, and of a stretch, to make one from."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

import pyarrow as pa
import pyarrow.compute as pc
from sqlalchemy import Select, select

from perennial.config import ModelConfig
from perennial.contracts import Window
from perennial.evidence.maturity import Coverage, maturity, read_coverage
from perennial.evidence.rows import arrived, counted
from perennial.evidence.samples import sample_key
from perennial.store import Store
from perennial.store.bulk import read, stream
from perennial.store.schema import labels_table, predictions_table

BATCHES = ("_prediction_batch", "_label_batch")
"""The columns that say which batch a row, and its label, came with; no feature can be called so."""


def labelled_query(
    config: ModelConfig,
    coverage: Coverage,
    *,
    version: str | None,
    as_of: datetime,
    with_features: bool,
    excluded: tuple[Window, ...] = (),
) -> Select[tuple[object, ...]]:
    """The rows that a version scored and whose label had arrived: time, score, predicted and label, features if asked.

    At most ``signals.sample_rows`` of them, drawn by the hash of their id; the hash is only asked when there are more.

    >>> few = Coverage(window=day(0), n_rows=9, n_labelled=9, n_by_champion=9, n_by_champion_labelled=9)
    >>> query = labelled_query(flights, few, version="3", as_of=day(1).end, with_features=False)
    >>> list(query.selected_columns.keys())
    ['event_time', 'score', 'predicted', 'label']
    """
    predictions, labels = predictions_table(config), labels_table(config)
    by = config.signals.uncertainty.block_by
    features = tuple(config.features) if with_features else (by,) if by else ()
    columns = [predictions.c[name] for name in (*features, "event_time", "score", "predicted")]
    query = (
        select(*columns, labels.c.label)
        .join_from(predictions, labels, arrived(predictions, labels, as_of))
        .where(
            counted(predictions, coverage.window, as_of=as_of, excluded=excluded),
            predictions.c.model_version == version,
        )
    )
    if coverage.n_by_champion_labelled <= config.signals.sample_rows:
        return query
    return query.order_by(sample_key(predictions, config.signals.seed)).limit(config.signals.sample_rows)


def read_judged(
    config: ModelConfig,
    coverage: Coverage,
    *,
    version: str | None,
    as_of: datetime,
    excluded: tuple[Window, ...] = (),
    with_features: bool = False,
    store: Store,
) -> tuple[Coverage, pa.Table | None]:
    """What a mature window is judged on: the labelled rows of a version, and their coverage; no rows if it never
    matured.

    They are those of :meth:`~perennial.config.ModelConfig.judged_over` the window, without ``excluded`` stretches.
    Columns: the features with their types in the store (if asked), ``event_time`` (timestamp[us], UTC), ``score``
    (double), ``predicted`` (text, null but for multiclass), ``label`` (double, text for multiclass).
    """
    stretch = judged_stretch(config, coverage, as_of=as_of)
    if stretch is None:
        return coverage, None
    if stretch != coverage.window:
        coverage = read_coverage(config, stretch, as_of=as_of, champion=version, store=store)
    query = labelled_query(
        config, coverage, version=version, as_of=as_of, with_features=with_features, excluded=excluded
    )
    return coverage, read(store, query)


def judged_stretch(config: ModelConfig, coverage: Coverage, *, as_of: datetime) -> Window | None:
    """What a window is judged on: the stretch up to its end that holds enough blocks; None for one that is not mature.

    >>> whole = Coverage(window=day(9), n_rows=9, n_labelled=9, n_by_champion=9, n_by_champion_labelled=9)
    >>> judged_stretch(flights, whole, as_of=day(19).end) == Window(start=day(0).start, end=day(9).end)
    True
    """
    if maturity(config, coverage, as_of) != "mature":
        return None
    return config.judged_over(coverage.window)


def not_enough(config: ModelConfig, coverage: Coverage, rows: pa.Table | None) -> str | None:
    """Why nothing can be said about the window, or None. Pure. Both are what :func:`read_judged` gave.

    >>> few = Coverage(window=day(0), n_rows=9, n_labelled=9, n_by_champion=9, n_by_champion_labelled=9)
    >>> not_enough(flights, few, pa.table({"label": [1.0], "score": [0.5]}))
    '9 labelled rows of the champion, at least 2000 are needed'
    """
    if rows is None:
        n_labelled, n_rows = coverage.n_judged_labelled, coverage.n_judged
        return f"{n_labelled} of {n_rows} predictions have a label, and it is past label.max_wait"
    least = config.signals.min_labelled_rows
    if coverage.n_by_champion_labelled < least:
        return f"{coverage.n_by_champion_labelled} labelled rows of the champion, at least {least} are needed"
    return None


def census(rows: pa.Table | None) -> str:
    """What rows with ``label`` and ``score`` hold, for a reader who wonders why a metric is missing.

    >>> census(pa.table({"label": [1.0, 1.0], "score": [0.5, None]}))
    '2 rows with 1 distinct labels, 1 without a score'
    """
    if rows is None:
        return "no rows"
    n_labels = pc.count_distinct(rows["label"]).as_py()
    n_missing = rows["score"].null_count
    return f"{rows.num_rows} rows with {n_labels} distinct labels, {n_missing} without a score"


def sample_labelled(
    config: ModelConfig,
    stretch: Window,
    *,
    as_of: datetime,
    most: int | None,
    excluded: tuple[Window, ...] = (),
    store: Store,
) -> pa.Table:
    """At most ``most`` rows of :func:`stream_labelled`, drawn over the whole stretch by the hash of their ids."""
    query = stretch_query(config, stretch, as_of=as_of, excluded=excluded)
    if most is not None:
        query = query.order_by(sample_key(predictions_table(config), config.signals.seed)).limit(most)
    return read(store, query).sort_by([("event_time", "ascending"), ("prediction_id", "ascending")])


@contextmanager
def stream_labelled(
    config: ModelConfig, stretch: Window, *, as_of: datetime, excluded: tuple[Window, ...] = (), store: Store
) -> Iterator[pa.RecordBatchReader]:
    """The served rows of a stretch with their label, batch by batch, in the order of time, without ``excluded`` ones.

    Columns: ``prediction_id`` (text), ``event_time`` (timestamp[us], UTC), the features with their types in the store,
    ``label`` (double, text for multiclass), and the ``BATCHES`` that brought either (bigint). A label counts when it
    had arrived before ``as_of``, and every value is the one known then. Raises StoreUnavailable.
    """
    query = stretch_query(config, stretch, as_of=as_of, excluded=excluded, with_batches=True)
    with stream(store, query.order_by("event_time", "prediction_id")) as reader:
        yield reader


def stretch_query(
    config: ModelConfig,
    stretch: Window,
    *,
    as_of: datetime,
    excluded: tuple[Window, ...],
    with_batches: bool = False,
) -> Select[tuple[object, ...]]:
    """The rows of :func:`stream_labelled`, in no order, their batches if asked.

    >>> query = stretch_query(flights, day(0), as_of=day(9).end, excluded=())
    >>> [str(name) for name in query.selected_columns.keys()][:2], "role =" in str(query)
    (['prediction_id', 'event_time'], True)
    """
    predictions, labels = predictions_table(config), labels_table(config)
    columns = [predictions.c[name] for name in ("prediction_id", "event_time", *config.features)]
    brought = [rows.c.batch_seq.label(name) for rows, name in zip((predictions, labels), BATCHES, strict=True)]
    return (
        select(*columns, labels.c.label, *(brought if with_batches else ()))
        .join_from(predictions, labels, arrived(predictions, labels, as_of))
        .where(counted(predictions, stretch, as_of=as_of, excluded=excluded))
    )
