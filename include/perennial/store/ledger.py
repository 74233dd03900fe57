"""The ledger: append-only, and the truth about releases."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from sqlalchemy import Row, select
from sqlalchemy.dialects.postgresql import insert as upsert

from perennial.contracts import Fit, Hold, LedgerEntry, LedgerKind, ReleaseState, Window, from_record, utc
from perennial.errors import IntegrityError
from perennial.store import schema
from perennial.store.engine import Store


def append(store: Store, entry: LedgerEntry) -> bool:
    """Write an entry; False when its ``entry_id`` stands there already, which changes nothing."""
    table = schema.ledger
    statement = (
        upsert(table)
        .values(
            entry_id=entry.entry_id,
            model=entry.model,
            kind=entry.kind,
            at=entry.at,
            actor=entry.actor,
            reason=entry.reason,
            version=entry.version,
            payload=entry.payload,
        )
        .on_conflict_do_nothing(index_elements=["entry_id"])
        .returning(table.c.seq)
    )
    with store.begin() as connection:
        return connection.execute(statement).first() is not None


def _entry(row: Row[Any]) -> LedgerEntry:
    found = LedgerEntry(**row._mapping)
    return replace(found, at=utc(found.at))


def entries(
    store: Store, model: str | None = None, *, kinds: Iterable[LedgerKind] | None = None, last: int | None = None
) -> tuple[LedgerEntry, ...]:
    """Entries in the order they were written, of one model or all; ``last`` keeps the newest so many."""
    table = schema.ledger
    query = select(table).order_by(table.c.seq.desc())
    if model is not None:
        query = query.where(table.c.model == model)
    if kinds is not None:
        query = query.where(table.c.kind.in_(list(kinds)))
    with store.begin() as connection:
        rows = connection.execute(query.limit(last)).all()
    return tuple(_entry(row) for row in reversed(rows))


def entry(store: Store, entry_id: str) -> LedgerEntry | None:
    """The entry with this id, or None."""
    with store.begin() as connection:
        row = connection.execute(select(schema.ledger).where(schema.ledger.c.entry_id == entry_id)).first()
    return _entry(row) if row else None


def released_after(store: Store, entry: LedgerEntry) -> LedgerEntry | None:
    """The newest promotion or rollback of the entry's model that was written after it, or None."""
    newest = entries(store, entry.model, kinds=["promotion", "rollback"], last=1)
    return newest[0] if newest and (newest[0].seq or 0) > (entry.seq or 0) else None


def release_state(store: Store, model: str) -> ReleaseState:
    """Who serves and who is trusted, from all entries of the model."""
    return fold(model, entries(store, model, kinds=RELEASE_KINDS))


def fold(model: str, history: Iterable[LedgerEntry]) -> ReleaseState:
    """The release state after ``history``, oldest entry first. Pure.

    An intent without its completion is ``pending``: the release was cut off and must be finished or found done. A
    verdict about a version that does not serve (any more) changes nothing. ``stable`` ends with the version that a
    rollback would go to, and, but during a bake, with the champion itself.
    """
    state = ReleaseState(model=model)
    for item in history:
        if step := _STEPS.get(item.kind):
            state = step(state, item)
    return state


def divergence(state: ReleaseState, alias: str | None) -> str | None:
    """Why MLflow's alias ``champion`` and the ledger disagree, and what to do; None when they agree. Pure.

    While a release is under way the alias may name the version before it or the one after it.

    >>> divergence(ReleaseState(model="m", champion="3"), "3")
    >>> print(divergence(ReleaseState(model="m", champion="3"), "7")[:78])
    m: MLflow's alias champion is on version 7, the ledger's champion is version 3
    """
    if alias == state.champion or (state.pending is not None and alias == state.pending.version):
        return None
    found = f"on version {alias}" if alias else "gone"
    if state.champion is None:
        known, mend = "none", "delete the alias in MLflow"
    else:
        known = f"version {state.champion}"
        mend = f"set it back to {known} in MLflow" + ("" if alias else ", or roll back with a reason")
    return (
        f"{state.model}: MLflow's alias champion is {found}, the ledger's champion is {known}, so someone moved the "
        f"alias by hand: {mend}. A version takes office through a retrain and its signoff"
    )


def _intent(state: ReleaseState, item: LedgerEntry) -> ReleaseState:
    return replace(state, pending=item)


def _still_pending(state: ReleaseState, item: LedgerEntry, key: str) -> LedgerEntry | None:
    """The pending intent unless ``item`` names it under ``key`` as completed or abandoned."""
    ended = state.pending is not None and item.payload.get(key) == state.pending.entry_id
    return None if ended else state.pending


def _request(state: ReleaseState, item: LedgerEntry) -> ReleaseState:
    times = tuple(sorted((*state.request_times, item.at)))
    return replace(state, last_request_at=times[-1], request_times=times)


def _promotion(state: ReleaseState, item: LedgerEntry) -> ReleaseState:
    version = _version(item)
    fitted = Fit(
        train=from_record(Window, item.payload["train"]),
        holdout=from_record(Window, item.payload["holdout"]),
        artifact_digest=item.payload.get("artifact_digest"),
    )
    return replace(
        state,
        champion=version,
        champion_since=item.at,
        fits={**state.fits, version: fitted},
        in_bake=True,
        bake_failed=False,
        pending=_still_pending(state, item, "intent"),
        released_since_rollback=True,
    )


def _bake(state: ReleaseState, item: LedgerEntry) -> ReleaseState:
    version = _version(item)
    if version != state.champion or not state.in_bake:
        return state
    if item.payload["outcome"] == "failed":
        return replace(state, in_bake=False, bake_failed=True)
    return replace(state, in_bake=False, stable=_last(state.stable, version))


def _rollback(state: ReleaseState, item: LedgerEntry) -> ReleaseState:
    version, gone = _version(item), str(item.payload["previous"])
    return replace(
        state,
        champion=version,
        champion_since=item.at,
        in_bake=False,
        bake_failed=False,
        stable=_last(tuple(known for known in state.stable if known != gone), version),
        rolled_back=state.rolled_back | {gone},
        pending=_still_pending(state, item, "intent"),
        last_rollback_at=item.at,
        released_since_rollback=False,
    )


def _last(versions: tuple[str, ...], version: str) -> tuple[str, ...]:
    return (*(known for known in versions if known != version), version)


def _abandonment(state: ReleaseState, item: LedgerEntry) -> ReleaseState:
    return replace(state, pending=_still_pending(state, item, "abandons"))


def _hold(state: ReleaseState, item: LedgerEntry) -> ReleaseState:
    stretch = from_record(Window, item.payload["stretch"])
    return replace(state, holds=(*state.holds, Hold(entry_id=item.entry_id, stretch=stretch, reason=item.reason)))


def _acknowledgement(state: ReleaseState, item: LedgerEntry) -> ReleaseState:
    excluded = bool(item.payload["exclude"])
    holds = tuple(
        replace(hold, acknowledged=True, excluded=excluded) if hold.entry_id == item.payload["hold"] else hold
        for hold in state.holds
    )
    return replace(state, holds=holds)


def _version(item: LedgerEntry) -> str:
    if item.version is None:
        raise IntegrityError(f"ledger entry {item.entry_id} ({item.kind}) of {item.model} names no version")
    return item.version


_STEPS: dict[LedgerKind, Callable[[ReleaseState, LedgerEntry], ReleaseState]] = {
    "retrain_request": _request,
    "promotion_intent": _intent,
    "promotion": _promotion,
    "bake": _bake,
    "rollback_intent": _intent,
    "rollback": _rollback,
    "hold": _hold,
    "acknowledgement": _acknowledgement,
    "integrity": _abandonment,
}
RELEASE_KINDS: tuple[LedgerKind, ...] = tuple(_STEPS)
