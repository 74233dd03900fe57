"""Rollback: the alias ``champion`` goes back to a version that passed its bake."""

from datetime import datetime
from typing import Any

from perennial.config import ModelConfig
from perennial.contracts import LedgerEntry, Release, ReleaseState, digest_of
from perennial.errors import PermanentError, ReleaseError, first_of
from perennial.registry import Registry
from perennial.registry.versions import alias_version, artifact_digest
from perennial.release.intent import (
    Step,
    completion_of,
    finish,
    finish_pending,
    no_step,
    open_intent,
    released,
    stretch_of,
)
from perennial.release.promote import LOCK
from perennial.store import Store, ledger
from perennial.store.locks import model_lock


def roll_back(
    config: ModelConfig,
    *,
    store: Store,
    registry: Registry,
    actor: str,
    reason: str,
    at: datetime,
    version: str | None = None,
    decision_id: str | None = None,
    step: Step = no_step,
) -> Release:
    """Let ``version`` serve again: by default the one that was trusted last. The same call again changes nothing.

    ``decision_id`` makes it the execution of a recorded decision, which must be about the champion that serves now; it
    also puts a hold on the stretch that the rolled-back version was made from. Raises ReleaseError when there is no
    such version, when it never passed a bake, was itself rolled back, is gone or has other files than it was promoted
    with, and when the decision is out of date; IntegrityError, LockTimeout, RegistryUnavailable, StoreUnavailable.
    """
    call = ("decision", decision_id) if decision_id else ("manual", version, actor, reason, at.isoformat())
    entry_id = digest_of("rollback_intent", config.model, *call)
    with model_lock(store, config.model, LOCK):
        state, _ = finish_pending(config, store=store, registry=registry, step=step)
        if done := ledger.entry(store, completion_of(entry_id)):
            return released(done)
        if decision_id is not None:
            _refuse_stale(decision_id, state, store)
        target = _target(state, version)
        _refuse_moved(state, target, registry)
        _refuse_other_files(state, target, registry)
        intent = LedgerEntry(
            entry_id=entry_id,
            model=config.model,
            kind="rollback_intent",
            at=at,
            actor=actor,
            reason=reason,
            version=target,
            payload=_payload(state, target, decision_id),
        )
        open_intent(store, intent)
        step("after_intent")
        return finish(intent, store=store, registry=registry, step=step)


def _payload(state: ReleaseState, target: str, decision_id: str | None) -> dict[str, Any]:
    """What an intent must know to be finished: the version that goes, the files of the one that comes, and for a
    decision the stretch to hold. Pure.
    """
    payload: dict[str, Any] = {"previous": state.champion, "decision_id": decision_id}
    if digest := _promoted_digest(state, target):
        payload["artifact_digest"] = digest
    fitted = state.fits.get(str(state.champion))
    return {**payload, "hold": stretch_of(fitted)} if decision_id is not None and fitted else payload


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
    trusted = [known for known in state.stable if known != state.champion and known not in state.rolled_back]
    if not trusted:
        raise ReleaseError(
            f"{state.model}: no version other than the champion {state.champion} ever passed its bake, so there is "
            "nothing to go back to; request a retrain"
        )
    if version is None:
        return trusted[-1]
    if version == state.champion:
        raise ReleaseError(f"{state.model}: version {version} is the champion already; nothing was done")
    if version not in trusted:
        why = "was rolled back itself" if version in state.rolled_back else "never passed a bake"
        raise ReleaseError(f"{state.model}: version {version} {why}; versions to go back to: {first_of(trusted)}")
    return version


def _refuse_moved(state: ReleaseState, target: str, registry: Registry) -> None:
    """An alias moved by hand is not overwritten, unless it is gone or where the hand moved it is the target."""
    alias = alias_version(registry, state.model, "champion")
    if alias not in (None, target) and (moved := ledger.divergence(state, alias)):
        raise ReleaseError(f"nothing was rolled back: {moved}")


def _promoted_digest(state: ReleaseState, version: str) -> str | None:
    fitted = state.fits.get(version)
    return fitted.artifact_digest if fitted else None


def _refuse_other_files(state: ReleaseState, target: str, registry: Registry) -> None:
    """The version that comes back is the one that passed its bake, file for file."""
    others = [known for known in state.stable if known not in (state.champion, target, *state.rolled_back)]
    what = f"nothing was rolled back: {state.model} version {target} can not be gone back to: its files"
    mend = f"restore them, or roll back to another version that passed its bake ({first_of(others) or 'there is none'})"
    try:
        found = artifact_digest(registry, state.model, target)
    except PermanentError as error:
        raise ReleaseError(f"{what} can not be read ({error}); {mend}") from error
    promoted = _promoted_digest(state, target)
    if promoted is not None and found != promoted:
        raise ReleaseError(
            f"{what} have the digest {found[:16]}..., not {promoted[:16]}... they were promoted with; {mend}"
        )
