"""Freeze the rows of a retrain: training, and a later holdout whose labels are in, as Parquet files with a digest."""

import hashlib
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, func, not_, select
from sqlalchemy.dialects.postgresql import insert as upsert

from perennial.config import ModelConfig
from perennial.contracts import (
    Hold,
    ReleaseState,
    RetrainRequest,
    Snapshot,
    Window,
    digest_of,
    from_record,
    to_record,
)
from perennial.errors import IntegrityError, TrainingError
from perennial.store import Store, bulk, schema
from perennial.store.files import Storage
from perennial.store.locks import model_lock

MOST_STEPS = 100
_CHUNK_BYTES = 1 << 20


def take_snapshot(config: ModelConfig, request: RetrainRequest, *, store: Store, state: ReleaseState) -> Snapshot:
    """Freeze what is known as of ``request.as_of``: the champion's published predictions with the labels in by then.

    The same request over the same configuration and excluded stretches gives the recorded snapshot again. Raises
    TrainingError when no stretch is labelled well enough, holds too few rows or is on hold, IntegrityError when the
    recorded files were changed or are gone, StoreUnavailable, StorageUnavailable.
    """
    excluded = tuple(hold.stretch for hold in state.holds if hold.excluded)
    held = tuple(hold for hold in state.holds if not hold.acknowledged)
    keys = sorted(stretch.key for stretch in excluded)
    snapshot_id = digest_of(config.model, request.as_of.isoformat(), config.digest, keys)
    with model_lock(store, config.model, "snapshot"):
        if known := _recorded(store, snapshot_id):
            _refuse_held(config, known.train, known.holdout, held)
            verify_snapshot(known, storage=store.storage)
            return known
        made = _freeze(config, snapshot_id, request.as_of, excluded, held, store=store)
        _record(store, made)
    return made


def verify_snapshot(snapshot: Snapshot, *, storage: Storage) -> None:
    """Raises IntegrityError when the files of a snapshot are not the ones that were frozen."""
    for uri in (snapshot.train_uri, snapshot.holdout_uri):
        if not storage.exists(uri):
            raise IntegrityError(
                f"snapshot {snapshot.snapshot_id} of {snapshot.model}: {uri} is gone; "
                "request a retrain with a later as_of"
            )
    found = _digest(storage, snapshot.train_uri, snapshot.holdout_uri)
    if found != snapshot.digest:
        raise IntegrityError(
            f"snapshot {snapshot.snapshot_id} of {snapshot.model}: its files have the digest {found}, not "
            f"{snapshot.digest}; they were changed after they were frozen. Request a retrain with a later as_of"
        )


def _freeze(
    config: ModelConfig,
    snapshot_id: str,
    as_of: datetime,
    excluded: tuple[Window, ...],
    held: tuple[Hold, ...],
    *,
    store: Store,
) -> Snapshot:
    holdout, coverage = _choose_holdout(config, as_of, excluded, store=store)
    train = Window(start=holdout.start - config.training.train, end=holdout.start)
    _refuse_held(config, train, holdout, held)
    uris = {part: f"snapshots/{config.model}/{snapshot_id}/{part}.parquet" for part in ("train", "holdout")}
    n_train = _write(uris["train"], _labelled(config, train, as_of, excluded), store=store)
    if n_train < config.training.min_train_rows:
        store.storage.delete(uris["train"])
        raise TrainingError(
            f"{config.model}: {n_train} labelled rows in {train.key}, training.min_train_rows is "
            f"{config.training.min_train_rows}; {len(excluded)} stretches are excluded. Wait for more labels, lengthen "
            "training.train, or lower training.min_train_rows"
        )
    n_holdout = _write(uris["holdout"], _labelled(config, holdout, as_of, excluded), store=store)
    return Snapshot(
        snapshot_id=snapshot_id,
        model=config.model,
        as_of=as_of,
        train_uri=uris["train"],
        holdout_uri=uris["holdout"],
        digest=_digest(store.storage, uris["train"], uris["holdout"]),
        train=train,
        holdout=holdout,
        n_train=n_train,
        n_holdout=n_holdout,
        holdout_label_coverage=coverage,
    )


def _refuse_held(config: ModelConfig, train: Window, holdout: Window, held: tuple[Hold, ...]) -> None:
    """Data that made a version disappoint makes no other one before someone answered for it, whoever asks for it."""
    for hold in held:
        if hold.stretch.start < holdout.end and train.start < hold.stretch.end:
            raise TrainingError(
                f"{config.model}: {hold.stretch.key} is held, and a retrain would use rows of it ({hold.reason}): "
                f"acknowledge hold {hold.entry_id} first, with its rows or without them"
            )


def holdout_ends(config: ModelConfig, as_of: datetime, *, further: timedelta = timedelta(0)) -> Iterator[datetime]:
    """Where a holdout may end, newest first: ``label.delay`` before ``as_of``, then further back in steps of it.

    Labels later than ``label.max_wait`` never come, so there is nothing to be gained further back than that and one
    holdout (and ``further``, the length of excluded stretches). Where that is more than MOST_STEPS steps, they are
    longer.
    """
    reach = config.label.max_wait + config.training.holdout + further
    step = max(config.label.delay, reach / MOST_STEPS)
    for number in range(-(-reach // step)):
        yield as_of - config.label.delay - number * step


def _choose_holdout(
    config: ModelConfig, as_of: datetime, excluded: tuple[Window, ...], *, store: Store
) -> tuple[Window, float]:
    """The newest stretch whose labels are in, with its label coverage."""
    further = sum((stretch.end - stretch.start for stretch in excluded), timedelta(0))
    best = "none has any prediction"
    best_share = -1.0
    for end in holdout_ends(config, as_of, further=further):
        window = Window(start=end - config.training.holdout, end=end)
        n_rows, n_labelled = _count(config, window, as_of, excluded, store=store)
        share = n_labelled / n_rows if n_rows else -1.0
        if share >= config.label.mature_share:
            return window, share
        if share > best_share:
            best_share, best = share, f"at best {n_labelled} of {n_rows} rows are labelled, in {window.key}"
    raise TrainingError(
        f"{config.model}: no holdout of {config.training.holdout} up to {as_of.isoformat()} has labels for "
        f"{config.label.mature_share:.0%} of its rows (label.mature_share): {best}. Wait for labels, or find out why "
        "they do not come"
    )


def _rows(config: ModelConfig, window: Window, excluded: tuple[Window, ...]) -> tuple[Any, ColumnElement[bool]]:
    """The predictions table and the condition for the champion's rows of a window outside the excluded stretches."""
    table = schema.predictions_table(config)
    time = table.c.event_time
    left_out = [not_(and_(time >= stretch.start, time < stretch.end)) for stretch in excluded]
    return table, and_(table.c.role == "champion", time >= window.start, time < window.end, *left_out)


def _count(
    config: ModelConfig, window: Window, as_of: datetime, excluded: tuple[Window, ...], *, store: Store
) -> tuple[int, int]:
    """Number of rows of the window, and of those with a label by ``as_of``."""
    table, wanted = _rows(config, window, excluded)
    labels = schema.labels_table(config)
    arrived = and_(labels.c.prediction_id == table.c.prediction_id, labels.c.labelled_at < as_of)
    query = (
        select(func.count(), func.count(labels.c.prediction_id))
        .select_from(table.outerjoin(labels, arrived))
        .where(wanted)
    )
    with store.begin() as connection:
        n_rows, n_labelled = connection.execute(query).one()
    return int(n_rows), int(n_labelled)


def _labelled(config: ModelConfig, window: Window, as_of: datetime, excluded: tuple[Window, ...]) -> Select[Any]:
    """``prediction_id, event_time``, the features and ``label`` of the window's rows, in the order of time."""
    table, wanted = _rows(config, window, excluded)
    labels = schema.labels_table(config)
    return (
        select(
            table.c.prediction_id,
            table.c.event_time,
            *(table.c[name] for name in config.features),
            labels.c.label,
        )
        .join_from(table, labels, labels.c.prediction_id == table.c.prediction_id)
        .where(wanted, labels.c.labelled_at < as_of)
        .order_by(table.c.event_time, table.c.prediction_id)
    )


def _write(uri: str, query: Select[Any], *, store: Store) -> int:
    n_rows = 0
    with bulk.stream(store, query) as rows, store.storage.write_parquet(uri, rows.schema) as file:
        for batch in rows:
            file.write_batch(batch)
            n_rows += batch.num_rows
    return n_rows


def _digest(storage: Storage, *uris: str) -> str:
    found = []
    for uri in uris:
        digest = hashlib.sha256()
        with storage.filesystem.open_input_stream(storage.path(uri)) as source:
            while chunk := source.read(_CHUNK_BYTES):
                digest.update(chunk)
        found.append(digest.hexdigest())
    return digest_of(*found)


def _recorded(store: Store, snapshot_id: str) -> Snapshot | None:
    table = schema.snapshots
    with store.begin() as connection:
        record = connection.scalar(select(table.c.record).where(table.c.snapshot_id == snapshot_id))
    return from_record(Snapshot, record) if record else None


def _record(store: Store, snapshot: Snapshot) -> None:
    statement = (
        upsert(schema.snapshots)
        .values(snapshot_id=snapshot.snapshot_id, model=snapshot.model, record=to_record(snapshot))
        .on_conflict_do_nothing(index_elements=["snapshot_id"])
    )
    with store.begin() as connection:
        connection.execute(statement)
