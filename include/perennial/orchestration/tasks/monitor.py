"""The tasks of ``<model>__monitor``: each is one step of the case, with references in and a reference out."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from airflow.sdk import TriggerRule, get_current_context
from airflow.sdk.exceptions import AirflowSkipException

from perennial.contracts import (
    Audit,
    BakeState,
    Batch,
    Publication,
    Release,
    RetrainRequest,
    Signal,
    SourceKind,
    Window,
)
from perennial.errors import BatchHalted, first_of
from perennial.orchestration.tasks.step import branch, step
from perennial.orchestration.windows import window_of

if TYPE_CHECKING:
    from perennial.pipeline import Case

log = logging.getLogger(__name__)


@step("Open the window")
def open_window(case: Case) -> Window:
    """Which window; tables made, and what a crash had cut off finished."""
    context = get_current_context()
    run = context["dag_run"]
    interval = (run.data_interval_start, run.data_interval_end)
    window = window_of(case.config.schedule, context["params"], interval)
    for repaired in case.begin():
        log.warning("finished what was cut off: %s", repaired)
    log.info("window %s to %s", window.start.isoformat(), window.end.isoformat())
    return window


@step("Stage")
def stage(case: Case, window: Window, source: SourceKind) -> Batch:
    """The raw rows of the window, as they came."""
    batch = case.stage(window, source)
    log.info("%s: %d rows from %s%s", source, batch.n_rows, first_of(batch.files), f"; {batch.problem or ''}")
    return batch


@step("Audit")
def audit(case: Case, batch: Batch) -> Audit:
    """Good rows, bad rows with their reasons, and the verdict over the batch."""
    audited = case.audit(batch)
    failed = [found.expectation for found in audited.expectations if not found.passed]
    log.info("%s: %d good rows, %d bad; %s", audited.verdict, audited.n_accepted, audited.n_quarantined, audited.reason)
    log.info("expectations failed: %s", first_of(failed) or "none")
    return audited


@step("Publish")
def publish(case: Case, batch: Batch, audited: Audit) -> Publication:
    """Trusted rows, all or none. Ends skipped, saying why, when the batch is halted."""
    done = case.publish(batch, audited)
    if done.status == "halted":
        raise AirflowSkipException(f"nothing was published: {done.reason}")
    log.info("%d published, %d quarantined, %d known already", done.n_published, done.n_quarantined, done.n_duplicate)
    return done


@step("Publish the shadow", trigger_rule=TriggerRule.NONE_FAILED)
def take_shadow(case: Case, window: Window) -> Publication | None:
    """What a challenger answered for nobody, apart. Red when its delivery is broken; nothing else waits for it."""
    done = case.take_shadow(window)
    if done is not None and done.status == "halted":
        raise BatchHalted(f"nothing of the shadow was published: {done.reason}")
    return done


def _summary(signals: tuple[Signal, ...]) -> dict[str, Any]:
    for signal in signals:
        if signal.status != "ok":
            log.warning(
                "%s %s: %s (%s) against %s; %s",
                signal.name, signal.status, signal.value, signal.interval, signal.threshold, signal.detail,
            )  # fmt: skip
    breached = [signal.name for signal in signals if signal.status == "breached"]
    unknown = [signal.name for signal in signals if signal.status == "unknown"]
    undecided = [signal.name for signal in signals if signal.status == "undecided"]
    log.info(
        "%d signals, %d breached, %d undecided, %d unknown", len(signals), len(breached), len(undecided), len(unknown)
    )
    return {"n_signals": len(signals), "breached": breached, "undecided": undecided, "unknown": unknown}


@step("Measure drift")
def measure_drift(case: Case, window: Window) -> dict[str, Any]:
    """How far the features and the score are from the champion's reference."""
    found = case.measure_drift(window)
    return {**_summary(found), "version": found[0].version}


@step("Draw the drift", trigger_rule=TriggerRule.NONE_FAILED)
def draw_drift(case: Case, window: Window, measured: dict[str, Any] | None) -> str | None:
    """Evidently's page of the window beside what it was compared with; no decision waits for it.

    Of a halted delivery nothing was ``measured``, and nothing is drawn.
    """
    return case.draw_drift(window, measured["version"]) if measured else None


@step("Measure data quality")
def measure_quality(case: Case, window: Window) -> dict[str, Any]:
    """Missing, unseen, out-of-range and uncastable values."""
    return _summary(case.measure_quality(window))


@step("Measure performance")
def measure_performance(case: Case, window: Window) -> dict[str, Any]:
    """The champion against the labels that are in."""
    return _summary(case.measure_performance(window))


@step("Measure the gain")
def measure_gain(case: Case, window: Window) -> dict[str, Any]:
    """What a model fitted today would gain, beside the champion on the labels that are in."""
    return _summary(case.measure_gain(window))


@step("Settle the bake")
def settle_bake(case: Case, window: Window) -> BakeState:
    """Whether a champion on probation passed, failed, or goes on baking."""
    return case.settle_bake(window)


@branch("Decide", trigger_rule=TriggerRule.NONE_FAILED)
def decide(case: Case, window: Window) -> str:
    """The id of one of the five tasks that follow; the decision itself goes to the ledger and to XCom."""
    decided = case.decide(window)
    for reason in decided.reasons:
        log.info("%s: %s", decided.action, reason)
    ti = get_current_context()["ti"]
    ti.xcom_push("decision", decided.decision_id)
    if decided.action == "retrain":
        request = case.carry_out(decided.decision_id)
        if isinstance(request, RetrainRequest):
            ti.xcom_push("request", {"request": request.request_id})
            ti.xcom_push("run_id", request.run_id)
    return decided.action


@step("Halt", retries=0)
def halt(case: Case, decision_id: str) -> None:
    """Red, with the reason: the delivery has to be mended and the run cleared."""
    case.carry_out(decision_id)


@step("Blind", retries=0)
def blind(case: Case, decision_id: str) -> None:
    """Red, with what is missing since when: trying again brings no evidence."""
    case.carry_out(decision_id)


@step("Roll back")
def rollback(case: Case, decision_id: str) -> Release | RetrainRequest | None:
    """The last version that passed its bake serves again, for the ledger, the registry and requests; why is kept."""
    from perennial.provenance.taken_back import keep

    done = case.carry_out(decision_id)
    keep(case)
    case.verify_traffic()
    return done
