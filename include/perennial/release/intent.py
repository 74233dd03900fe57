"""Finishing what a release began: from the intent alone, as often as it takes, with one end state.

A release is written down before anything moves (``promotion_intent``, ``rollback_intent``). Everything after it follows
from the intent: the aliases and tags, for an automatic rollback the hold, and last the completion (``promotion``,
``rollback``). Repeating any of these changes nothing, so a release that was cut off between two of them is finished by
running all of them again.
"""

import logging
from collections.abc import Callable

from perennial import ledger
from perennial.config import ModelConfig
from perennial.contracts import LedgerEntry, PastGates, Release, ReleaseState, digest_of, from_record
from perennial.contracts.tags import CANARY, CHALLENGER, CHAMPION, RELEASE_TAG, STABLE
from perennial.errors import IntegrityError, PermanentError, ReleaseError
from perennial.ledger import History
from perennial.registry import Registry
from perennial.registry.versions import alias_version, artifact_digest, delete_alias, set_alias, set_version_tags
from perennial.release.agreement import follow_ledger, point, report
from perennial.release.marking import mark
from perennial.store import Store
from perennial.store.locks import HeldLock

_log = logging.getLogger(__name__)
Checkpoint = Callable[[str], None]
"""Called with the name of what was just done in a release: where the tests cut one off. Does nothing otherwise."""


def go_on(_: str) -> None:
    """Do nothing at a checkpoint."""


def open_intent(store: Store, intent: LedgerEntry, history: History) -> None:
    """Write an intent, on top of the ``history`` that it was judged by.

    Raises ReleaseError when it was written before and then abandoned: a new signoff is needed; and when another process
    released or abandoned something since.
    """
    if not ledger.append_after(store, intent, history.last_move):
        raise ReleaseError(
            f"{intent.model}: the release of version {intent.version} was begun before and abandoned (ledger entry "
            f"{intent.entry_id}); retrain, or sign the version off again"
        )


def completion_of(intent_id: str) -> str:
    """The id of the entry that completes an intent. Pure.

    >>> completion_of("an intent") == completion_of("an intent") != completion_of("another")
    True
    """
    return digest_of("completion", intent_id)


def released(completion: LedgerEntry) -> Release:
    """The release that a completion records. Pure.

    >>> released(entry("rollback", "1", previous="2")).previous
    '2'
    """
    previous = completion.payload["previous"]
    return Release(
        model=completion.model,
        kind="promotion" if completion.kind == "promotion" else "rollback",
        version=str(completion.version),
        previous=None if previous is None else str(previous),
        entry_id=completion.entry_id,
    )


def finish(
    intent: LedgerEntry, *, lock: HeldLock, store: Store, registry: Registry, checkpoint: Checkpoint = go_on
) -> Release:
    """Move the aliases, then write the completion. The caller holds the model's release lock.

    Raises IntegrityError when the alias ``champion`` is on neither of the two versions of the release: it was moved by
    hand in between, and is left as it is. One that is gone, as when the version it named was deleted, stops a promotion
    and no rollback: nothing serves then. Raises StoreUnavailable when the lock was lost, ReleaseError when another
    process did something about the release meanwhile; no alias stays moved then but as the ledger says.
    """
    name, version = intent.model, str(intent.version)
    serving = alias_version(registry, name, CHAMPION)
    if is_stray(intent, serving):
        raise IntegrityError(
            f"{name}: the release of version {version} was cut off, and MLflow's alias champion was moved by hand to "
            f"version {serving} meanwhile; set it to {version}, and this run finishes the release"
        )
    lock.require()
    _refuse_overtaken(intent, store=store)
    checkpoint("fenced")
    completion = completed(intent)
    try:
        set_alias(registry, name, CHAMPION, version)
        _refuse_overtaken(intent, store=store)
        checkpoint("after_alias")
        if intent.kind == "promotion_intent":
            _tag_promoted(intent, registry)
        else:
            _tag_and_hold(intent, store, registry)
        lock.require()
        _refuse_overtaken(intent, store=store)
        point(registry, name, CANARY, None)  # one that was under way was compared with another champion
        checkpoint("after_tags")
        if not ledger.append_after(store, completion, intent.entry_id):
            _refuse_overtaken(intent, store=store)
    except ReleaseError:
        follow_ledger(name, lock=lock, store=store, registry=registry)
        raise
    checkpoint("after_completion")
    return released(completion)


def is_stray(intent: LedgerEntry, serving: str | None) -> bool:
    """Whether the alias ``champion`` is where neither the release of this intent nor what was before put it. Pure.

    >>> intent = entry("promotion_intent", "2", previous="1")
    >>> is_stray(intent, "1"), is_stray(intent, "2"), is_stray(intent, "7"), is_stray(intent, None)
    (False, False, True, True)
    >>> is_stray(entry("rollback_intent", "1", previous="2"), None)
    False
    """
    may_be_gone = intent.kind == "rollback_intent" or intent.payload.get("nothing_serves", False)
    if serving is None and may_be_gone:
        return False
    return serving not in (intent.payload["previous"], str(intent.version))


def completed(intent: LedgerEntry) -> LedgerEntry:
    """The entry that completes an intent. Pure.

    >>> completed(entry("rollback_intent", "1", previous="2")).kind
    'rollback'
    """
    return LedgerEntry(
        entry_id=completion_of(intent.entry_id),
        model=intent.model,
        kind="promotion" if intent.kind == "promotion_intent" else "rollback",
        at=intent.at,
        actor=intent.actor,
        reason=intent.reason,
        version=str(intent.version),
        payload={**intent.payload, "intent": intent.entry_id},
    )


def hold_of(intent: LedgerEntry) -> LedgerEntry | None:
    """The hold over what the rolled-back version was made from; None for a rollback that no decision asked for. Pure.

    >>> hold_of(entry("rollback_intent", "1", previous="2", hold=day(0))).kind
    'hold'
    """
    gone, stretch = str(intent.payload["previous"]), intent.payload.get("hold")
    if not stretch:
        return None
    return LedgerEntry(
        entry_id=digest_of("hold", intent.entry_id),
        model=intent.model,
        kind="hold",
        at=intent.at,
        actor=intent.actor,
        reason=f"version {gone}, made from this stretch, was rolled back: {intent.reason}",
        version=gone,
        payload={"stretch": stretch, "version": gone},
    )


def _refuse_overtaken(intent: LedgerEntry, *, store: Store) -> None:
    """Raises ReleaseError unless the intent is still the pending one: whoever lost the lock must not move an alias."""
    state = ledger.release_state(store, intent.model)
    if state.pending is not None and state.pending.entry_id == intent.entry_id:
        return
    raise ReleaseError(
        f"{intent.model}: another process took over the release of version {intent.version} while this one was held "
        f"up; champion is version {state.champion}"
    )


def _tag_promoted(intent: LedgerEntry, registry: Registry) -> None:
    name, version = intent.model, str(intent.version)
    if word := intent.payload.get("past_gates"):
        mark(registry, name, version, from_record(PastGates, word))
    if alias_version(registry, name, CHALLENGER) == version:
        delete_alias(registry, name, CHALLENGER)
    set_version_tags(registry, name, version, {RELEASE_TAG: "promoted"})


def _tag_and_hold(intent: LedgerEntry, store: Store, registry: Registry) -> None:
    gone = str(intent.payload["previous"])
    set_alias(registry, intent.model, STABLE, str(intent.version))
    try:
        set_version_tags(registry, intent.model, gone, {RELEASE_TAG: "rolled back"})
    except PermanentError as error:  # deleted, which may be why it is rolled back; the ledger knows of it all the same
        _log.warning("%s version %s was not tagged as rolled back: %s", intent.model, gone, error)
    if hold := hold_of(intent):
        ledger.append(store, hold)


def finish_pending(
    config: ModelConfig, *, lock: HeldLock, store: Store, registry: Registry, checkpoint: Checkpoint = go_on
) -> tuple[History, str | None]:
    """The history with nothing pending, and what was done about a release that was cut off (None: there was none).

    A promotion whose files are gone or are not those that were approved is abandoned, unless its alias has moved
    already: the ledger says so, and the champion before it goes on serving. An alias that was moved by hand in the
    middle is put back first where ``release.moved_alias`` says ``revert``. One that its own process ended meanwhile,
    which had only been held up, is pending no more. The caller holds the model's release lock.
    """
    history = ledger.read(store, config.model)
    intent = history.state.pending
    if intent is None:
        return history, None
    named = f"the {intent.kind.removesuffix('_intent')} to version {intent.version}, which was cut off"
    problem = _problem(intent, history.state, registry)
    if problem is None:
        put_back = _put_back(config, intent, history.state, store, registry)
        how = f"finished {named}{put_back}"
        try:
            finish(intent, lock=lock, store=store, registry=registry, checkpoint=checkpoint)
        except ReleaseError:
            lock.require()
            if ledger.release_state(store, config.model).pending is not None:
                raise
            how = f"{named}{put_back}, was ended by its own process meanwhile"
    else:
        how = f"abandoned {named}: {problem}"
        ledger.append_after(store, _abandoned(intent, f"{config.model}: {how}"), intent.entry_id)
    return ledger.read(store, config.model), f"{config.model}: {how}"


def _abandoned(intent: LedgerEntry, reason: str) -> LedgerEntry:
    return LedgerEntry(
        entry_id=digest_of("abandoned", intent.entry_id),
        model=intent.model,
        kind="integrity",
        at=intent.at,
        actor="reconcile",
        reason=reason,
        version=intent.version,
        payload={"abandons": intent.entry_id},
    )


def _put_back(config: ModelConfig, intent: LedgerEntry, state: ReleaseState, store: Store, registry: Registry) -> str:
    """By policy: a stray alias goes to where the release began, or ends where that is gone; what was done, in words."""
    serving = alias_version(registry, intent.model, CHAMPION)
    if config.release.moved_alias != "revert" or not is_stray(intent, serving):
        return ""
    said = f"; its alias champion had been moved by hand to version {serving}"
    report(f"{intent.model}{said[1:]}", alias=CHAMPION, found=serving, config=config, state=state, store=store)
    point(registry, intent.model, CHAMPION, state.champion)
    if is_stray(intent, alias_version(registry, intent.model, CHAMPION)):  # the version before was deleted
        set_alias(registry, intent.model, CHAMPION, str(intent.version))
    return said


def _problem(intent: LedgerEntry, state: ReleaseState, registry: Registry) -> str | None:
    """Why an intent can not be finished any more; None when it can. Raises RegistryUnavailable."""
    version = str(intent.version)
    if (previous := intent.payload["previous"]) != state.champion:
        return f"it was to replace version {previous}, and version {state.champion} is champion"
    if alias_version(registry, intent.model, CHAMPION) == version:
        return None
    try:
        found = artifact_digest(registry, intent.model, version)
    except PermanentError as error:
        return f"its files can not be read ({error})"
    approved = intent.payload.get("artifact_digest")
    if approved is not None and found != approved:
        return f"its files have the digest {found[:16]}..., not the approved {str(approved)[:16]}..."
    return None
