"""Decisions and retrain requests in the ledger: once each, whatever is run again."""

from dataclasses import replace

from perennial import ledger
from perennial.config import ModelConfig
from perennial.contracts import (
    RULES_CHANGED,
    Decision,
    Ending,
    LedgerEntry,
    RetrainRequest,
    Review,
    digest_of,
    from_record,
    to_record,
)
from perennial.decision.facts import Facts
from perennial.errors import IntegrityError
from perennial.store import Store

ACTOR = "policy"


def record(decision: Decision, facts: Facts, *, config: ModelConfig, store: Store) -> Decision:
    """Write the decision with its signals, and its retrain request; return the decision that stands in the ledger.

    A decision that stands already is returned as it was made, and its request is written if a crash kept it from being
    written. Raises StoreUnavailable.
    """
    ledger.append(store, entry_of(decision, facts, config=config))
    standing = recorded(store, decision.decision_id)
    if standing is None:
        raise IntegrityError(
            f"decision {decision.decision_id} of {decision.model} was written and is not in the ledger"
        )
    request = request_of(standing)
    if request is not None:
        record_request(request, store=store)
    return standing


def entry_of(decision: Decision, facts: Facts, *, config: ModelConfig) -> LedgerEntry:
    """The ledger entry of a decision: what was decided, why, on which batches, signals and configuration. Pure.

    >>> from perennial.contracts import ReleaseState
    >>> decided = Decision(decision_id="d", model="m", window=day(0), action="stay", reasons=("quiet",), champion="3",
    ...     bake="passed")
    >>> facts = Facts(window=day(0), state=ReleaseState(model="m"), champion_alias="3")
    >>> entry_of(decided, facts, config=flights).reason
    'stay: quiet'
    """
    return LedgerEntry(
        entry_id=decision.decision_id,
        model=decision.model,
        kind="decision",
        at=decision.window.end,
        actor=ACTOR,
        reason=f"{decision.action}: {'; '.join(decision.reasons)}",
        version=decision.champion,
        payload={
            "decision": to_record(decision),
            "batch_ids": list(facts.batch_ids),
            "config_digest": config.digest,
            "n_new_labels": facts.rows.n_new,
            **_evidence(facts),
        },
    )


def recorded(store: Store, decision_id: str) -> Decision | None:
    """The decision with this id as it stands in the ledger, or None."""
    found = ledger.entry(store, decision_id)
    return None if found is None else from_record(Decision, found.payload["decision"])


def request_of(decision: Decision) -> RetrainRequest | None:
    """The retrain that a decision asks for; None unless it decided to retrain. Pure.

    >>> decided = Decision(decision_id="d", model="m", window=day(0), action="retrain", reasons=("old",), champion="3",
    ...     bake="passed", retrain_run_id="retrain__d")
    >>> request_of(decided).run_id
    'retrain__d'
    """
    if decision.retrain_run_id is None:
        return None
    return RetrainRequest(
        model=decision.model,
        run_id=decision.retrain_run_id,
        as_of=decision.window.end,
        cause="; ".join(decision.reasons),
        requested_by=ACTOR,
        champion=decision.champion,
        bake=decision.bake,
    )


def record_request(request: RetrainRequest, *, store: Store) -> bool:
    """Write a retrain request, whoever made it; False when it stands there already. Counts for cooldown and budget."""
    return ledger.append(store, request_entry(request))


def request_entry(request: RetrainRequest) -> LedgerEntry:
    """The ledger entry of a retrain request. Pure."""
    return LedgerEntry(
        entry_id=request.request_id,
        model=request.model,
        kind="retrain_request",
        at=request.as_of,
        actor=request.requested_by,
        reason=request.cause,
        payload=to_record(request),
    )


def asked_again(request: RetrainRequest, answer: Review | None) -> RetrainRequest | None:
    """The request for another candidate in the place of one that was judged by rules of before; None for others. Pure.

    >>> from perennial.contracts import parse_moment
    >>> asked = RetrainRequest(model="m", run_id="r", as_of=parse_moment("2013-01-02T00:00:00Z"), cause="old",
    ...     requested_by="ada")
    >>> void = Review(model="m", version="4", verdict="rejected", reviewer="policy", reason=f"{RULES_CHANGED} since")
    >>> asked_again(asked, void).run_id, asked_again(asked, replace(void, reviewer="bob"))
    ('r__again', None)
    """
    if answer is None or answer.reviewer != "policy" or not answer.reason.startswith(RULES_CHANGED):
        return None
    return replace(request, run_id=f"{request.run_id}__again", cause=f"{request.cause}; again, for {answer.reason}")


def record_outcome(request: RetrainRequest, ended: Ending, outcome: str, *, store: Store) -> None:
    """Write what became of a retrain request, in one sentence, once."""
    ledger.append(store, outcome_entry(request, ended, outcome))


def outcome_entry(request: RetrainRequest, ended: Ending, outcome: str) -> LedgerEntry:
    """The ledger entry of what became of a retrain request. Pure."""
    return LedgerEntry(
        entry_id=digest_of("retrain_outcome", request.model, request.run_id, outcome),
        model=request.model,
        kind="retrain_outcome",
        at=request.as_of,
        actor=request.requested_by,
        reason=outcome,
        payload={**to_record(request), "ended": ended},
    )


def _evidence(facts: Facts) -> dict[str, object]:
    """Breached and unknown signals in full: those of this run, and earlier ones that may retrain."""
    measured = facts.measured
    earlier = [
        signal
        for signal in facts.signals
        if signal.role == "retrain" and signal.status != "ok" and signal not in measured
    ]
    telling = [signal for signal in measured if signal.status != "ok"]
    return {
        "signals": [signal.compact() for signal in (*telling, *earlier)],
        "n_signals_ok": len(measured) - len(telling),
    }
