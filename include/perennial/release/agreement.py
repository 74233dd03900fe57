"""Where aliases and tags in MLflow belong by the ledger, how they get there, and what is written when they were not."""

from contextlib import nullcontext
from dataclasses import dataclass

from sqlalchemy.exc import DBAPIError, InvalidRequestError

from perennial import ledger
from perennial.config import ModelConfig
from perennial.contracts import LedgerEntry, ReleaseState, digest_of
from perennial.contracts.tags import CANARY, CHAMPION, RELEASE_TAG, SHARE_TAG, STABLE
from perennial.errors import PermanentError
from perennial.ledger import History
from perennial.ledger.canaries import live_canary
from perennial.registry import Registry
from perennial.registry.versions import (
    alias_version,
    delete_alias,
    find_version_tags,
    set_alias,
    set_version_tags,
    version_exists,
)
from perennial.store import Store
from perennial.store.locks import RELEASE, HeldLock, model_lock

_LOOKED_AT = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One disagreement, in a sentence, and whether it is mended; else someone has to act. ``mended`` is None where
    nobody could be asked whether there is one."""

    said: str
    mended: bool | None


def stable_of(state: ReleaseState) -> str | None:
    """The version that the alias ``stable`` names: the one trusted last that is still there. Pure.

    >>> stable_of(ReleaseState(model="m", stable=("1", "2"), gone=frozenset({"2"}))), stable_of(ReleaseState(model="m"))
    ('1', None)
    """
    there = [version for version in state.stable if version not in state.gone]
    return there[-1] if there else None


def tag_of(state: ReleaseState, version: str) -> str | None:
    """What the tag ``version.release`` says of a version; None for one that was never released. Pure.

    >>> tag_of(ReleaseState(model="m", champion="2", rolled_back=frozenset({"3"})), "3")
    'rolled back'
    """
    if version in state.rolled_back:
        return "rolled back"
    return "promoted" if version in state.lineages else None


def point(registry: Registry, name: str, alias: str, version: str | None) -> bool:
    """Let an alias name a version, or nothing where that is None or deleted; False where it does already.

    Raises PermanentError where MLflow refuses for another reason than that the version is gone.
    """
    found = alias_version(registry, name, alias)
    if found == version:
        return False
    if version is not None:
        try:
            set_alias(registry, name, alias, version)
        except PermanentError:
            if version_exists(registry, name, version):
                raise
            version = None  # deleted: what the alias names instead is no better
    if version is None and found is not None:
        delete_alias(registry, name, alias)
    return True


def point_canary(history: History, registry: Registry) -> bool:
    """Alias and tag say which version answers which share; whether they said otherwise. Raises as the registry."""
    wanted, name = live_canary(history), history.model
    before = alias_version(registry, name, CANARY)
    changed = False
    if wanted is not None:
        changed = _share(registry, name, wanted.version, wanted.share)
    changed |= point(registry, name, CANARY, wanted.version if wanted else None)
    if before is not None and (wanted is None or before != wanted.version):
        _share(registry, name, before, 0.0)
    return changed


def _share(registry: Registry, name: str, version: str, share: float) -> bool:
    tags = find_version_tags(registry, name, version)
    if tags is None or tags.get(SHARE_TAG) == f"{share:g}":
        return False
    set_version_tags(registry, name, version, {SHARE_TAG: f"{share:g}"})
    return True


def mend_tags(state: ReleaseState, registry: Registry) -> list[str]:
    """Each released version says what became of it; the versions whose tag was another one. Raises as the registry."""
    mended = []
    for version in sorted(state.lineages.keys() | state.rolled_back, key=int):
        tags = None if version in state.gone else find_version_tags(registry, state.model, version)
        wanted = tag_of(state, version)
        if tags is not None and wanted is not None and tags.get(RELEASE_TAG) != wanted:
            set_version_tags(registry, state.model, version, {RELEASE_TAG: wanted})
            mended.append(version)
    return mended


def follow_ledger(model: str, *, lock: HeldLock, store: Store, registry: Registry) -> ReleaseState:
    """Who was overtaken may have written over another's release: aliases and tags go where the ledger says.

    Takes the lock anew where it was lost, so that nobody moves them meanwhile; who still has it was overtaken by one
    who lost it, and would wait for himself. A release that is under way is finished by whoever comes next, from where
    it began. Raises LockTimeout, RegistryUnavailable, StoreUnavailable.
    """
    with nullcontext() if _is_held(lock) else model_lock(store, model, RELEASE):
        history = ledger.read(store, model)
        state = history.state
        point(registry, model, CHAMPION, state.champion)
        if state.pending is None:
            point_canary(history, registry)
            point(registry, model, STABLE, stable_of(state))
            mend_tags(state, registry)
    return state


def _is_held(lock: HeldLock) -> bool:
    try:
        lock.require()
    except (DBAPIError, InvalidRequestError):  # its connection is gone, or was found to be gone before
        return False
    return True


def report(
    message: str,
    *,
    alias: str | None = None,
    found: str | None = None,
    gone: str | None = None,
    config: ModelConfig,
    state: ReleaseState,
    store: Store,
) -> str:
    """Put a finding into the ledger, once while this champion serves; the event time is that of the last entry."""
    newest = ledger.entries(store, state.model, last=_LOOKED_AT)
    agreed = [item.recorded_at for item in newest if _shows_agreement(item) and item.recorded_at]
    since = state.champion_since.isoformat() if state.champion_since else None
    entry = LedgerEntry(
        entry_id=digest_of("integrity", state.model, alias or "version", gone or found, state.champion, since),
        model=state.model,
        kind="integrity",
        at=newest[-1].at if newest else config.schedule.start,
        actor="reconcile",
        reason=message,
        version=gone or found,
        payload={
            "alias": alias,
            "found": found,
            "ledger": state.champion,
            "gone": gone,
            "agreed_at": agreed[-1].isoformat() if agreed else None,
        },
    )
    ledger.append(store, entry)
    return message


def _shows_agreement(item: LedgerEntry) -> bool:
    """Whether ledger and registry named the same champion when an entry was written. Pure.

    >>> _shows_agreement(entry("promotion", "1")), _shows_agreement(entry("decision", decision={"action": "halt"}))
    (True, False)
    """
    if item.kind == "decision":
        return bool(item.payload.get("decision", {}).get("action") != "halt")
    return item.kind in ("promotion", "rollback")
