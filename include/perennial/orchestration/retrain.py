"""The tasks of ``<model>__retrain``: a candidate is made, judged, and promoted if it is better."""

import logging
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk import TriggerRule, get_current_context
from airflow.sdk.exceptions import AirflowFailException

from perennial.config import ModelConfig
from perennial.contracts import (
    Candidate,
    Evaluation,
    Fitted,
    RetrainRequest,
    Review,
    Signoff,
    Snapshot,
    from_record,
    to_record,
    utc,
)
from perennial.errors import ConfigError
from perennial.orchestration.errors import FAILURE
from perennial.orchestration.links import leave_link
from perennial.orchestration.moments import last_monitored
from perennial.orchestration.review import require_approval
from perennial.orchestration.session import opened
from perennial.orchestration.step import step

log = logging.getLogger(__name__)
Reference = dict[str, Any]
STEPS = ("open_request", "snapshot", "fit", "evaluate", "register", "gates", "review", "promote")


@step("Open the request")
def open_request(model: str) -> Reference:
    """The request of a decision as it stands in the ledger, or that of the form."""
    from perennial import pipeline

    context = get_current_context()
    run, params = context["dag_run"], context["params"]
    with opened(model) as (config, runtime):
        pipeline.prepare(config, runtime=runtime)
        pipeline.reconcile(config, runtime=runtime)
        if given := params.get("request"):
            request = from_record(RetrainRequest, given)
        else:
            request = RetrainRequest(
                model=model,
                run_id=run.run_id,
                as_of=_moment(params["as_of"]) or last_monitored(model, runtime=runtime) or run.run_after,
                cause=params["reason"],
                requested_by=run.triggering_user_name or "airflow",
                review=None if params["review"] == "policy" else params["review"],
            )
    log.info("as of %s, asked by %s: %s", request.as_of.isoformat(), request.requested_by, request.cause)
    return to_record(request)


def _moment(text: str | None) -> datetime | None:
    if not text:
        return None
    try:
        moment = utc(datetime.fromisoformat(text))
    except ValueError as error:
        raise ConfigError(f"as_of = {text!r}: {error}; write it as 2013-01-01T00:00:00Z") from error
    if moment > datetime.now(UTC):
        raise ConfigError(f"as_of = {text!r} lies in the future; its cooldown would hold back every retrain until then")
    return moment


@step("Freeze the data")
def snapshot(model: str, request: Reference) -> Reference:
    """Training rows and later holdout rows, as files with a digest."""
    from perennial import pipeline

    with opened(model) as (config, runtime):
        frozen = pipeline.snapshot(config, from_record(RetrainRequest, request), runtime=runtime)
    log.info("%s: %d training rows, %d holdout rows", frozen.snapshot_id, frozen.n_train, frozen.n_holdout)
    return to_record(frozen)


def fit_timeout(config: ModelConfig) -> timedelta:
    """The recipe's own time, which it is told of, and some for reading rows and writing to MLflow."""
    return config.training.timeout + timedelta(minutes=10)


@step("Fit the candidate")
def fit(model: str, request: Reference, frozen: Reference) -> Reference:
    """The recipe on the training rows, in an MLflow run."""
    from perennial import pipeline

    asked, rows = from_record(RetrainRequest, request), from_record(Snapshot, frozen)
    with opened(model) as (config, runtime):
        fitted = pipeline.fit(config, asked, rows, runtime=runtime)
    log.info("MLflow run %s: %d rows, cross-validated %s", fitted.mlflow_run_id, fitted.n_train, fitted.cv)
    return to_record(fitted)


@step("Compare with the champion")
def evaluate(model: str, fitted: Reference, frozen: Reference) -> Reference:
    """Candidate and champion on the same later rows."""
    from perennial import pipeline

    made, rows = from_record(Fitted, fitted), from_record(Snapshot, frozen)
    with opened(model) as (config, runtime):
        evaluation = pipeline.evaluate(config, made, rows, runtime=runtime)
    log.info("candidate %s; %s %s", evaluation.candidate, evaluation.baseline, evaluation.baseline_metrics)
    return to_record(evaluation)


@step("Register the version")
def register(model: str, fitted: Reference, frozen: Reference) -> Reference:
    """A new version in MLflow, not yet signed off."""
    from perennial import pipeline

    made, rows = from_record(Fitted, fitted), from_record(Snapshot, frozen)
    with opened(model) as (config, runtime):
        candidate = pipeline.register(config, made, rows, runtime=runtime)
    leave_link(get_current_context()["ti"], model, candidate.version)
    log.info("version %s, digest %s", candidate.version, candidate.artifact_digest)
    return to_record(candidate)


@step("Judge the gates")
def gates(model: str, request: Reference, candidate: Reference, evaluation: Reference, frozen: Reference) -> Reference:
    """The verdict over all gates. Failed ones are a result, not an error: what follows ends skipped."""
    from perennial import pipeline

    asked, made = from_record(RetrainRequest, request), from_record(Candidate, candidate)
    found, rows = from_record(Evaluation, evaluation), from_record(Snapshot, frozen)
    with opened(model) as (config, runtime):
        signed = pipeline.sign_off(config, asked, made, found, rows, runtime=runtime)
    for gate in signed.gates:
        log.log(
            logging.INFO if gate.passed else logging.WARNING, "gate %s: %s: %s", gate.name, gate.passed, gate.detail
        )
    leave_link(get_current_context()["ti"], model, signed.version)
    return to_record(signed)


@step("Promote")
def promote(model: str, request: Reference, signoff: Reference, review: Reference) -> Reference:
    """The approved version becomes champion. Ends skipped, saying why, when it was rejected."""
    from perennial import pipeline

    asked, signed, answer = (
        from_record(RetrainRequest, request),
        from_record(Signoff, signoff),
        from_record(Review, review),
    )
    require_approval(answer)
    with opened(model) as (config, runtime):
        release = pipeline.promote(config, signed, answer, runtime=runtime, actor=answer.reviewer, at=asked.as_of)
        pipeline.verify(config, runtime=runtime)
    leave_link(get_current_context()["ti"], model, release.version)
    log.info("version %s serves instead of %s", release.version, release.previous)
    return to_record(release)


@step("Record the outcome", trigger_rule=TriggerRule.ALL_DONE)
def conclude(model: str, request: Reference | None) -> str:
    """What became of the request, into the ledger. Red when a step failed, so that the run is."""
    from perennial import pipeline

    context = get_current_context()
    failed = _failure(context)
    if request is None:
        raise AirflowFailException(f"there was no request: {failed}")
    outcome = failed or _outcome(context["ti"])
    with opened(model) as (config, runtime):
        pipeline.record_outcome(config, from_record(RetrainRequest, request), outcome, runtime=runtime)
    if failed:
        raise AirflowFailException(failed)
    log.info(outcome)
    return outcome


def _failure(context: Any) -> str | None:
    ti, run_id = context["ti"], context["dag_run"].run_id
    states = ti.get_task_states(ti.dag_id, task_ids=list(STEPS), run_ids=[run_id])[run_id]
    for task_id in STEPS:
        if states.get(task_id) == "failed":
            return f"{task_id} failed: {ti.xcom_pull(task_id, key=FAILURE) or 'see its log'}"
    return None


def _outcome(ti: Any) -> str:
    from perennial import pipeline

    signed = from_record(Signoff, ti.xcom_pull("gates"))
    if not signed.passed:
        return pipeline.refusal(signed)
    answer = from_record(Review, ti.xcom_pull("review"))
    if answer.verdict == "rejected":
        return f"version {signed.version} rejected by {answer.reviewer}: {answer.reason}"
    return f"version {signed.version} promoted"
