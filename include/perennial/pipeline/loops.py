"""The two runs without Airflow, step for step as the DAGs have them (a test compares the order), for a debugger."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from perennial.contracts import Decision, Publication, Release, RetrainRequest, Signal, Signoff, SourceKind, Window
from perennial.errors import PermanentError
from perennial.pipeline.case import Case

Progress = Callable[[str], None]
SOURCES: tuple[SourceKind, ...] = ("predictions", "labels")


def silent(_: str) -> None:
    """Say nothing."""


def monitor(case: Case, window: Window, *, page: bool = True, progress: Progress = silent) -> Decision:
    """One monitor run: ingest, measure, settle the bake, decide, and carry out. A retrain is only asked for.

    ``page`` has Evidently draw the drift.
    Halted labels do not keep good predictions from being measured; the decision is a halt all the same.
    """
    for repaired in case.begin():
        progress(repaired)
    halted = [source for source in SOURCES if _ingest(case, window, source, progress).status == "halted"]
    if shadow := case.take_shadow(window):  # halted or not, it is no evidence about the champion
        _tell(progress, "shadow", shadow)
    drift: tuple[Signal, ...] = ()
    if "predictions" not in halted:
        drift = case.measure_drift(window)
        _say(progress, "drift", drift)
        _say(progress, "quality", case.measure_quality(window))
    if not halted:
        _say(progress, "performance", case.measure_performance(window))
        _say(progress, "gain", case.measure_gain(window))
        progress(f"bake: {case.settle_bake(window)}")
    if page and drift:
        case.draw_drift(window, drift[0].version)
    decided = case.decide(window)
    progress(f"decision: {decided.action}: {'; '.join(decided.reasons)}")
    if decided.action not in ("halt", "blind"):  # which are carried out by saying so
        case.carry_out(decided.decision_id)
    if decided.action == "rollback" and (followed := case.verify_traffic()):
        progress(followed.reason)
    return decided


def _say(progress: Progress, what: str, found: tuple[Signal, ...]) -> None:
    n_seen = Counter(signal.status for signal in found)
    progress(f"{what}: {len(found)} signals, {n_seen['breached']} breached, {n_seen['undecided']} undecided")


def _tell(progress: Progress, source: SourceKind, done: Publication) -> None:
    progress(
        f"{source}: {done.status}, {done.n_published} published, {done.n_quarantined} quarantined, "
        f"{done.n_duplicate} duplicate: {done.reason}"
    )


def _ingest(case: Case, window: Window, source: SourceKind, progress: Progress) -> Publication:
    batch = case.stage(window, source)
    done = case.publish(batch, case.audit(batch))
    _tell(progress, source, done)
    if done.status == "halted":
        progress(f"its page in the storage: docs/{case.model}/{done.batch_id}.html")
    return done


@dataclass(frozen=True, slots=True, kw_only=True)
class Retrained:
    """How a retrain run ended: always of this shape. ``release`` is there when it ended in a promotion."""

    ended: Literal["promoted", "refused", "rejected", "waiting", "overtaken"]
    outcome: str
    request: RetrainRequest
    version: str | None = None
    signoff: Signoff | None = None
    release: Release | None = None


def retrain(case: Case, request: RetrainRequest, *, progress: Progress = silent) -> Retrained:
    """One retrain run, to its end or to its reviewer. How it ended is in the ledger, a failure too.

    ``request`` is one that stands in the ledger, or someone's own, which is written there first.
    """
    for repaired in case.begin():
        progress(repaired)
    request_id = case.ask(request)
    try:
        if why := case.overtaken(request_id):
            raise _Overtaken(why)
        return _retrain(case, request_id, progress)
    except _Overtaken as found:
        return Retrained(ended="overtaken", outcome=f"overtaken: {found}", request=case.request(request_id))
    except PermanentError as error:
        case.conclude(request_id, failure=f"{type(error).__name__}: {error}")
        raise


class _Overtaken(Exception):
    """Another champion took office while a candidate for its predecessor's place was made."""


def _go_on(case: Case, request_id: str) -> None:
    if why := case.overtaken(request_id, begun=True):
        raise _Overtaken(why)


def _retrain(case: Case, request_id: str, progress: Progress) -> Retrained:
    snapshot = case.snapshot(request_id)
    progress(f"snapshot {snapshot.snapshot_id}: {snapshot.n_train} training rows, {snapshot.n_holdout} holdout rows")
    _go_on(case, request_id)
    fitted = case.fit(request_id, snapshot)
    if fitted.chosen:
        progress(f"fitted: {fitted.chosen}")
    evaluation = case.evaluate(fitted, snapshot)
    progress(f"candidate: {_figures(evaluation.candidate)}")
    progress(f"{evaluation.baseline}: {_figures(evaluation.baseline_metrics)}")
    candidate = case.register(fitted, snapshot)
    _go_on(case, request_id)
    signed = case.sign_off(request_id, candidate, evaluation, snapshot)
    for gate in signed.gates:
        progress(f"gate {gate.name}: {'passed' if gate.passed else 'FAILED'}: {gate.detail}")
    request = case.request(request_id)
    answer = case.review(signed.signoff_id) if signed.passed else None
    if signed.passed and answer is None:
        waits = (
            f"version {signed.version} waits for its review: set its tag signoff in MLflow to approved or rejected, "
            f"then run this again with --as-of {request.as_of.isoformat()}"
        )
        return Retrained(ended="waiting", version=signed.version, outcome=waits, request=request, signoff=signed)
    approved = answer is not None and answer.verdict == "approved"
    if approved:
        looked = case.canary(signed.signoff_id, now=datetime.now(UTC))
        if looked.state == "waiting":
            again = f"{looked.reason}; run this again, or perennial canary {case.model}, until it has come to its end"
            return Retrained(ended="waiting", version=signed.version, outcome=again, request=request, signoff=signed)
        approved = looked.state != "taken_back"
    if approved:
        _go_on(case, request_id)
    release = case.promote(signed.signoff_id, request_id=request_id) if approved else None
    outcome = case.conclude(request_id, signoff_id=signed.signoff_id)
    if release and (followed := case.verify_traffic()):
        progress(followed.reason)
    return Retrained(
        ended="promoted" if release else "rejected" if answer else "refused",
        version=signed.version,
        outcome=outcome,
        request=request,
        signoff=signed,
        release=release,
    )


def _figures(metrics: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.4g}" for name, value in metrics.items())
