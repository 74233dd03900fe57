"""The tasks of ``<model>__retrain``: a candidate is made, judged, and promoted if it is better."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import TriggerRule, get_current_context
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from perennial.config import ModelConfig
from perennial.contracts import (
    Candidate,
    Evaluation,
    FittedRun,
    Release,
    RetrainRequest,
    Snapshot,
    parse_moment,
)
from perennial.errors import ConfigError
from perennial.orchestration.errors import FAILURE
from perennial.orchestration.links import leave_link
from perennial.orchestration.tasks.step import step
from perennial.settings import load_settings

if TYPE_CHECKING:
    from perennial.pipeline import Case

log = logging.getLogger(__name__)
OVERTAKEN = "overtaken"
RUNS_AT_ONCE = 16
"""Most of them wait for a reviewer. Each step runs once at a time; releases are fenced by the ledger."""
STEPS = ("open_request", "snapshot", "fit", "evaluate", "register", "sign_off", "review", "canary", "promote")


@step("Open the request")
def open_request(case: Case) -> str:
    """The id of the request, as it stands in the ledger: that of a decision, or one written from the form.

    Ends skipped, saying why, when the champion or its bake is not the one that it was made under.
    """
    context = get_current_context()
    run, params = context["dag_run"], context["params"]
    case.begin()
    if not (request_id := _named(case.model, params.get("request"))):
        request = RetrainRequest(
            model=case.model,
            run_id=run.run_id,
            as_of=_as_of(params["as_of"]) or case.last_monitored() or run.run_after,
            cause=params["reason"],
            requested_by=run.triggering_user_name or "airflow",
            review=None if params["review"] == "policy" else params["review"],
            without_comparison=bool(params["without_comparison"]),
            anyway=bool(params.get("anyway", False)),
        )
        if why := case.cannot_pay(request):
            raise AirflowFailException(
                f"a retrain as of {request.as_of.isoformat()} can not pay, and nothing was begun: {'; '.join(why)}. "
                "Tick Anyway in the form to make the candidate all the same"
            )
        request_id = case.ask(request)
    request = case.request(request_id)
    log.info("as of %s, asked by %s: %s", request.as_of.isoformat(), request.requested_by, request.cause)
    _skip_if(case.overtaken(request_id))
    return request_id


def _skip_if(overtaken: str | None) -> None:
    """End skipped when the request acts on a world that is gone; ``conclude`` is told by XCom."""
    if overtaken:
        get_current_context()["ti"].xcom_push(OVERTAKEN, overtaken)
        raise AirflowSkipException(f"overtaken: {overtaken}")


def _named(model: str, given: Any) -> str | None:
    """The id of the request that a run was started for; runs queued by an earlier release carry the request itself."""
    if isinstance(given, dict):
        return RetrainRequest(
            model=model, run_id=str(given.get("run_id")), as_of=datetime.now(UTC), cause="", requested_by=""
        ).request_id
    return str(given) if given else None


def _as_of(text: str | None) -> datetime | None:
    """What the form says, which no future may be. Raises ConfigError.

    >>> _as_of("2013-01-15T00:00:00Z").day, _as_of(None)
    (15, None)
    >>> try: _as_of("2999-01-01T00:00:00Z")
    ... except ConfigError as error: print(str(error)[:52])
    as_of = '2999-01-01T00:00:00Z' lies in the future; i
    """
    if not text:
        return None
    try:
        moment = parse_moment(text)
    except ValueError as error:
        raise ConfigError(f"as_of = {error}") from error
    if moment > datetime.now(UTC):
        raise ConfigError(f"as_of = {text!r} lies in the future; its cooldown would hold back every retrain until then")
    return moment


@step("Freeze the data")
def snapshot(case: Case, request_id: str) -> Snapshot:
    """Training rows and later holdout rows, as files with a digest."""
    frozen = case.snapshot(request_id)
    log.info("%s: %d training rows, %d holdout rows", frozen.snapshot_id, frozen.n_train, frozen.n_holdout)
    return frozen


def fit_timeout(config: ModelConfig) -> timedelta:
    """The recipes' own time, which they are told of, and some for reading rows and writing to MLflow.

    >>> fit_timeout(flights)
    datetime.timedelta(seconds=900)
    """
    return config.training.longest + timedelta(minutes=10)


def fit_pool() -> str:
    """The pool whose slots the fits of all models share, as the settings name it."""
    return load_settings().fit_pool


@step("Fit the candidate")
def fit(case: Case, request_id: str, frozen: Snapshot) -> FittedRun:
    """The best of the recipes on the training rows, in an MLflow run. Ends skipped when the request was overtaken."""
    _skip_if(case.overtaken(request_id, begun=True))
    fitted = case.fit(request_id, frozen, airflow_url=get_current_context()["ti"].log_url)
    log.info("MLflow run %s: %d rows, cross-validated %s", fitted.mlflow_run_id, fitted.n_train, fitted.cv)
    if fitted.chosen:
        log.info("chosen by %s: %s with %s", fitted.chosen.metric, fitted.chosen.recipe, fitted.chosen.params)
    return fitted


@step("Compare with the champion")
def evaluate(case: Case, fitted: FittedRun, frozen: Snapshot) -> Evaluation:
    """Candidate and champion on the same later rows."""
    evaluation = case.evaluate(fitted, frozen)
    log.info("candidate %s; %s %s", evaluation.candidate, evaluation.baseline, evaluation.baseline_metrics)
    return evaluation


@step("Register the version")
def register(case: Case, fitted: FittedRun, frozen: Snapshot) -> Candidate:
    """A new version in MLflow, not yet signed off."""
    candidate = case.register(fitted, frozen)
    leave_link(get_current_context()["ti"], case.model, candidate.version)
    log.info("version %s, digest %s", candidate.version, candidate.artifact_digest)
    return candidate


@step("Sign off")
def sign_off(case: Case, request_id: str, candidate: Candidate, evaluation: Evaluation, frozen: Snapshot) -> str:
    """The id of the verdict over all gates. Failed ones are a result, not an error: what follows ends skipped.

    Ends skipped itself when the request was overtaken.
    """
    _skip_if(case.overtaken(request_id, begun=True))
    signed = case.sign_off(request_id, candidate, evaluation, frozen)
    for gate in signed.gates:
        log.log(
            logging.INFO if gate.passed else logging.WARNING, "gate %s: %s: %s", gate.name, gate.passed, gate.detail
        )
    leave_link(get_current_context()["ti"], case.model, signed.version)
    return signed.signoff_id


@step("Promote")
def promote(case: Case, request_id: str, signoff_id: str) -> Release:
    """The approved version becomes champion. Ends skipped, saying why, when it was rejected or overtaken."""
    answer = case.review(signoff_id)
    if answer is not None and answer.verdict == "rejected":
        raise AirflowSkipException(f"version {answer.version} rejected by {answer.reviewer}: {answer.reason}")
    _skip_if(case.overtaken(request_id, begun=True))
    release = case.promote(signoff_id, request_id=request_id)
    leave_link(get_current_context()["ti"], case.model, release.version)
    log.info("version %s serves instead of %s", release.version, release.previous)
    return release


@step("Record the outcome", trigger_rule=TriggerRule.ALL_DONE)
def conclude(case: Case, request_id: str | None) -> str:
    """What became of the request, into the ledger. Red when a step failed, so that the run is."""
    context = get_current_context()
    ti, (failure, overtaken) = context["ti"], _ending(context)
    if overtaken:
        raise AirflowSkipException("the request was overtaken, which is its outcome in the ledger")
    if request_id is None:
        raise AirflowFailException(f"there was no request: {failure}")
    outcome = case.conclude(request_id, signoff_id=ti.xcom_pull("sign_off"), failure=failure)
    if failure:
        raise AirflowFailException(failure)
    log.info(outcome)
    return outcome


@step("Verify")
def verify(case: Case) -> None:
    """What answers requests followed the promotion, where a setting names it."""
    if followed := case.verify_traffic():
        log.info(followed.reason)


def _ending(context: Any) -> tuple[str | None, bool]:
    """What failed first and how, and whether a step ended skipped because the request was overtaken."""
    ti, run_id = context["ti"], context["dag_run"].run_id
    states = ti.get_task_states(ti.dag_id, task_ids=list(STEPS), run_ids=[run_id])[run_id]
    for task_id in STEPS:
        if states.get(task_id) == "failed":
            return f"{task_id} failed: {ti.xcom_pull(task_id, key=FAILURE) or 'see its log'}", False
    skipped = [task_id for task_id in STEPS if states.get(task_id) == "skipped"]
    return None, bool(skipped and ti.xcom_pull(skipped[0], key=OVERTAKEN))
