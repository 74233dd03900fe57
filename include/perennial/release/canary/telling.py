"""What a canary's share is, written down, told to the service through MLflow, and written down as told.

An intent is written before anything moves, and all that follows is made of the ledger: the alias ``canary`` names the
version, its tag says the share. Whoever was cut off between two statements is gone on for by the next one.
"""

from perennial import ledger
from perennial.contracts import LedgerEntry, Signoff, digest_of
from perennial.contracts.tags import CANARY, CHALLENGER, RELEASE_TAG
from perennial.errors import ReleaseError
from perennial.ledger import History
from perennial.ledger.canaries import AS, Canary, Outcome, last_canary, live_canary
from perennial.registry import Registry
from perennial.registry.versions import alias_version, delete_alias, find_version_tags, set_version_tags
from perennial.release.agreement import follow_ledger, point_canary
from perennial.release.intent import Checkpoint, completion_of, go_on
from perennial.store import Store
from perennial.store.locks import HeldLock


def intent_of(
    signoff: Signoff,
    step: int,
    share: float,
    *,
    n_rows: int,
    reason: str,
    outcome: Outcome | None = None,
    strategy: str = CANARY,
) -> LedgerEntry:
    """The intent that a version answers ``share`` of the requests; a signoff has one a step and an outcome. Pure.

    >>> made = intent_of(signed, 1, 0.05, n_rows=900, reason="all guards hold")
    >>> made.version, made.payload["share"], made.entry_id == intent_of(signed, 1, 0.05, n_rows=0, reason="").entry_id
    ('4', 0.05, True)
    """
    return LedgerEntry(
        entry_id=digest_of("canary_intent", signoff.model, signoff.signoff_id, outcome or step),
        model=signoff.model,
        kind="canary_intent",
        at=signoff.as_of,
        actor="canary",
        reason=reason,
        version=signoff.version,
        payload={
            "signoff": signoff.signoff_id,
            "strategy": strategy,
            "step": step,
            "share": share,
            "n_rows": n_rows,
            "outcome": outcome,
        },
    )


def end_of(signoff: Signoff, found: Canary, outcome: Outcome, reason: str) -> LedgerEntry:
    """The intent that it answers nothing any more. Pure."""
    said = {"reason": reason, "strategy": found.strategy}
    return intent_of(signoff, found.step, 0.0, n_rows=found.n_rows, outcome=outcome, **said)


def canary_completed(intent: LedgerEntry) -> LedgerEntry:
    """The entry that completes an intent. Pure."""
    return LedgerEntry(
        entry_id=completion_of(intent.entry_id),
        model=intent.model,
        kind="canary",
        at=intent.at,
        actor=intent.actor,
        reason=intent.reason,
        version=intent.version,
        payload={**intent.payload, "intent": intent.entry_id},
    )


def tell(
    intent: LedgerEntry,
    history: History,
    *,
    lock: HeldLock,
    store: Store,
    registry: Registry,
    checkpoint: Checkpoint = go_on,
) -> Canary:
    """Write an intent on top of the ``history`` that it was judged by, and carry it out. The caller holds the lock.

    Raises ReleaseError when another process released, or told something, since; StoreUnavailable, RegistryUnavailable.
    """
    ledger.append_after(store, intent, history.last_move)
    checkpoint("after_intent")
    return carry_out(intent, lock=lock, store=store, registry=registry, checkpoint=checkpoint)


def take_back(
    signoff: Signoff, history: History, why: str, *, lock: HeldLock, store: Store, registry: Registry
) -> None:
    """The canary of a signoff whose approval holds no longer answers nothing any more, if it still does."""
    found = live_canary(history)
    if found is not None and found.signoff == signoff.signoff_id:
        reason = f"version {found.version}, which had passed as {AS[found.strategy]}, was taken back: {why}"
        tell(end_of(signoff, found, "expired", reason), history, lock=lock, store=store, registry=registry)


def carry_out(
    intent: LedgerEntry, *, lock: HeldLock, store: Store, registry: Registry, checkpoint: Checkpoint = go_on
) -> Canary:
    """Have MLflow say what the newest intent says, and write that down. As often as it takes, with one end state.

    Raises StoreUnavailable when the lock was lost, ReleaseError when another process acted meanwhile; nothing stays
    told then but as the ledger says.
    """
    lock.require()
    history, found = _newest(intent, store)
    checkpoint("fenced")
    try:
        point_canary(history, registry)
        _newest(intent, store)
        checkpoint("after_alias")
        if found.outcome not in (None, "passed"):
            _tag_ended(found, registry)
        checkpoint("after_tags")
        if not ledger.append_after(store, canary_completed(intent), intent.entry_id):
            _newest(intent, store)
    except ReleaseError:
        follow_ledger(intent.model, lock=lock, store=store, registry=registry)
        raise
    checkpoint("after_completion")
    return last_canary(ledger.read(store, intent.model)) or found


def _newest(intent: LedgerEntry, store: Store) -> tuple[History, Canary]:
    """Raises ReleaseError unless the intent is still the newest word: whoever lost the lock must not move an alias."""
    history = ledger.read(store, intent.model)
    found = last_canary(history)
    if found is None or found.intent.entry_id != intent.entry_id:
        raise ReleaseError(f"{intent.model}: another process acted on the canary, version {intent.version}, meanwhile")
    return history, found


def _tag_ended(ended: Canary, registry: Registry) -> None:
    """A version that was taken back challenges nobody any more, and says what became of it."""
    name = ended.intent.model
    if alias_version(registry, name, CHALLENGER) == ended.version:
        delete_alias(registry, name, CHALLENGER)
    if ended.outcome == "breached" and find_version_tags(registry, name, ended.version) is not None:
        set_version_tags(registry, name, ended.version, {RELEASE_TAG: "rolled back"})
