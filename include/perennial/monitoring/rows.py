"""Published rows of one window, as a bounded sample that is the same one every time.

A sample is the ``sample_rows`` rows with the smallest keyed hash of their prediction id: which rows those are depends
on the ids and the seed alone, neither on the order of the rows nor on how they were delivered.
"""

from collections.abc import Sequence

import pyarrow as pa
from sqlalchemy import BigInteger, ColumnElement, Select, Table, and_, func, literal, select

from perennial.config import ModelConfig
from perennial.contracts import Window
from perennial.store import Store
from perennial.store.bulk import read
from perennial.store.schema import predictions_table


def served(predictions: Table, window: Window) -> ColumnElement[bool]:
    """The rows of a window that a champion scored."""
    return and_(
        predictions.c.event_time >= window.start,
        predictions.c.event_time < window.end,
        predictions.c.role == "champion",
    )


def sample_key(predictions: Table, seed: int) -> ColumnElement[int]:
    """The keyed 64-bit hash by which rows are drawn."""
    return func.hashtextextended(predictions.c.prediction_id, literal(seed, BigInteger))


def sample_query(config: ModelConfig, window: Window, columns: Sequence[str]) -> Select[tuple[object, ...]]:
    """The sample of a window's served rows.

    The bound on the hash is found first, over nothing but hashes, so that PostgreSQL sorts no wide row: its memory does
    not grow with the window. Two ids with one hash of 64 bits would both be taken.
    """
    predictions = predictions_table(config)
    key = sample_key(predictions, config.signals.seed)
    inside = served(predictions, window)
    smallest = select(key.label("key")).where(inside).order_by("key").limit(config.signals.sample_rows).subquery()
    bound = select(func.max(smallest.c.key)).scalar_subquery()
    return select(*(predictions.c[name] for name in columns)).where(inside, key <= bound)


def exceeds_sample(config: ModelConfig, window: Window, *, store: Store) -> bool:
    """Whether a window holds more served rows than a sample; looks at one row more than that at most."""
    most = config.signals.sample_rows
    some = select(literal(1)).where(served(predictions_table(config), window)).limit(most + 1).subquery()
    with store.begin() as connection:
        n_rows: int = connection.execute(select(func.count()).select_from(some)).scalar_one()
    return n_rows > most


def read_sample(config: ModelConfig, window: Window, *, store: Store) -> pa.Table:
    """Features, score and model version of the sample of a window; at most ``signals.sample_rows`` rows.

    A window that is no larger is read as it is: to ask the hash of every id would cost more than the reading.
    """
    columns = [*config.features, "score", "model_version"]
    if exceeds_sample(config, window, store=store):
        return read(store, sample_query(config, window, columns))
    predictions = predictions_table(config)
    return read(store, select(*(predictions.c[name] for name in columns)).where(served(predictions, window)))
