"""The gate's own record, and that of rollbacks: was a release right, on the labelled rows of the time after it?

The version that came and the one that went answer for the same rows, whichever of them served. It is written to the
ledger once, when the labels of that time are in; promotions count for what the gate is told to ask for.
"""

from dataclasses import replace
from datetime import datetime, timedelta

import pyarrow as pa

from perennial import ledger
from perennial.config import ModelConfig
from perennial.contracts import (
    Estimate,
    Evaluation,
    Hindsight,
    LedgerEntry,
    Record,
    ReleaseState,
    Window,
    digest_of,
    from_record,
    record_of,
    to_record,
)
from perennial.errors import PermanentError
from perennial.evidence.answers import Answers, answers_in
from perennial.evidence.labelled import sample_labelled
from perennial.evidence.stretches import count_labelled
from perennial.ledger import History
from perennial.registry import Registry, load_model, score
from perennial.registry.scoring import own_threshold
from perennial.store import Store


def look_back(config: ModelConfig, *, as_of: datetime, store: Store, registry: Registry) -> Record:
    """Every release over another version whose time after it is over and labelled by ``as_of``; new ones are kept.

    A version that can not be scored any more leaves a hindsight without a figure, which says why. Raises
    RegistryUnavailable, StoreUnavailable.
    """
    history = ledger.read(store, config.model)
    written = {entry.entry_id for entry in ledger.entries(store, config.model, kinds=["hindsight"])}
    for release in (*history.of("promotion"), *history.of("rollback")):
        entry_id = digest_of("hindsight", release.entry_id)
        past = release.payload.get("past_gates")  # the choice of two people, and not of the gates
        if past or release.payload.get("previous") is None or release.version is None or entry_id in written:
            continue
        stretch = time_after(config, release.at)
        if not _is_over(config, stretch, as_of, history.state, store=store):
            continue
        found = _measured(config, release, stretch, as_of, history, store=store, registry=registry)
        ledger.append(store, hindsight_entry(config, found, entry_id=entry_id, release=release.entry_id))
    return read_record(config, store=store)


def read_record(config: ModelConfig, *, store: Store) -> Record:
    """The record as it stands in the ledger."""
    entries = ledger.entries(store, config.model, kinds=["hindsight"])
    return record_of(from_record(Hindsight, entry.payload["hindsight"]) for entry in entries)


def time_after(config: ModelConfig, released: datetime) -> Window:
    """What a release is looked back on over: as long as its bake, and enough blocks. Pure.

    >>> after = time_after(flights, day(9).end)
    >>> after.start == day(9).end, (after.end - after.start).days
    (True, 28)
    """
    uncertainty = config.signals.uncertainty
    blocks = timedelta(0) if uncertainty.block_by else uncertainty.min_blocks * uncertainty.block
    bake = config.bake.windows * config.schedule.length(released)
    return Window(start=released, end=released + max(bake, blocks))


def _is_over(config: ModelConfig, stretch: Window, as_of: datetime, state: ReleaseState, *, store: Store) -> bool:
    """Whether the labels of a stretch are in, or will not come any more."""
    if as_of < stretch.end:
        return False
    if as_of >= stretch.end + config.label.max_wait:
        return True
    share = count_labelled(config, stretch, as_of=as_of, excluded=state.excluded, store=store).share
    return share is not None and share >= config.label.mature_share


def _measured(
    config: ModelConfig,
    release: LedgerEntry,
    stretch: Window,
    as_of: datetime,
    history: History,
    *,
    store: Store,
    registry: Registry,
) -> Hindsight:
    new, old = str(release.version), str(release.payload["previous"])
    state, metric = history.state, config.signoff.versus_champion.metric
    rows = sample_labelled(
        config, stretch, as_of=as_of, most=config.signals.sample_rows, excluded=state.excluded, store=store
    )
    try:
        mine, theirs = (_answers(config, rows, version, state, registry=registry) for version in (new, old))
        realised = mine.gain_over(theirs, config, metric)
    except PermanentError as error:
        realised = Estimate(problem=f"a version can not be scored any more: {error}"[:300])
    signed = history.entry(str(release.payload.get("signoff")))
    judged = from_record(Evaluation, signed.payload["evaluation"]).gains.get(metric) if signed else None
    return Hindsight(
        kind="promotion" if release.kind == "promotion" else "rollback",
        version=new,
        previous=old,
        metric=metric,
        judged=None if judged is None else judged.value,
        realised=realised,
        stretch=stretch,
    )


def _answers(config: ModelConfig, rows: pa.Table, version: str, state: ReleaseState, *, registry: Registry) -> Answers:
    model = load_model(
        registry,
        config.model,
        version,
        trusted_types=config.training.trusted_types,
        expected_digest=state.digest_of(version),
    )
    scores, predicted = score(config, model, rows)
    classes = pa.nulls(rows.num_rows, pa.string()) if predicted is None else pa.array(predicted.tolist(), pa.string())
    answered = answers_in(config, rows.append_column("score", pa.array(scores)).append_column("predicted", classes))
    return replace(answered, threshold=own_threshold(model) if config.task == "binary" else None)


def _released(found: Hindsight, release: str) -> dict[str, str]:
    if found.kind == "rollback":
        return {"rollback": release}
    return {"promotion": release}


def hindsight_entry(config: ModelConfig, found: Hindsight, *, entry_id: str, release: str) -> LedgerEntry:
    """The ledger entry of a hindsight. Pure."""
    verdict = {True: "was right", False: "was wrong", None: "can not be judged"}[found.right]
    judged = "" if found.judged is None else f", {found.judged:.4g} when it was judged"
    what = (
        f"the promotion of version {found.version} over {found.previous}"
        if found.kind == "promotion"
        else f"the rollback of version {found.previous} to {found.version}"
    )
    return LedgerEntry(
        entry_id=entry_id,
        model=config.model,
        kind="hindsight",
        at=found.stretch.end,
        actor="policy",
        reason=(f"{what} {verdict}: a gain of {found.metric} of {found.realised} after it{judged}"),
        version=found.version,
        payload={"hindsight": to_record(found), **_released(found, release)},
    )
