"""Served rows of one window: a bounded sample that is the same one every time, and counts over all of them.

Both are of the window as it was known at its end.

A sample is the ``sample_rows`` rows with the smallest keyed hash of their prediction id: which rows those are depends
on the ids and the seed alone, neither on the order of the rows nor on how they were delivered.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pyarrow as pa
from sqlalchemy import BigInteger, ColumnElement, Select, Table, func, literal, select

from perennial.config import ModelConfig
from perennial.contracts import Window
from perennial.evidence.rows import served
from perennial.store import Store
from perennial.store.bulk import read
from perennial.store.schema import Moment, predictions_table

_SEEN, _UNSEEN = "seen__", "unseen__"
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
"""Where blocks begin, as :func:`perennial.statistics.blocks.blocks_of_times` has them."""


@dataclass(frozen=True, slots=True)
class Counts:
    """What was counted over a whole window: rows, values that are not null, and those outside a list of known ones.

    ``by_block`` holds the first two once more, block by block in the order of time, rows under the empty name; it is
    empty where blocks are no stretches of time.
    """

    n_rows: int
    n_seen: dict[str, int]
    n_unseen: dict[str, int] = field(default_factory=dict)
    by_block: dict[str, tuple[int, ...]] = field(default_factory=dict)


def sample_key(predictions: Table, seed: int) -> ColumnElement[int]:
    """The keyed 64-bit hash by which rows are drawn.

    >>> str(sample_key(predictions_table(flights), 7)).partition("(")[0]
    'hashtextextended'
    """
    return func.hashtextextended(predictions.c.prediction_id, literal(seed, BigInteger))


def sample_query(config: ModelConfig, window: Window, columns: Sequence[str]) -> Select[tuple[object, ...]]:
    """The sample of a window's served rows.

    The bound on the hash is found first, over nothing but hashes, so that PostgreSQL sorts no wide row: its memory does
    not grow with the window. Two ids with one hash of 64 bits would both be taken.

    >>> list(sample_query(flights, day(0), ["score"]).selected_columns.keys())
    ['score']
    """
    predictions = predictions_table(config)
    key = sample_key(predictions, config.signals.seed)
    inside = served(predictions, window, as_of=window.end)
    smallest = select(key.label("key")).where(inside).order_by("key").limit(config.signals.sample_rows).subquery()
    bound = select(func.max(smallest.c.key)).scalar_subquery()
    return select(*(predictions.c[name] for name in columns)).where(inside, key <= bound)


def read_sample(config: ModelConfig, window: Window, *, store: Store) -> pa.Table:
    """The features with their types in the store, ``score`` (double) and ``model_version`` (text) of the sample.

    At most ``signals.sample_rows`` rows. A window that is no larger is read as it is, in one statement: to ask the hash
    of every id, or even the number of rows, would cost more than the reading.
    """
    columns = [*config.features, "score", "model_version"]
    predictions, most = predictions_table(config), config.signals.sample_rows
    query = select(*(predictions.c[name] for name in columns)).where(served(predictions, window, as_of=window.end))
    rows = read(store, query.limit(most + 1))
    return rows if rows.num_rows <= most else read(store, sample_query(config, window, columns))


def read_scored(
    config: ModelConfig, window: Window, version: str, *, excluded: tuple[Window, ...] = (), store: Store
) -> pa.Table:
    """At most ``signals.sample_rows`` rows that a version scored, without their labels.

    They are drawn by the hash of their id from :meth:`~perennial.config.ModelConfig.judged_over` the window, without
    ``excluded`` stretches. Columns: ``prediction_id``, ``event_time``, the features with their types in the store,
    ``score`` (double), ``predicted`` (text, null but for multiclass); in the order of the ids.
    """
    predictions, most = predictions_table(config), config.signals.sample_rows
    columns = [predictions.c[name] for name in ("prediction_id", "event_time", *config.features, "score", "predicted")]
    stretch = served(predictions, config.judged_over(window), as_of=window.end, excluded=excluded)
    query = select(*columns).where(stretch, predictions.c.model_version == version)
    rows = read(store, query.limit(most + 1))
    if rows.num_rows > most:
        rows = read(store, query.order_by(sample_key(predictions, config.signals.seed)).limit(most))
    return rows.sort_by("prediction_id")


def count_values(config: ModelConfig, window: Window, known: Mapping[str, Sequence[str]], *, store: Store) -> Counts:
    """One aggregate over all served rows of the window; ``known`` lists the known values of categories by feature."""
    table, uncertainty = predictions_table(config), config.signals.uncertainty
    columns = [func.count(table.c[name]).label(_SEEN + name) for name in config.features]
    columns += [
        func.count().filter(table.c[name].not_in(values)).label(_UNSEEN + name) for name, values in known.items()
    ]
    query = select(func.count().label("n_rows"), *columns).where(served(table, window, as_of=window.end))
    if not uncertainty.block_by:
        block = func.date_bin(literal(uncertainty.block), table.c.event_time, literal(EPOCH, Moment))
        query = query.group_by(block).order_by(block)
    with store.begin() as connection:
        blocks = [row._mapping for row in connection.execute(query)]
    counted = {name: tuple(row[_SEEN + name] for row in blocks) for name in config.features}
    n_rows = tuple(row["n_rows"] for row in blocks)
    return Counts(
        n_rows=sum(n_rows),
        n_seen={name: sum(n) for name, n in counted.items()},
        n_unseen={name: sum(row[_UNSEEN + name] for row in blocks) for name in known},
        by_block={} if uncertainty.block_by else {"": n_rows, **counted},
    )
