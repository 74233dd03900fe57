"""What follows a decision of a trial: a retrain with its gates and its promotion, or a rollback."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from perennial.contracts import (
    Candidate,
    DataFacts,
    Decision,
    Ending,
    Evaluation,
    FittedRun,
    RetrainRequest,
    Review,
    Signoff,
    Snapshot,
    Window,
)
from perennial.decision.record import outcome_entry, request_entry, request_of
from perennial.errors import PermanentError, TrainingError
from perennial.evidence.stretches import Labelled, labelled_windows, train_before
from perennial.evidence.training.earlier import earlier_stretches
from perennial.release.hold import word_on
from perennial.release.intent import completed, hold_of
from perennial.release.promote import promotion_intent
from perennial.release.rollback import rollback_intent
from perennial.signoff.conditions.data import leak_flags
from perennial.signoff.flagged import flags_on
from perennial.signoff.gates import judge
from perennial.signoff.signing import review_mode, signoff_entry, verdict
from perennial.training.baseline import Rival, against_champion, against_constant
from perennial.training.evaluate import evaluation_of
from perennial.training.measured.data import MOST_ROWS, columns_asked, data_facts
from perennial.training.measured.groups import columns_of
from perennial.training.rows import labels_of
from perennial.training.snapshot import mature_holdout, refuse_held, too_few_to_train
from perennial.trial.state import Trial, TrialVersion
from perennial.trial.taught import training_places

People = Literal["approve", "absent"]
"""What people do: approve what waits for their review and acknowledge holds at the next window, or never answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Retrain:
    """A retrain as of a moment: how it ended, why, and the candidate, if one was fitted.

    ``automatic`` is False where a person had to answer. ``standard_error`` is that of the gain that the gate judged.
    """

    at: datetime
    ended: Ending
    reason: str
    first: bool
    version: str | None = None
    automatic: bool = True
    standard_error: float | None = None
    cpu_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Undone:
    """A rollback: the version taken back, and the one that serves again."""

    at: datetime
    gone: str
    back: str
    reason: str


def retrain(trial: Trial, decision: Decision, *, people: People) -> Retrain:
    """Ask for what was decided, fit, judge, and promote what passed; how it ended is in the trial's ledger."""
    request = request_of(decision)
    if request is None:
        raise TrainingError(f"decision {decision.decision_id} asks for no retrain")
    first = trial.write(request_entry(request)).champion is None
    try:
        version, snapshot = _fitted(trial, request)
    except PermanentError as error:
        trial.write(outcome_entry(request, "failed", str(error)))
        return Retrain(at=request.as_of, ended="failed", reason=str(error), first=first)
    evaluation, signed = _signed(trial, request, version, snapshot)
    ended, reason = _released(trial, request, signed, people=people)
    trial.write(outcome_entry(request, ended, reason))
    wanted = evaluation.gains.get(trial.config.signoff.versus_champion.metric)
    return Retrain(
        at=request.as_of,
        ended=ended,
        reason=reason,
        first=first,
        version=version,
        automatic=signed.review == "auto",
        standard_error=wanted.interval.standard_error if wanted and wanted.interval else None,
        cpu_s=trial.versions[version].fit.cpu_s,
    )


def _fitted(trial: Trial, request: RetrainRequest) -> tuple[str, Snapshot]:
    config, log, state, as_of = trial.config, trial.log, trial.state, request.as_of
    holdout = mature_holdout(config, as_of, trial.choice(as_of, excluded=state.excluded))
    train = train_before(config, holdout.stretch)
    refuse_held((*earlier_stretches(config, train), train, holdout.stretch), state)
    fitted_on = training_places(config, log, train, as_of=as_of, excluded=state.excluded)
    if few := too_few_to_train(config, len(fitted_on), train, state):
        raise TrainingError(few)
    judged_on = log.known(log.within(holdout.stretch, excluded=state.excluded), as_of)
    fit = trial.fits.fit(config, fitted_on, slice(int(judged_on[0]), log.rows.num_rows))
    version = str(len(trial.versions) + 1)
    trial.versions[version] = TrialVersion(fit=fit, n_train=len(fitted_on), holdout=judged_on)
    trial.trained_on[version] = fitted_on
    return version, _snapshot(trial, request, version, holdout)


def _snapshot(trial: Trial, request: RetrainRequest, version: str, holdout: Labelled) -> Snapshot:
    made, train = trial.versions[version], train_before(trial.config, holdout.stretch)
    return Snapshot(
        snapshot_id=version,
        model=trial.config.model,
        as_of=request.as_of,
        train_uri="",
        holdout_uri="",
        digest=trial.log.digest,
        train=train,
        holdout=holdout.stretch,
        n_train=made.n_train,
        n_holdout=len(made.holdout),
        holdout_label_coverage=holdout.n_labelled / holdout.n_rows,
        earlier=earlier_stretches(trial.config, train),
    )


def _signed(trial: Trial, request: RetrainRequest, version: str, snapshot: Snapshot) -> tuple[Evaluation, Signoff]:
    config, state = trial.config, trial.state
    model = config.model
    fitted = FittedRun(
        model=model,
        mlflow_run_id=version,
        model_uri="",
        snapshot_id=version,
        n_train=snapshot.n_train,
        cv={},
        cpu_s=trial.versions[version].fit.cpu_s,
    )
    candidate = Candidate(
        model=model, version=version, mlflow_run_id=version, artifact_digest=version, snapshot_id=version
    )
    answers = trial.answers(version, trial.versions[version].holdout)
    rows = trial.log.table(trial.versions[version].holdout, columns_of(config)) if columns_of(config) else None
    compared, facts = _compared(trial, version), _facts(trial, version, request.as_of)
    windows = labelled_windows(
        config,
        snapshot.holdout,
        request.as_of,
        count=lambda window: trial.count(window, as_of=request.as_of, excluded=state.excluded),
    )
    evaluation = evaluation_of(config, fitted, snapshot, answers, compared, rows=rows, facts=facts, windows=windows)
    attempt = 1 + len(trial.history.judged_against(state.champion) - {version})
    gates = judge(config, evaluation, parity_gap=0.0, parity_detail="one process scores all", attempt=attempt)
    found = flags_on(config, trial.flagged(), snapshot, excluded=state.excluded)
    flags = (*found, *leak_flags(config, evaluation, snapshot))
    review = review_mode(config, state, request.review, flags, gates)
    signed = verdict(config, candidate, evaluation, snapshot, gates, review=review, as_of=request.as_of, flags=flags)
    signed = replace(signed, threshold=trial.versions[version].fit.threshold)
    trial.write(signoff_entry(config, signed, evaluation))
    return evaluation, signed


def _facts(trial: Trial, version: str, as_of: datetime) -> DataFacts:
    config, log = trial.config, trial.log
    places = trial.trained_on[version], trial.versions[version].holdout
    whole = [log.table(one, columns_asked(config)) for one in places]
    samples = [log.table(log.drawn(one, MOST_ROWS)) for one in places]
    newest = log.drawn(log.within(Window(start=as_of - config.training.holdout, end=as_of)), MOST_ROWS)
    return data_facts(config, (whole[0], whole[1]), (samples[0], samples[1]), log.table(newest))


def _compared(trial: Trial, version: str) -> Rival:
    config, state = trial.config, trial.state
    answers = trial.answers(version, trial.versions[version].holdout)
    lineage = state.lineage
    if state.champion is None or lineage is None:
        trained_on = trial.log.table(trial.trained_on[version], ["label"])
        return against_constant(config, answers, labels_of(config, trained_on))
    later = answers.since(lineage.holdout.end)
    if not later.any():
        problem = f"no holdout row lies after the champion's own holdout, {lineage.holdout.key}"
        return Rival(baseline=state.champion, n_rows=0, candidate={}, metrics={}, problem=problem)
    theirs = trial.answers(state.champion, trial.versions[version].holdout[later])
    return replace(against_champion(config, state.champion, answers.rows(later), theirs), later=later)


def _released(trial: Trial, request: RetrainRequest, signed: Signoff, *, people: People) -> tuple[Ending, str]:
    if not signed.passed:
        return "refused", "; ".join(f"{gate.name}: {gate.detail}" for gate in signed.failed)
    if refusal := trial.state.refusal_of(signed):
        return "failed", refusal
    if signed.review == "manual" and people == "absent":
        return "rejected", "nobody answered its review in time"
    who = "policy" if signed.review == "auto" else "a person"
    review = Review(
        model=signed.model, version=signed.version, verdict="approved", reviewer=who, reason="its gates passed"
    )
    intent = promotion_intent(signed, review, request.request_id, nothing_serves=False)
    trial.write(intent, completed(intent))
    return "promoted", f"version {signed.version} promoted by {who}"


def roll_back(trial: Trial, decision: Decision) -> Undone | None:
    """The version trusted last serves again, and what made the other one is on hold; None where nothing is trusted."""
    state = trial.state
    if state.fallback is None or state.champion is None:
        return None
    intent = rollback_intent(
        state,
        state.fallback,
        ("decision", decision.decision_id),
        actor="policy",
        reason="; ".join(decision.reasons),
        at=decision.window.end,
        decision_id=decision.decision_id,
    )
    hold = hold_of(intent)
    trial.write(intent, completed(intent), *([hold] if hold else []))
    return Undone(at=intent.at, gone=state.champion, back=state.fallback, reason=intent.reason)


def acknowledge_all(trial: Trial, *, at: datetime) -> None:
    """People who found nothing wrong with what is held: retraining may go on, with its rows."""
    for hold in trial.state.holds:
        if not hold.acknowledged:
            found = "nothing was found wrong with it"
            word = word_on(trial.config.model, hold.entry_id, actor="a person", reason=found, exclude=False, at=at)
            trial.write(word)
