"""All that was served in a stretch, with the labels that came for it: what a backtest replays."""

from datetime import datetime

import pyarrow as pa
from sqlalchemy import select

from perennial.config import CAUSED, ERROR, ModelConfig
from perennial.evidence.rows import unmarked
from perennial.store import Store
from perennial.store.bulk import read
from perennial.store.schema import labels_table, predictions_table


def read_logged(config: ModelConfig, *, until: datetime | None, store: Store) -> pa.Table:
    """Every served row up to a moment: ``prediction_id``, ``event_time``, features, ``label``, ``labelled_at``.

    Without those whose label the model caused. The last two are null where no label came. Raises StoreUnavailable.
    """
    predictions, labels = predictions_table(config), labels_table(config)
    columns = [predictions.c[name] for name in ("prediction_id", "event_time", *config.features)]
    query = (
        select(*columns, labels.c.label, labels.c.labelled_at)
        .select_from(predictions.outerjoin(labels, labels.c.prediction_id == predictions.c.prediction_id))
        .where(
            predictions.c.role == "champion",
            *unmarked(predictions, ERROR, CAUSED),
            *([predictions.c.event_time < until] if until else []),
        )
    )
    return read(store, query)
