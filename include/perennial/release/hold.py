"""Holds: a stretch of event time that made a disappointing version, and someone's word on it."""

from datetime import datetime

from perennial import ledger
from perennial.contracts import LedgerEntry, digest_of
from perennial.errors import ReleaseError, first_of
from perennial.store import Store


def word_on(model: str, hold_id: str, *, actor: str, reason: str, exclude: bool, at: datetime) -> LedgerEntry:
    """The ledger entry of someone's word on a hold. Pure.

    >>> word_on("m", "h", actor="ada", reason="a strike", exclude=False, at=day(0).end).payload["exclude"]
    False
    """
    return LedgerEntry(
        entry_id=digest_of("acknowledgement", hold_id),
        model=model,
        kind="acknowledgement",
        at=at,
        actor=actor,
        reason=reason,
        payload={"hold": hold_id, "exclude": exclude},
    )


def acknowledge(
    model: str, hold_id: str, *, store: Store, actor: str, reason: str, exclude: bool, at: datetime
) -> LedgerEntry:
    """Let retraining go on: with the rows of the held stretch, or (``exclude``) without them.

    The same word twice is one. Raises ReleaseError when the model has no such hold, or when someone answered it the
    other way before.
    """
    state = ledger.release_state(store, model)
    if hold_id not in {hold.entry_id for hold in state.holds}:
        known = [hold.entry_id for hold in state.holds if not hold.acknowledged]
        raise ReleaseError(f"{model} has no hold {hold_id}; waiting for an answer: {first_of(known) or 'none'}")
    entry = word_on(model, hold_id, actor=actor, reason=reason, exclude=exclude, at=at)
    ledger.append(store, entry)
    standing = ledger.entry(store, entry.entry_id)
    if standing is None or standing.payload["exclude"] != exclude:
        answered = f"{standing.actor} ({standing.reason})" if standing else "nobody"
        raise ReleaseError(
            f"{model}: hold {hold_id} was answered the other way by {answered}; the ledger is append-only, so that "
            "answer stands"
        )
    return standing
