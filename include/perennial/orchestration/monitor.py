"""The tasks of ``<model>__monitor``: each is one step of the pipeline, with references in and a reference out."""

import logging
from collections.abc import Callable
from typing import Any

from airflow.sdk import TriggerRule, get_current_context, task
from airflow.sdk.exceptions import AirflowSkipException

from perennial.contracts import (
    Audit,
    Batch,
    Decision,
    Signal,
    SourceKind,
    Window,
    from_record,
    to_record,
)
from perennial.errors import BatchHalted, first_of
from perennial.orchestration.errors import airflow_errors
from perennial.orchestration.session import opened
from perennial.orchestration.step import step
from perennial.orchestration.windows import window_of

log = logging.getLogger(__name__)
Reference = dict[str, Any]


@step("Open the window")
def open_window(model: str) -> Reference:
    """Which window; tables made, and what a crash had cut off finished."""
    from perennial import pipeline

    context = get_current_context()
    run = context["dag_run"]
    with opened(model) as (config, runtime):
        interval = (run.data_interval_start, run.data_interval_end)
        window = window_of(config.schedule, context["params"], interval)
        pipeline.prepare(config, runtime=runtime)
        for repaired in pipeline.reconcile(config, runtime=runtime):
            log.warning("finished what was cut off: %s", repaired)
    log.info("window %s to %s", window.start.isoformat(), window.end.isoformat())
    return to_record(window)


@step("Stage")
def stage(model: str, window: Reference, source: SourceKind) -> Reference:
    """The raw rows of the window, as they came."""
    from perennial import pipeline

    with opened(model) as (config, runtime):
        batch = pipeline.stage(config, from_record(Window, window), source, runtime=runtime)
    log.info("%s: %d rows from %s%s", source, batch.n_rows, first_of(batch.files), f"; {batch.problem or ''}")
    return to_record(batch)


@step("Audit")
def audit(model: str, batch: Reference) -> Reference:
    """Good rows, bad rows with their reasons, and the verdict over the batch."""
    from perennial import pipeline

    with opened(model) as (config, runtime):
        verdict = pipeline.audit(config, from_record(Batch, batch), runtime=runtime)
    failed = [found.expectation for found in verdict.expectations if not found.passed]
    log.info("%s: %d good rows, %d bad; %s", verdict.verdict, verdict.n_accepted, verdict.n_quarantined, verdict.reason)
    log.info("expectations failed: %s", first_of(failed) or "none")
    return to_record(verdict)


@step("Publish")
def publish(model: str, batch: Reference, verdict: Reference) -> Reference:
    """Trusted rows, all or none. Ends skipped, saying why, when the batch is halted."""
    from perennial import pipeline

    with opened(model) as (config, runtime):
        done = pipeline.publish(config, from_record(Batch, batch), from_record(Audit, verdict), runtime=runtime)
    if done.status == "halted":
        raise AirflowSkipException(f"nothing was published: {done.reason}")
    log.info("%d published, %d quarantined, %d known already", done.n_published, done.n_quarantined, done.n_duplicate)
    return to_record(done)


def _measured(signals: tuple[Signal, ...]) -> Reference:
    for signal in signals:
        if signal.status != "ok":
            log.warning(
                "%s %s: %s against %s; %s", signal.name, signal.status, signal.value, signal.threshold, signal.detail
            )
    breached = [signal.name for signal in signals if signal.status == "breached"]
    unknown = [signal.name for signal in signals if signal.status == "unknown"]
    log.info("%d signals, %d breached, %d unknown", len(signals), len(breached), len(unknown))
    return {"n_signals": len(signals), "breached": breached, "unknown": unknown}


Measure = Callable[..., tuple[Signal, ...]]


@step("Measure drift")
def measure_drift(model: str, window: Reference) -> Reference:
    """How far the features and the score are from the champion's reference."""
    from perennial import pipeline

    with opened(model) as (config, runtime):
        return _measured(pipeline.measure_drift(config, from_record(Window, window), runtime=runtime))


@step("Measure data quality")
def measure_quality(model: str, window: Reference) -> Reference:
    """Missing, unseen, out-of-range and uncastable values."""
    from perennial import pipeline

    with opened(model) as (config, runtime):
        return _measured(pipeline.measure_quality(config, from_record(Window, window), runtime=runtime))


@step("Measure performance")
def measure_performance(model: str, window: Reference) -> Reference:
    """The champion against the labels that are in."""
    from perennial import pipeline

    with opened(model) as (config, runtime):
        return _measured(pipeline.measure_performance(config, from_record(Window, window), runtime=runtime))


@step("Settle the bake")
def settle_bake(model: str, window: Reference) -> str:
    """Whether a champion on probation passed, failed, or goes on baking."""
    from perennial import pipeline

    with opened(model) as (config, runtime):
        return pipeline.settle_bake(config, from_record(Window, window), runtime=runtime)


@task.branch(task_display_name="Decide", trigger_rule=TriggerRule.NONE_FAILED)
def decide(model: str, window: Reference) -> str:
    """The id of one of the four tasks that follow; the decision itself goes to the ledger and to XCom."""
    from perennial import pipeline

    with opened(model) as (config, runtime):
        decided = pipeline.decide(config, from_record(Window, window), runtime=runtime)
    request = pipeline.request_of(decided)
    for reason in decided.reasons:
        log.info("%s: %s", decided.action, reason)
    ti = get_current_context()["ti"]
    ti.xcom_push("decision", to_record(decided))
    if request is not None:
        ti.xcom_push("request", {"request": to_record(request)})
        ti.xcom_push("run_id", request.run_id)
    return decided.action


@step("Halt", retries=0)
def halt(decision: Reference) -> None:
    """Red, with the reason: the delivery has to be mended and the run cleared."""
    with airflow_errors():
        raise BatchHalted("; ".join(from_record(Decision, decision).reasons))


@step("Roll back")
def rollback(model: str, decision: Reference) -> Reference:
    """The last version that passed its bake serves again, and ledger and registry agree on it."""
    from perennial import pipeline

    decided = from_record(Decision, decision)
    with opened(model) as (config, runtime):
        release = pipeline.roll_back(
            config,
            runtime=runtime,
            actor="policy",
            reason="; ".join(decided.reasons),
            at=decided.window.end,
            decision_id=decided.decision_id,
        )
        pipeline.verify(config, runtime=runtime)
    return to_record(release)
