"""What the ledger says: pure functions over its entries, oldest first."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from perennial.contracts import (
    Hold,
    LedgerEntry,
    LedgerKind,
    Lineage,
    PastGates,
    ReleaseState,
    RetrainRequest,
    Review,
    Signoff,
    Window,
    from_record,
)
from perennial.errors import IntegrityError

_SHARES: tuple[LedgerKind, ...] = ("canary_intent", "canary")
MOVES: tuple[LedgerKind, ...] = (*_SHARES, "promotion_intent", "promotion", "rollback_intent", "rollback")
"""What begins and completes a release or a share of a canary; so does an ``integrity`` entry that ``abandons`` one."""


@dataclass(frozen=True, slots=True)
class History:
    """The entries of one model, read once, oldest first."""

    model: str
    entries: tuple[LedgerEntry, ...]

    @property
    def state(self) -> ReleaseState:
        """Who serves and who is trusted after all of them.

        >>> History("m", (entry("promotion", "1", train=day(0), holdout=day(1)),)).state.champion
        '1'
        """
        return fold(self.model, self.entries)

    def entry(self, entry_id: str) -> LedgerEntry | None:
        """The entry with this id, or None.

        >>> History("m", (entry("review", "1"),)).entry("review-0").version
        '1'
        """
        return next((item for item in self.entries if item.entry_id == entry_id), None)

    def of(self, *kinds: LedgerKind) -> tuple[LedgerEntry, ...]:
        """The entries of these kinds.

        >>> len(History("m", (entry("signoff", "1"), entry("review", "1"))).of("review"))
        1
        """
        return tuple(item for item in self.entries if item.kind in kinds)

    def last(self, *kinds: LedgerKind) -> LedgerEntry | None:
        """The newest entry of these kinds (of any without one), or None.

        >>> History("m", (entry("signoff", "1"), entry("review", "2"))).last("signoff", "review").version
        '2'
        """
        found = self.of(*kinds) if kinds else self.entries
        return found[-1] if found else None

    @property
    def last_move(self) -> str | None:
        """The id of the newest entry that began, completed or abandoned a release, or None.

        >>> History("m", (entry("promotion_intent", "1"), entry("integrity", "2"))).last_move
        'promotion_intent-0'
        """
        moves = [item.entry_id for item in self.entries if item.kind in MOVES or "abandons" in item.payload]
        return moves[-1] if moves else None

    def signoff(self, signoff_id: str) -> Signoff | None:
        """The signoff with this id, as it stands in the ledger, or None."""
        found = self.entry(signoff_id)
        return from_record(Signoff, found.payload["signoff"]) if found and found.kind == "signoff" else None

    def review_of(self, signoff: Signoff) -> Review | None:
        """The answer to a signoff that stands in the ledger, or None."""
        found = self.entry(signoff.review_id)
        return from_record(Review, found.payload["review"]) if found and found.kind == "review" else None

    def open_reviews(self) -> tuple[Signoff, ...]:
        """The signoffs that passed and have no answer, in the order they were written.

        >>> [one.version for one in History("m", (entry("signoff", "4", signoff=to_record(signed)),)).open_reviews()]
        ['4']
        """
        answered = {item.payload["signoff"] for item in self.of("review")}
        signed = [
            from_record(Signoff, item.payload["signoff"])
            for item in self.of("signoff")
            if item.payload["signoff"]["passed"] and item.entry_id not in answered
        ]
        return tuple(signed)

    def request(self, request_id: str) -> RetrainRequest | None:
        """The retrain request with this id, as it stands in the ledger, or None."""
        found = self.entry(request_id)
        return from_record(RetrainRequest, found.payload) if found and found.kind == "retrain_request" else None

    def judged_against(self, champion: str | None) -> frozenset[str]:
        """The versions that were signed off, or refused, beside this champion since it took office.

        >>> signoff = entry("signoff", "4", signoff={**to_record(signed)})
        >>> History("m", (signoff,)).judged_against("3"), History("m", (signoff,)).judged_against("2")
        (frozenset({'4'}), frozenset())
        """
        since = max(
            (item.seq or 0 for item in self.of("promotion", "rollback") if item.version == champion), default=-1
        )
        signed = (item for item in self.of("signoff") if (item.seq or 0) > since)
        seen = (from_record(Signoff, item.payload["signoff"]) for item in signed)
        return frozenset(found.version for found in seen if found.champion_seen == champion)

    def released_after(self, entry: LedgerEntry) -> LedgerEntry | None:
        """The newest promotion or rollback that was written after an entry, or None.

        >>> signoff, rollback = entry("signoff", "2", number=1), entry("rollback", "1", number=2)
        >>> History("m", (signoff, rollback)).released_after(signoff) == rollback
        True
        >>> History("m", (signoff, rollback)).released_after(rollback)
        """
        newest = self.last("promotion", "rollback")
        return newest if newest is not None and (newest.seq or 0) > (entry.seq or 0) else None


def fold(model: str, history: Iterable[LedgerEntry]) -> ReleaseState:
    """The release state after ``history``, oldest entry first. Pure.

    An intent without its completion is ``pending``: the release was cut off and must be finished or found done. A
    verdict about a version that does not serve (any more) changes nothing. ``stable`` ends with the version that a
    rollback would go to, and, but during a bake, with the champion itself.

    >>> promotion = entry("promotion", "1", train=day(0), holdout=day(1))
    >>> fold("m", [promotion, entry("bake", "1", outcome="passed")]).stable
    ('1',)
    """
    state = ReleaseState(model=model)
    for item in history:
        state = after(state, item)
    return state


def after(state: ReleaseState, item: LedgerEntry) -> ReleaseState:
    """The state once one more entry stands in the ledger. Pure.

    >>> after(ReleaseState(model="m"), entry("rollback_intent", "1", previous="2")).pending.version
    '1'
    """
    change = _CHANGES.get(item.kind)
    return change(state, item) if change else state


def _intent(state: ReleaseState, item: LedgerEntry) -> ReleaseState:
    return replace(state, pending=item)


def _still_pending(state: ReleaseState, item: LedgerEntry, key: str) -> LedgerEntry | None:
    """The pending intent unless ``item`` names it under ``key`` as completed or abandoned."""
    ended = state.pending is not None and item.payload.get(key) == state.pending.entry_id
    return None if ended else state.pending


def _request(state: ReleaseState, item: LedgerEntry) -> ReleaseState:
    times = tuple(sorted((*state.request_times, item.at)))
    last = max(item.at, state.last_request_at or item.at)
    made = from_record(RetrainRequest, item.payload)
    return replace(state, last_request_at=last, request_times=times, open_requests=(*state.open_requests, made))


def _outcome(state: ReleaseState, item: LedgerEntry) -> ReleaseState:
    """A request ended. One that failed or was overtaken made no candidate, and does not count for the budget."""
    ended = from_record(RetrainRequest, item.payload)
    still_open = tuple(request for request in state.open_requests if request.run_id != ended.run_id)
    times = list(state.request_times)
    was_open = len(still_open) < len(state.open_requests)
    if was_open and item.payload.get("ended") in ("failed", "overtaken") and ended.as_of in times:
        times.remove(ended.as_of)
    return replace(state, open_requests=still_open, request_times=tuple(times))


def _signoff(state: ReleaseState, item: LedgerEntry) -> ReleaseState:
    """What the fit of its candidate cost. Entries of before that was kept say nothing of it; a fit counts once."""
    judged = item.payload.get("evaluation", {})
    if not (cpu_s := judged.get("fit_cpu_s")) or judged["mlflow_run_id"] in state.fits:
        return state
    return replace(state, fits={**state.fits, judged["mlflow_run_id"]: (item.at, float(cpu_s))})


def _promotion(state: ReleaseState, item: LedgerEntry) -> ReleaseState:
    version = _version(item)
    lineage = Lineage(
        train=from_record(Window, item.payload["train"]),
        holdout=from_record(Window, item.payload["holdout"]),
        artifact_digest=item.payload.get("artifact_digest"),
        threshold=item.payload.get("threshold"),
    )
    word = item.payload.get("past_gates")
    return replace(
        state,
        champion=version,
        champion_since=item.at,
        past_gates=from_record(PastGates, word) if word else None,
        lineages={**state.lineages, version: lineage},
        in_bake=True,
        bake_failed=False,
        bake_reason="",
        pending=_still_pending(state, item, "intent"),
        released_since_rollback=True,
    )


def _bake(state: ReleaseState, item: LedgerEntry) -> ReleaseState:
    version = _version(item)
    if version != state.champion or not state.in_bake:
        return state
    if item.payload["outcome"] == "failed":
        return replace(state, in_bake=False, bake_failed=True, bake_reason=item.reason)
    return replace(state, in_bake=False, past_gates=None, stable=_last(state.stable, version))


def _rollback(state: ReleaseState, item: LedgerEntry) -> ReleaseState:
    version, gone = _version(item), str(item.payload["previous"])
    return replace(
        state,
        champion=version,
        champion_since=item.at,
        in_bake=False,
        bake_failed=False,
        bake_reason="",
        past_gates=None,
        stable=_last(tuple(known for known in state.stable if known != gone), version),
        rolled_back=state.rolled_back | {gone},
        pending=_still_pending(state, item, "intent"),
        last_rollback_at=item.at,
        released_since_rollback=False,
    )


def _last(versions: tuple[str, ...], version: str) -> tuple[str, ...]:
    return (*(known for known in versions if known != version), version)


def _finding(state: ReleaseState, item: LedgerEntry) -> ReleaseState:
    """What was found and left alone: a release that could not be finished, a version that is gone for good."""
    gone = item.payload.get("gone")
    lost = state.gone | {str(gone)} if gone else state.gone
    return replace(state, pending=_still_pending(state, item, "abandons"), gone=lost)


def _canary(state: ReleaseState, item: LedgerEntry) -> ReleaseState:
    """A canary that did harm is barred, as what was rolled back is."""
    if item.payload["outcome"] != "breached":
        return state
    return replace(state, rolled_back=state.rolled_back | {_version(item)})


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


_CHANGES: dict[LedgerKind, Callable[[ReleaseState, LedgerEntry], ReleaseState]] = {
    "retrain_request": _request,
    "retrain_outcome": _outcome,
    "signoff": _signoff,
    "canary_intent": _canary,
    "canary": _canary,
    "promotion_intent": _intent,
    "promotion": _promotion,
    "bake": _bake,
    "rollback_intent": _intent,
    "rollback": _rollback,
    "hold": _hold,
    "acknowledgement": _acknowledgement,
    "integrity": _finding,
}
RELEASE_KINDS: tuple[LedgerKind, ...] = tuple(_CHANGES)
