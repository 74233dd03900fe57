"""Freeze the rows of a retrain: training, and a later holdout whose labels are in, as Parquet files with a digest."""

import hashlib
from collections.abc import Iterable
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any

import pyarrow as pa

from perennial.config import ModelConfig
from perennial.contracts import ReleaseState, RetrainRequest, Snapshot, Window, digest_of
from perennial.errors import IntegrityError, TrainingError
from perennial.evidence.labelled import BATCHES, stream_labelled
from perennial.evidence.stretches import Choice, Labelled, choose_holdout, train_before
from perennial.evidence.training.earlier import earlier_stretches
from perennial.evidence.training.rows import stream_training
from perennial.storage import Storage
from perennial.store import Store, snapshots
from perennial.store.locks import SNAPSHOT, model_lock

_CHUNK_BYTES = 1 << 20


def take_snapshot(config: ModelConfig, request: RetrainRequest, *, store: Store, state: ReleaseState) -> Snapshot:
    """Freeze what is known as of ``request.as_of``: the champion's published predictions with the labels in by then.

    The same request over the same configuration and excluded stretches gives the recorded snapshot again; another
    request as of the same moment freezes what was published meanwhile. Raises
    TrainingError when no stretch is labelled well enough, holds too few rows or is on hold, IntegrityError when the
    recorded files were changed or are gone, StoreUnavailable, StorageUnavailable.
    """
    excluded = sorted(stretch.key for stretch in state.excluded)
    snapshot_id = digest_of(config.model, request.run_id, request.as_of.isoformat(), config.digest, excluded)
    with model_lock(store, config.model, SNAPSHOT):
        if known := snapshots.recorded(store, snapshot_id):
            refuse_held(known.stretches, state)
            verify_snapshot(known, storage=store.storage)
            return known
        made = _freeze(config, snapshot_id, request.as_of, state, store=store)
        snapshots.record(store, made)
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


def refuse_fitted_before(snapshot: Snapshot, as_of: datetime, ending: str, *, store: Store) -> None:
    """Raises TrainingError when another snapshot, as of ``as_of``, holds the very same rows; ``ending`` is its end."""
    twins = snapshots.of_digest(store, snapshot.model, snapshot.digest)
    if any(one.snapshot_id != snapshot.snapshot_id and one.as_of == as_of for one in twins):
        raise TrainingError(
            f"{snapshot.model}: these are the very rows of {ending}. Nothing was fitted: wait for more labels, change "
            "model.yaml, or ask for it anyway"
        )


def _freeze(config: ModelConfig, snapshot_id: str, as_of: datetime, state: ReleaseState, *, store: Store) -> Snapshot:
    choice = choose_holdout(config, as_of, excluded=state.excluded, store=store)
    holdout = mature_holdout(config, as_of, choice)
    train = train_before(config, holdout.stretch)
    earlier = earlier_stretches(config, train)
    refuse_held((*earlier, train, holdout.stretch), state)
    uris = {part: f"snapshots/{config.model}/{snapshot_id}/{part}.parquet" for part in ("train", "holdout")}
    batches: set[int] = set()
    frozen: dict[str, Any] = {"as_of": as_of, "excluded": state.excluded, "store": store}
    n_train = _write(uris["train"], stream_training(config, train, **frozen), store.storage, batches)
    if few := too_few_to_train(config, n_train, train, state):
        store.storage.delete(uris["train"])
        raise TrainingError(few)
    n_holdout = _write(uris["holdout"], stream_labelled(config, holdout.stretch, **frozen), store.storage, batches)
    return Snapshot(
        snapshot_id=snapshot_id,
        model=config.model,
        as_of=as_of,
        train_uri=uris["train"],
        holdout_uri=uris["holdout"],
        digest=_digest(store.storage, uris["train"], uris["holdout"]),
        train=train,
        holdout=holdout.stretch,
        n_train=n_train,
        n_holdout=n_holdout,
        holdout_label_coverage=holdout.n_labelled / holdout.n_rows,
        batches=tuple(sorted(batches)),
        earlier=earlier,
    )


def too_few_to_train(config: ModelConfig, n_train: int, train: Window, state: ReleaseState) -> str | None:
    """Why so few rows make no candidate, or None. Pure.

    >>> too_few_to_train(flights, 15_000, day(0), ReleaseState(model="flight_delay")) is None
    True
    """
    if n_train >= config.training.min_train_rows:
        return None
    return (
        f"{config.model}: {n_train} labelled rows in {train.key}, training.min_train_rows is "
        f"{config.training.min_train_rows}; {len(state.excluded)} stretches are excluded. Wait for more labels, "
        "lengthen training.train, or lower training.min_train_rows"
    )


def refuse_held(stretches: Iterable[Window], state: ReleaseState) -> None:
    """Data that made a version disappoint makes no other one before someone answered for it, whoever asks for it."""
    for hold in state.holds_over(*stretches):
        raise TrainingError(
            f"{state.model}: {hold.stretch.key} is held, and a retrain would use rows of it ({hold.reason}): "
            f"acknowledge hold {hold.entry_id} first, with its rows or without them"
        )


def mature_holdout(config: ModelConfig, as_of: datetime, choice: Choice) -> Labelled:
    """The holdout that was chosen. Raises TrainingError that names the best stretch when none was. Pure."""
    if choice.holdout is not None:
        return choice.holdout
    best = choice.best
    found = (
        f"at best {best.n_labelled} of {best.n_rows} rows are labelled, in {best.stretch.key}"
        if best
        else "none has any prediction"
    )
    raise TrainingError(
        f"{config.model}: no holdout of {config.training.holdout} up to {as_of.isoformat()} has labels for "
        f"{config.label.mature_share:.0%} of its rows (label.mature_share): {found}. Wait for labels, or find out why "
        "they do not come"
    )


def _write(
    uri: str, labelled: AbstractContextManager[pa.RecordBatchReader], storage: Storage, batches: set[int]
) -> int:
    """Labelled rows into a file; the numbers of the batches that brought them are added to ``batches``."""
    n_rows = 0
    with labelled as rows:
        names = [name for name in rows.schema.names if name not in BATCHES]
        with storage.write_parquet(uri, pa.schema([rows.schema.field(name) for name in names])) as file:
            for batch in rows:
                file.write_batch(batch.select(names))
                batches.update(*(batch.column(name).unique().to_pylist() for name in BATCHES))
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
