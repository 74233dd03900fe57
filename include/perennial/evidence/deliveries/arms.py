"""The labelled rows of a challenger that answers a share of the requests, and the champion's of the same time."""

from datetime import datetime

import numpy as np
import pyarrow as pa
from sqlalchemy import Select, func, literal, or_, select

from perennial.config import ModelConfig
from perennial.contracts import Window
from perennial.contracts.tags import CANARY, CHAMPION
from perennial.evidence.deliveries.paired import mature_since
from perennial.evidence.rows import arrived, counted
from perennial.evidence.samples import sample_key
from perennial.statistics.blocks import blocks_of_times
from perennial.store import Store
from perennial.store.bulk import read
from perennial.store.schema import labels_table, predictions_table

CHALLENGED = "_challenger"
"""Whether the challenger answered a row: the column of :func:`read_arms`; no feature can be called so."""


def answered_windows(
    config: ModelConfig, since: datetime, *, as_of: datetime, champion: str, challenger: str, store: Store
) -> tuple[Window, ...]:
    """The windows after a moment whose labels were in by another and in which the challenger answered, in order."""
    found = mature_since(config, since, as_of=as_of, champion=champion, store=store)
    table = predictions_table(config)
    first = select(func.min(table.c.event_time)).where(table.c.model_version == challenger)
    with store.begin() as connection:
        return tuple(
            window
            for window in found
            if connection.scalar(first.where(counted(table, window, as_of=as_of, role=CANARY))) is not None
        )


def read_arms(
    config: ModelConfig,
    windows: tuple[Window, ...],
    *,
    champion: str,
    challenger: str,
    as_of: datetime,
    excluded: tuple[Window, ...] = (),
    store: Store,
) -> pa.Table:
    """What each of the two answered with labels in these windows, from the challenger's first answer on.

    Blocks of time (``signals.uncertainty.block``) in which one of them has no row are left out: where the challenger
    was not loaded, the champion alone saw how they were. Columns: ``event_time`` (timestamp[us], UTC), ``score``
    (double), ``predicted`` (text), ``label`` (double, text for multiclass), ``_challenger`` (bool) and
    ``signals.uncertainty.block_by`` where that is given. At most ``signals.sample_rows`` rows of each, drawn by the
    hash of their id. Raises StoreUnavailable.
    """
    asked = ((CANARY, challenger), (CHAMPION, champion))
    new, old = (
        read(store, _query(config, windows, role=role, version=version, as_of=as_of, excluded=excluded))
        for role, version in asked
    )
    rows = pa.concat_tables([new, old])
    times, is_new = rows["event_time"].to_numpy(), rows[CHALLENGED].to_numpy(zero_copy_only=False)
    if is_new.all() or not is_new.any():
        return rows
    kept = times >= times[is_new].min()
    blocks = blocks_of_times(times, config.signals.uncertainty.block)
    both = np.intersect1d(blocks[kept & is_new], blocks[kept & ~is_new])
    return rows.filter(pa.array(kept & np.isin(blocks, both)))


def _query(
    config: ModelConfig,
    windows: tuple[Window, ...],
    *,
    role: str,
    version: str,
    as_of: datetime,
    excluded: tuple[Window, ...],
) -> Select[tuple[object, ...]]:
    table, labels = predictions_table(config), labels_table(config)
    by = config.signals.uncertainty.block_by
    columns = [table.c[name] for name in ("event_time", "score", "predicted", *([by] if by else []))]
    inside = (counted(table, window, as_of=as_of, excluded=excluded, role=role) for window in windows)
    return (
        select(*columns, labels.c.label, literal(role == CANARY).label(CHALLENGED))
        .join_from(table, labels, arrived(table, labels, as_of))
        .where(or_(*inside), table.c.model_version == version)
        .order_by(sample_key(table, config.signals.seed))
        .limit(config.signals.sample_rows)
    )
