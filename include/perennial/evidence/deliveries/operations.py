"""How requests went, by the columns of the log that say so, and how many labels the model itself decided."""

import pyarrow as pa
from sqlalchemy import func, select

from perennial.config import CAUSED, ModelConfig
from perennial.contracts import Window
from perennial.evidence.rows import requested, served
from perennial.evidence.samples import sample_key
from perennial.store import Store
from perennial.store.bulk import read
from perennial.store.schema import predictions_table


def read_requests(config: ModelConfig, window: Window, *, excluded: tuple[Window, ...] = (), store: Store) -> pa.Table:
    """At most ``signals.sample_rows`` requests of the role ``champion``, those answered with an error among them.

    Of :meth:`~perennial.config.ModelConfig.judged_over` the window, without ``excluded`` stretches, drawn by the hash
    of their id, as known at its end. Columns: ``prediction_id``, ``event_time``, ``signals.uncertainty.block_by`` where
    that is given, and those of :attr:`~perennial.config.ModelConfig.operational`. Raises StoreUnavailable.
    """
    predictions, most = predictions_table(config), config.signals.sample_rows
    by = config.signals.uncertainty.block_by
    columns = ["prediction_id", "event_time", *([by] if by else []), *config.operational]
    query = select(*(predictions.c[name] for name in columns)).where(
        requested(predictions, config.judged_over(window), as_of=window.end, excluded=excluded)
    )
    rows = read(store, query.limit(most + 1))
    if rows.num_rows > most:
        rows = read(store, query.order_by(sample_key(predictions, config.signals.seed)).limit(most))
    return rows.sort_by("prediction_id")


def count_caused(config: ModelConfig, window: Window, *, store: Store) -> tuple[int, int]:
    """Of a window as known at its end: its served rows, and those of them whose label the model caused itself.

    The log has to say so: ``columns.caused``. Raises StoreUnavailable.
    """
    predictions = predictions_table(config)
    query = select(func.count(), func.count().filter(predictions.c[CAUSED])).where(
        served(predictions, window, as_of=window.end)
    )
    with store.begin() as connection:
        n_rows, n_caused = connection.execute(query).one()
    return int(n_rows), int(n_caused)
