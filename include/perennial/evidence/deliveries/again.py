"""Rows that were read before, as they are known later."""

from collections.abc import Sequence
from datetime import datetime

import pyarrow as pa
from sqlalchemy import select

from perennial.config import ModelConfig
from perennial.evidence.rows import known
from perennial.store import Store
from perennial.store.schema import predictions_table


def read_again(config: ModelConfig, ids: Sequence[str], *, as_of: datetime, store: Store) -> pa.Table:
    """The served rows of these ids as they were known at a moment: ``prediction_id`` and the features.

    As many ids as go into one statement; those without such a row are left out. Raises StoreUnavailable.
    """
    predictions = predictions_table(config)
    columns = [predictions.c[name] for name in ("prediction_id", *config.features)]
    query = select(*columns).where(
        predictions.c.prediction_id.in_(ids), predictions.c.role == "champion", known(predictions, as_of)
    )
    with store.begin() as connection:
        rows = connection.execute(query).all()
    found = zip(*rows, strict=True) if rows else ([] for _ in columns)
    return pa.table({column.name: list(values) for column, values in zip(columns, found, strict=True)})
