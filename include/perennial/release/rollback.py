"""Rollback: the alias ``champion`` goes back to a version that passed its bake."""

from datetime import datetime
from typing import Any

from perennial import ledger
from perennial.config import ModelConfig
from perennial.contracts import LedgerEntry, Release, ReleaseState, digest_of, to_record
from perennial.contracts.tags import CHAMPION
from perennial.errors import PermanentError, ReleaseError, first_of
from perennial.ledger import History
from perennial.registry import Registry
from perennial.registry.versions import alias_version, artifact_digest
from perennial.release.intent import Checkpoint, completion_of, finish, finish_pending, go_on, open_intent, released
from perennial.store import Store
from perennial.store.locks import RELEASE, model_lock


def roll_back(
    config: ModelConfig,
    *,
    store: Store,
    registry: Registry,
    actor: str,
    reason: str,
    at: datetime,
    run_id: str = "",
    version: str | None = None,
    decision_id: str | None = None,
    checkpoint: Checkpoint = go_on,
) -> Release:
    """Let ``version`` serve again: by default the one that was trusted last. The same run again changes nothing.

    ``run_id`` names the run by which someone asks for it: another run is another rollback, from the champion that
    serves then. ``decision_id`` makes it the execution of a recorded decision, which must be about the champion that
    serves now; it also puts a hold on the stretch that the rolled-back version was made from. Raises ReleaseError when
    there is no such version, when it never passed a bake, was itself rolled back, is gone or has other files than it
    was promoted with, and when the decision is out of date; IntegrityError, LockTimeout, RegistryUnavailable,
    StoreUnavailable.
    """
    call = ("decision", decision_id) if decision_id else ("manual", run_id, version, actor, reason, at.isoformat())
    with model_lock(store, config.model, RELEASE) as lock:
        history, _ = finish_pending(config, lock=lock, store=store, registry=registry, checkpoint=checkpoint)
        state = history.state
        if done := _done(history, call):
            return released(done)
        if decision_id is not None:
            _refuse_stale(decision_id, state, store)
        target = _target(state, version)
        _refuse_moved(state, target, registry)
        _refuse_other_files(state, target, registry)
        again = _n_abandoned(history, call)
        intent = rollback_intent(
            state, target, call, actor=actor, reason=reason, at=at, decision_id=decision_id, again=again
        )
        open_intent(store, intent, history)
        checkpoint("after_intent")
        return finish(intent, lock=lock, store=store, registry=registry, checkpoint=checkpoint)


def rollback_intent(
    state: ReleaseState,
    target: str,
    call: tuple[object, ...],
    *,
    actor: str,
    reason: str,
    at: datetime,
    decision_id: str | None,
    again: int = 0,
) -> LedgerEntry:
    """The intent to go back to ``target``; its id is that of the ``call`` and of the champion that goes. Pure.

    ``again`` counts the intents of this call that were abandoned, as when their target was deleted on the way.
    """
    once_more = (f"again {again}",) if again else ()
    return LedgerEntry(
        entry_id=digest_of("rollback_intent", state.model, state.champion, *call, *once_more),
        model=state.model,
        kind="rollback_intent",
        at=at,
        actor=actor,
        reason=reason,
        version=target,
        payload={**_payload(state, target, decision_id), "call": digest_of(*call)},
    )


def _done(history: History, call: tuple[object, ...]) -> LedgerEntry | None:
    """The rollback that this very call made, by this release or, under a decision, by the one before. Pure."""
    before = completion_of(digest_of("rollback_intent", history.model, *call))
    made = [item for item in history.of("rollback") if item.payload.get("call") == digest_of(*call)]
    return made[-1] if made else history.entry(before)


def _n_abandoned(history: History, call: tuple[object, ...]) -> int:
    """How many intents of this call were given up. Pure."""
    abandoned = {item.payload.get("abandons") for item in history.of("integrity")}
    intents = (item for item in history.of("rollback_intent") if item.payload.get("call") == digest_of(*call))
    return sum(item.entry_id in abandoned for item in intents)


def _payload(state: ReleaseState, target: str, decision_id: str | None) -> dict[str, Any]:
    """What an intent must know to be finished: the version that goes, the files of the one that comes, and for a
    decision the stretch to hold. Pure.
    """
    payload: dict[str, Any] = {"previous": state.champion, "decision_id": decision_id}
    if digest := state.digest_of(target):
        payload["artifact_digest"] = digest
    if decision_id is not None and state.lineage:
        payload["hold"] = to_record(state.lineage.stretch)
    return payload


def _refuse_stale(decision_id: str, state: ReleaseState, store: Store) -> None:
    entry = ledger.entry(store, decision_id)
    decision = entry.payload.get("decision", {}) if entry and entry.model == state.model else {}
    if decision.get("action") != "rollback":
        raise ReleaseError(f"{state.model}: the ledger holds no decision {decision_id} to roll back")
    if decision["champion"] != state.champion:
        raise ReleaseError(
            f"{state.model}: decision {decision_id} was to roll back version {decision['champion']}, and version "
            f"{state.champion} serves now; nothing was done"
        )


def _target(state: ReleaseState, version: str | None) -> str:
    """The version to go back to. Raises ReleaseError when there is none, or not this one. Pure."""
    if state.champion is None:
        raise ReleaseError(f"{state.model} has no champion, so there is nothing to roll back")
    if state.fallback is None:
        raise ReleaseError(
            f"{state.model}: no version other than the champion {state.champion} ever passed its bake, so there is "
            "nothing to go back to; request a retrain"
        )
    if version is None:
        return state.fallback
    if version == state.champion:
        raise ReleaseError(f"{state.model}: version {version} is the champion already; nothing was done")
    if version not in state.trusted:
        why = "was rolled back itself" if version in state.rolled_back else "never passed a bake"
        raise ReleaseError(f"{state.model}: version {version} {why}; versions to go back to: {first_of(state.trusted)}")
    return version


def _refuse_moved(state: ReleaseState, target: str, registry: Registry) -> None:
    """An alias moved by hand is not overwritten, unless it is gone or where the hand moved it is the target."""
    alias = alias_version(registry, state.model, CHAMPION)
    if alias not in (None, target) and (moved := state.divergence(alias)):
        raise ReleaseError(f"nothing was rolled back: {moved}")


def _refuse_other_files(state: ReleaseState, target: str, registry: Registry) -> None:
    """The version that comes back is the one that passed its bake, file for file."""
    others = [known for known in state.trusted if known != target]
    what = f"nothing was rolled back: {state.model} version {target} can not be gone back to: its files"
    mend = f"restore them, or roll back to another version that passed its bake ({first_of(others) or 'there is none'})"
    try:
        found = artifact_digest(registry, state.model, target)
    except PermanentError as error:
        raise ReleaseError(f"{what} can not be read ({error}); {mend}") from error
    promoted = state.digest_of(target)
    if promoted is not None and found != promoted:
        raise ReleaseError(
            f"{what} have the digest {found[:16]}..., not {promoted[:16]}... they were promoted with; {mend}"
        )
