"""The rows that both the champion and a challenger answered, with their labels."""

from datetime import datetime
from typing import cast

import pyarrow as pa
from sqlalchemy import Table, and_, or_, select

from perennial.config import ERROR, ModelConfig
from perennial.contracts import Window
from perennial.evidence.maturity import maturity, read_coverage
from perennial.evidence.rows import arrived, counted, known, unmarked
from perennial.evidence.samples import sample_key
from perennial.store import Store
from perennial.store.batches import published_windows
from perennial.store.bulk import read
from perennial.store.schema import labels_table, predictions_table


def mature_since(
    config: ModelConfig, since: datetime, *, as_of: datetime, champion: str, store: Store
) -> tuple[Window, ...]:
    """The published windows that ended after a moment and whose labels were in by another; from the moment on."""
    found = published_windows(store, config.model, ended_after=since, ended_by=as_of)
    covered = (read_coverage(config, window, as_of=as_of, champion=champion, store=store) for window in found)
    mature = [one.window for one in covered if maturity(config, one, as_of) == "mature"]
    return tuple(Window(start=max(since, window.start), end=window.end) for window in mature)


def read_paired(
    config: ModelConfig,
    stretches: tuple[Window, ...],
    *,
    champion: str,
    challenger: str,
    as_of: datetime,
    store: Store,
) -> tuple[pa.Table, pa.Table]:
    """What each of the two answered for the same rows, in one order: the champion's, then the challenger's in the
    shadow.

    Columns of both: ``event_time`` (timestamp[us], UTC), ``score`` (double), ``predicted`` (text), ``label`` (double,
    text for multiclass) and ``signals.uncertainty.block_by`` where that is given. At most ``signals.sample_rows``
    rows, drawn by the hash of their id. Raises StoreUnavailable.
    """
    own, labels = predictions_table(config), labels_table(config)
    other = cast("Table", own.alias("shadow"))  # a table by another name
    by = config.signals.uncertainty.block_by
    shared = [own.c[name] for name in ("event_time", *([by] if by else []))]
    answers = [own.c[name] for name in ("score", "predicted")]
    others = [other.c[name].label(f"_shadow_{name}") for name in ("score", "predicted")]
    same = and_(other.c.prediction_id == own.c.prediction_id, other.c.role == "shadow", known(other, as_of))
    query = (
        select(*shared, *answers, *others, labels.c.label)
        .join_from(own, other, same)
        .join(labels, arrived(own, labels, as_of))
        .where(
            or_(*(counted(own, stretch, as_of=as_of) for stretch in stretches)),
            own.c.model_version == champion,
            other.c.model_version == challenger,
            *unmarked(other, ERROR),
        )
        .order_by(sample_key(own, config.signals.seed))
        .limit(config.signals.sample_rows)
    )
    rows = read(store, query)
    kept = [column.name for column in shared] + ["label"]
    theirs = rows.select([*kept, "_shadow_score", "_shadow_predicted"]).rename_columns([*kept, "score", "predicted"])
    return rows.select([*kept, "score", "predicted"]), theirs
