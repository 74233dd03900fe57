"""The labelled rows of a challenger that answers a share of the requests, and the champion's of the same time."""

from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from sqlalchemy import Select, and_, func, literal, or_, select

from perennial.config import CAUSED, ERROR, ModelConfig
from perennial.contracts import Window
from perennial.contracts.tags import CANARY, CHAMPION
from perennial.evidence.deliveries.paired import mature_since
from perennial.evidence.rows import arrived, counted, requested, unmarked
from perennial.evidence.samples import EPOCH, sample_key
from perennial.statistics.blocks import blocks_of_entities, blocks_of_times
from perennial.store import Store
from perennial.store.bulk import read
from perennial.store.schema import Moment, labels_table, predictions_table

CHALLENGED = "_challenger"
"""Whether the challenger answered a row: the column of :func:`read_arms`; no feature can be called so."""
_ENTITY = "_entity"


@dataclass(frozen=True, slots=True)
class Sizes:
    """How many rows the challenger, and both together, have in each of G blocks: shapes (G,), int64."""

    n_new: NDArray[np.int64]
    n_both: NDArray[np.int64]


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


def size_arms(
    config: ModelConfig,
    windows: tuple[Window, ...],
    *,
    champion: str,
    challenger: str,
    as_of: datetime,
    excluded: tuple[Window, ...] = (),
    store: Store,
) -> tuple[Sizes, Sizes]:
    """The rows of each of the two in these windows, from the challenger's first answer on: all that were answered, and
    those whose labels :func:`read_arms` would compare. Every row counts, and no label is looked at.

    By the blocks of ``signals.uncertainty``, without blocks of time in which one of them has no row. Raises
    StoreUnavailable.
    """
    table, labels = predictions_table(config), labels_table(config)
    uncertainty, is_new = config.signals.uncertainty, table.c.role == CANARY
    asked = ((CANARY, challenger), (CHAMPION, champion))
    new, old = (
        and_(
            or_(*(requested(table, window, as_of=as_of, excluded=excluded, role=role) for window in windows)),
            table.c.model_version == version,
        )
        for role, version in asked
    )
    began = select(func.min(table.c.event_time)).where(new).scalar_subquery()
    compared = and_(labels.c.prediction_id.is_not(None), *unmarked(table, ERROR, CAUSED))
    by = [table.c[uncertainty.block_by].label(_ENTITY)] if uncertainty.block_by else []
    groups = [func.date_bin(literal(uncertainty.block), table.c.event_time, literal(EPOCH, Moment)).label("time"), *by]
    query = (
        select(
            *groups,
            func.count().filter(is_new).label("answered_new"),
            func.count().label("answered"),
            func.count().filter(compared, is_new).label("labelled_new"),
            func.count().filter(compared).label("labelled"),
        )
        .join_from(table, labels, arrived(table, labels, as_of), isouter=True)
        .where(or_(new, old), table.c.event_time >= began)
        .group_by(*groups)
    )
    rows = read(store, query)
    return _sizes_in(rows, "answered"), _sizes_in(rows, "labelled")


def _sizes_in(rows: pa.Table, what: str) -> Sizes:
    n_new, n_both = (rows[name].to_numpy().astype(np.int64) for name in (f"{what}_new", what))
    if not len(n_both):
        return Sizes(n_new, n_both)
    times = np.unique(rows["time"].to_numpy(), return_inverse=True)[1]
    of_new, of_both = (np.bincount(times, weights=counts)[times] for counts in (n_new, n_both))
    kept = (of_new > 0) & (of_new < of_both)
    named = rows[_ENTITY].to_numpy(zero_copy_only=False) if _ENTITY in rows.column_names else None
    blocks = np.unique((times if named is None else blocks_of_entities(named))[kept], return_inverse=True)[1]
    sums = (np.bincount(blocks, weights=counts[kept]).astype(np.int64) for counts in (n_new, n_both))
    return Sizes(*sums)
