"""The verdict over all gates: a table on the model version, tags beside it, and a line in the ledger."""

from datetime import datetime
from typing import Literal

from perennial import ledger
from perennial.config import ModelConfig
from perennial.contracts import (
    SERVING,
    Candidate,
    Evaluation,
    Flag,
    Gate,
    LedgerEntry,
    Record,
    ReleaseState,
    Signoff,
    Snapshot,
    digest_of,
    from_record,
    to_record,
)
from perennial.contracts.tags import ENTRY_TAG, GATES_TAG, REASON_TAG, REVIEWER_TAG, SECOND_TAG, SIGNOFF_TAG
from perennial.errors import SignoffError, first_of
from perennial.evidence.deliveries.traced import batches_of, deliveries
from perennial.registry import Registry
from perennial.registry.runs import log_page
from perennial.registry.versions import describe_version, set_version_tags, version_tags
from perennial.signoff.answering.polling import PENDING
from perennial.signoff.conditions.data import leak_flags
from perennial.signoff.flagged import read_flags
from perennial.signoff.report.card import CARD, card
from perennial.signoff.report.describing import DELIVERIES, REPORT, describe
from perennial.signoff.report.made_of import deliveries_page
from perennial.signoff.report.page import page
from perennial.store import Store

NOT_REQUIRED = "not required"
FAILED = "failed"
ReviewMode = Literal["auto", "manual"]


def review_mode(
    config: ModelConfig,
    state: ReleaseState,
    override: ReviewMode | None,
    flags: tuple[Flag, ...] = (),
    gates: tuple[Gate, ...] = (),
) -> ReviewMode:
    """``manual`` when anything asks for it: the mode, the first version, a rollback before, the request, a flag. Pure.

    In the mode ``borderline`` a gate that passed without its rows being enough does.

    >>> serving = ReleaseState(model="m", champion="3")
    >>> review_mode(flights, serving, None), review_mode(flights, ReleaseState(model="m"), None)
    ('auto', 'auto')
    >>> review_mode(flights, ReleaseState(model="m", champion="3", released_since_rollback=False), None)
    'manual'
    >>> found = Flag(name="flag/label_rate", window=day(0), detail="label rate 0.73")
    >>> review_mode(flights, serving, "auto", (found,))
    'manual'
    """
    policy = config.signoff.review
    asks = (
        "manual" in (policy.mode, override),
        state.champion is None and policy.first_version == "manual",
        not state.released_since_rollback and policy.after_rollback == "manual",
        bool(flags),
        policy.mode == "borderline" and any(gate.borderline for gate in gates),
    )
    return "manual" if any(asks) else "auto"


def sign_off(
    config: ModelConfig,
    candidate: Candidate,
    evaluation: Evaluation,
    snapshot: Snapshot,
    gates: tuple[Gate, ...],
    *,
    state: ReleaseState,
    registry: Registry,
    store: Store,
    as_of: datetime,
    review_override: ReviewMode | None = None,
    record: Record | None = None,
    requested_by: str = "",
) -> Signoff:
    """The verdict, written to the ledger and shown on the version.

    The champion seen is the one that the evaluation compared with. The same candidate against the same champion, by the
    same rules and on the same figures, is signed off once: a second call returns the recorded verdict, and a reviewer's
    tag stays. Other rules, figures or flags make another signoff, with a review of its own. A candidate that became the
    champion is not judged against itself: it keeps the verdict that made it champion. The ``record`` of the gates is
    told to the reviewer. Raises SignoffError when the evidence belongs to another candidate, or the champion changed
    since the evaluation; RegistryUnavailable.
    """
    _belong_together(config, candidate, evaluation, snapshot, gates)
    if state.champion == candidate.version and (standing := _released_on(candidate, store=store)):
        return standing
    flags = (
        *read_flags(config, snapshot, excluded=state.excluded, store=store),
        *leak_flags(config, evaluation, snapshot),
    )
    made = verdict(
        config,
        candidate,
        evaluation,
        snapshot,
        gates,
        review=review_mode(config, state, review_override, flags, gates),
        as_of=as_of,
        flags=flags,
        requested_by=requested_by,
    )
    signoff = _recorded(made, store=store)
    if signoff is None:
        if state.champion != made.champion_seen:
            raise SignoffError(
                f"{config.model} version {made.version} was compared with champion {made.champion_seen}, but the "
                f"champion is now {state.champion}: clear the task evaluate, so that they are compared"
            )
        ledger.append(store, signoff_entry(config, made, evaluation))
        signoff = _recorded(made, store=store) or made
    brought = deliveries(config, batches_of(config, snapshot, store=store), store=store)
    log_page(registry, evaluation.mlflow_run_id, DELIVERIES, deliveries_page(config.model, made.version, brought))
    _show(config, signoff, evaluation, record, registry=registry)
    return signoff


def verdict(
    config: ModelConfig,
    candidate: Candidate,
    evaluation: Evaluation,
    snapshot: Snapshot,
    gates: tuple[Gate, ...],
    *,
    review: ReviewMode,
    as_of: datetime,
    flags: tuple[Flag, ...] = (),
    requested_by: str = "",
) -> Signoff:
    """The verdict over the gates of one candidate. Pure."""
    return Signoff(
        model=config.model,
        version=candidate.version,
        artifact_digest=candidate.artifact_digest,
        champion_seen=None if evaluation.baseline == "constant" else evaluation.baseline,
        gates=gates,
        passed=all(gate.passed for gate in gates),
        review=review,
        as_of=as_of,
        train=snapshot.train,
        holdout=snapshot.holdout,
        config_digest=config.digest,
        evaluation_digest=_digest(evaluation, gates, flags),
        flags=flags,
        requested_by=requested_by,
        earlier=snapshot.earlier,
        threshold=evaluation.chosen.threshold if evaluation.chosen else None,
    )


def _digest(evaluation: Evaluation, gates: tuple[Gate, ...], flags: tuple[Flag, ...]) -> str:
    """What was judged, to nine decimals: sums over threads differ in the last ones from run to run."""
    figures = [evaluation.candidate, evaluation.candidate_paired, evaluation.baseline_metrics]
    rounded = [{name: round(value, 9) for name, value in found.items()} for found in figures]
    judged = [(gate.name, gate.passed, gate.bound, _stable(gate)) for gate in gates]
    flagged = [[(flag.name, flag.window.key) for flag in flags]] if flags else []
    unsure = [names] if (names := [gate.name for gate in gates if gate.borderline]) else []
    n_rows = evaluation.n_rows, evaluation.n_paired_rows
    return digest_of(evaluation.mlflow_run_id, *n_rows, rounded, judged, *flagged, *unsure)


def _stable(gate: Gate) -> float | None:
    """The value, but for what is measured anew each time: a second look at the same candidate is no other signoff."""
    return None if gate.value is None or gate.name.startswith(SERVING) else round(gate.value, 9)


def _belong_together(
    config: ModelConfig, candidate: Candidate, evaluation: Evaluation, snapshot: Snapshot, gates: tuple[Gate, ...]
) -> None:
    if not gates:
        raise SignoffError(f"{config.model} version {candidate.version}: no gates, so nothing was judged")
    names = {config.model, candidate.model, evaluation.model, snapshot.model}
    if len(names) != 1:
        raise SignoffError(f"evidence of different models: {', '.join(sorted(names))}")
    if candidate.mlflow_run_id != evaluation.mlflow_run_id or candidate.snapshot_id != snapshot.snapshot_id:
        raise SignoffError(
            f"{config.model} version {candidate.version} is from run {candidate.mlflow_run_id} and snapshot "
            f"{candidate.snapshot_id}; the evaluation is of run {evaluation.mlflow_run_id}, the snapshot "
            f"{snapshot.snapshot_id}"
        )


def _recorded(signoff: Signoff, *, store: Store) -> Signoff | None:
    entry = ledger.entry(store, signoff.signoff_id)
    return None if entry is None else from_record(Signoff, entry.payload["signoff"])


def _released_on(candidate: Candidate, *, store: Store) -> Signoff | None:
    """The newest signoff that the very files of a candidate passed, or were promoted past the gates of; or None."""
    history = ledger.entries(store, candidate.model, kinds=["signoff", "promotion"])
    released = {item.payload.get("signoff") for item in history if item.kind == "promotion"}
    signed = [
        from_record(Signoff, item.payload["signoff"])
        for item in history
        if item.kind == "signoff" and item.version == candidate.version
    ]
    standing = [
        item
        for item in signed
        if item.artifact_digest == candidate.artifact_digest and (item.passed or item.signoff_id in released)
    ]
    return standing[-1] if standing else None


def signoff_entry(config: ModelConfig, signoff: Signoff, evaluation: Evaluation) -> LedgerEntry:
    """The ledger entry of a verdict. Pure."""
    failed = [f"{gate.name}: {gate.detail}" for gate in signoff.gates if not gate.passed]
    verdict = "; ".join(failed) or f"all {len(signoff.gates)} gates passed"
    flagged = f"; made from flagged data, so a person decides: {first_of(signoff.flags)}" if signoff.flags else ""
    return LedgerEntry(
        entry_id=signoff.signoff_id,
        model=signoff.model,
        kind="signoff",
        at=signoff.as_of,
        actor="policy",
        reason=verdict + flagged,
        version=signoff.version,
        payload={
            "signoff": to_record(signoff),
            "evaluation": to_record(evaluation),
            "config_digest": config.digest,
        },
    )


def _show(
    config: ModelConfig, signoff: Signoff, evaluation: Evaluation, record: Record | None, *, registry: Registry
) -> None:
    """Table and tags on the version. The tag that a reviewer sets is written once for each signoff."""
    name, version = signoff.model, signoff.version
    run_id = evaluation.mlflow_run_id
    log_page(registry, run_id, REPORT, page(config, signoff, evaluation, record=record))
    log_page(registry, run_id, CARD, card(config, signoff, evaluation, record))
    describe_version(registry, name, version, describe(config, signoff, evaluation, record))
    set_version_tags(registry, name, version, {GATES_TAG: "passed" if signoff.passed else FAILED})
    if version_tags(registry, name, version).get(ENTRY_TAG) == signoff.signoff_id:
        return
    tags = {SIGNOFF_TAG: NOT_REQUIRED if signoff.passed else FAILED}
    if (signoff.passed and signoff.review == "manual") or (signoff.failed and not signoff.closed):
        # an empty tag is one that the reviewer only has to fill in, and takes away the name under an older signoff
        second = {SECOND_TAG: ""} if signoff.failed or config.signoff.review.people > 1 else {}
        tags = {SIGNOFF_TAG: PENDING if signoff.passed else FAILED, REVIEWER_TAG: "", REASON_TAG: "", **second}
    set_version_tags(registry, name, version, {**tags, ENTRY_TAG: signoff.signoff_id})
