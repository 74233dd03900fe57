"""The composition: one plain function per step of the DAGs.

The Airflow tasks and the command line call these and nothing below them. ``monitor`` and ``retrain`` at the end are the
two DAGs without Airflow, step for step, for a debugger. Stages are imported inside the steps, so that a task pays only
for the vendors it uses.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from perennial.config import ModelConfig, load_model
from perennial.contracts import (
    Audit,
    BakeState,
    Batch,
    Candidate,
    Decision,
    Evaluation,
    Fitted,
    LedgerEntry,
    Publication,
    Release,
    ReleaseState,
    RetrainRequest,
    Review,
    Signal,
    Signoff,
    Snapshot,
    SourceKind,
    Window,
    digest_of,
    to_record,
)
from perennial.errors import IntegrityError, ReleaseError
from perennial.settings import Settings
from perennial.store import Store, ledger, open_store

if TYPE_CHECKING:
    from perennial.registry import Registry

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Runtime:
    """Everything that a step works with: the store, the registry and the settings that found them."""

    store: Store
    registry: Registry
    settings: Settings

    @property
    def models_dir(self) -> Path:
        """Where the model folders lie."""
        return self.settings.models_dir

    def config(self, model: str) -> ModelConfig:
        """The declared model. Raises ConfigError when there is none."""
        return load_model(self.models_dir / model)

    def state(self, model: str) -> ReleaseState:
        """Who serves and who is trusted, from the ledger."""
        return ledger.release_state(self.store, model)


def open_runtime(settings: Settings) -> Runtime:
    """A runtime; nothing is connected yet. Raises ConfigError when a setting is missing."""
    from perennial.registry import Registry

    store = open_store(settings.require_database_url(), settings.storage)
    return Runtime(store, Registry(settings.require_mlflow_uri()), settings)


def prepare(config: ModelConfig, *, runtime: Runtime) -> None:
    """Migrate the store and make the model's tables. Safe to repeat and to run at once."""
    from perennial.store.migrate import migrate
    from perennial.store.schema import ensure_data_tables

    migrate(runtime.store)
    ensure_data_tables(runtime.store, config)


# --- monitor -----------------------------------------------------------------------------------------------------


def stage(config: ModelConfig, window: Window, source: SourceKind, *, runtime: Runtime) -> Batch:
    """Raw rows of the window from one source, into the storage as they came; the newest delivery of the window."""
    from perennial.ingest.stage import stage as stage_rows
    from perennial.store.deliveries import mark_delivered

    urls = runtime.settings.table_urls(config)
    batch = stage_rows(config, window, source, store=runtime.store, home=runtime.settings.home, table_urls=urls)
    mark_delivered(runtime.store, batch.batch_id)
    return batch


def audit(config: ModelConfig, batch: Batch, *, runtime: Runtime) -> Audit:
    """Cast, check with Great Expectations, and split into accepted rows and quarantine."""
    from perennial.validation.audit import audit as audit_batch

    return audit_batch(config, batch, store=runtime.store)


def publish(config: ModelConfig, batch: Batch, verdict: Audit, *, runtime: Runtime) -> Publication:
    """Accepted rows become trusted rows, in one transaction; a halted batch publishes nothing."""
    from perennial.ingest.publish import publish as publish_rows

    return publish_rows(config, batch, verdict, store=runtime.store)


def measure_drift(config: ModelConfig, window: Window, *, runtime: Runtime) -> tuple[Signal, ...]:
    """Evidently's distance of every feature and of the score to the champion's reference."""
    from perennial.monitoring.drift import measure_drift as measure

    state = runtime.state(config.model)
    return measure(config, window, store=runtime.store, registry=runtime.registry, state=state)


def measure_quality(config: ModelConfig, window: Window, *, runtime: Runtime) -> tuple[Signal, ...]:
    """Null, unseen, out-of-range and type-error rates against the champion's reference."""
    from perennial.monitoring.quality import measure_quality as measure

    state = runtime.state(config.model)
    return measure(config, window, store=runtime.store, registry=runtime.registry, state=state)


def measure_performance(config: ModelConfig, window: Window, *, runtime: Runtime) -> tuple[Signal, ...]:
    """The champion against the labels of every window that became mature by the end of this one."""
    from perennial.monitoring.performance import measure_performance as measure

    state = runtime.state(config.model)
    return measure(config, window, store=runtime.store, registry=runtime.registry, state=state)


def settle_bake(config: ModelConfig, window: Window, *, runtime: Runtime) -> BakeState:
    """Whether a champion on probation passed, failed, or goes on baking."""
    from perennial.release.bake import settle

    state = runtime.state(config.model)
    return settle(config, state=state, store=runtime.store, registry=runtime.registry, at=window.end)


def decide(config: ModelConfig, window: Window, *, runtime: Runtime) -> Decision:
    """Stay, retrain, roll back or halt: recorded in the ledger with its signals, once per window and data."""
    from perennial.decision.facts import gather
    from perennial.decision.policy import decide as judge
    from perennial.decision.record import record
    from perennial.store.locks import model_lock

    with model_lock(runtime.store, config.model, "decide"):
        state = runtime.state(config.model)
        serving = alias(config, runtime=runtime)
        facts = gather(config, window, store=runtime.store, state=state, champion_alias=serving)
        return record(judge(config, facts), facts, config=config, store=runtime.store)


def request_of(decided: Decision) -> RetrainRequest | None:
    """The retrain that a decision asks for, as it stands in the ledger; None unless it decided to retrain."""
    from perennial.decision.record import request_of as request

    return request(decided)


# --- retrain -----------------------------------------------------------------------------------------------------


def snapshot(config: ModelConfig, request: RetrainRequest, *, runtime: Runtime) -> Snapshot:
    """Training rows and a later holdout, frozen as files with a digest.

    The request is in the ledger before anything is done for it, whoever made it: it counts for cooldown and budget.
    """
    from perennial.decision.record import record_request
    from perennial.training.snapshot import take_snapshot

    record_request(request, store=runtime.store)
    return take_snapshot(config, request, store=runtime.store, state=runtime.state(config.model))


def fit(config: ModelConfig, request: RetrainRequest, frozen: Snapshot, *, runtime: Runtime) -> Fitted:
    """The recipe fitted on the snapshot, in an MLflow run."""
    from perennial.training.fit import fit as fit_recipe

    return fit_recipe(
        config,
        frozen,
        request,
        store=runtime.store,
        registry=runtime.registry,
        models_dir=runtime.models_dir,
        code_version=runtime.settings.code_version,
    )


def evaluate(config: ModelConfig, fitted: Fitted, frozen: Snapshot, *, runtime: Runtime) -> Evaluation:
    """The candidate and the champion on the same later rows."""
    from perennial.training.evaluate import evaluate as judge

    state = runtime.state(config.model)
    return judge(config, fitted, frozen, store=runtime.store, registry=runtime.registry, state=state)


def register(config: ModelConfig, fitted: Fitted, frozen: Snapshot, *, runtime: Runtime) -> Candidate:
    """A new version in the registry, not yet signed off."""
    from perennial.training.register import register as register_version

    return register_version(config, fitted, frozen, registry=runtime.registry)


def sign_off(
    config: ModelConfig,
    request: RetrainRequest,
    candidate: Candidate,
    evaluation: Evaluation,
    frozen: Snapshot,
    *,
    runtime: Runtime,
) -> Signoff:
    """The verdict over all gates, written on the version and in the ledger; a passed version becomes challenger."""
    from perennial.release.promote import challenge
    from perennial.signoff.fresh import parity_gap
    from perennial.signoff.gates import judge
    from perennial.signoff.verdict import sign_off as write_verdict

    gap, detail = parity_gap(
        config,
        candidate,
        frozen,
        registry_uri=runtime.registry.uri,
        models_dir=runtime.models_dir,
    )
    signed = write_verdict(
        config,
        candidate,
        evaluation,
        frozen,
        judge(config, evaluation, parity_gap=gap, parity_detail=detail),
        state=runtime.state(config.model),
        registry=runtime.registry,
        store=runtime.store,
        as_of=request.as_of,
        review_override=request.review,
    )
    if signed.passed:
        challenge(config, signed, store=runtime.store, registry=runtime.registry)
    return signed


def review(config: ModelConfig, signed: Signoff, *, runtime: Runtime, now: datetime | None = None) -> Review | None:
    """The reviewer's answer, recorded in the ledger; None while it is pending. ``now`` judges the deadline too.

    A rejected version is challenger no longer.
    """
    from perennial.release.promote import withdraw
    from perennial.signoff.review import read_review, record_review

    state = runtime.state(config.model)
    answer = read_review(config, signed, registry=runtime.registry, store=runtime.store, state=state, now=now)
    if answer is None:
        return None
    standing = record_review(config, signed, answer, store=runtime.store, registry=runtime.registry)
    if standing.verdict == "rejected":
        withdraw(config, signed.version, store=runtime.store, registry=runtime.registry)
    return standing


def promote(
    config: ModelConfig, signed: Signoff, answer: Review, *, runtime: Runtime, actor: str, at: datetime
) -> Release:
    """The alias ``champion`` moves to exactly the version that was signed off and approved."""
    from perennial.release.promote import promote as release_version

    return release_version(config, signed, answer, store=runtime.store, registry=runtime.registry, actor=actor, at=at)


def record_outcome(config: ModelConfig, request: RetrainRequest, outcome: str, *, runtime: Runtime) -> None:
    """What became of a retrain request, in one sentence, once."""
    entry = LedgerEntry(
        entry_id=digest_of("retrain_outcome", config.model, request.run_id, outcome),
        model=config.model,
        kind="retrain_outcome",
        at=request.as_of,
        actor=request.requested_by,
        reason=outcome,
        payload=to_record(request),
    )
    ledger.append(runtime.store, entry)


# --- rollback and upkeep -----------------------------------------------------------------------------------------


def roll_back(
    config: ModelConfig,
    *,
    runtime: Runtime,
    actor: str,
    reason: str,
    at: datetime,
    version: str | None = None,
    decision_id: str | None = None,
) -> Release:
    """The alias ``champion`` goes back to the last version that passed its bake, or to ``version`` if that one did."""
    from perennial.release.rollback import roll_back as release_previous

    return release_previous(
        config,
        store=runtime.store,
        registry=runtime.registry,
        actor=actor,
        reason=reason,
        at=at,
        version=version,
        decision_id=decision_id,
    )


def acknowledge(
    config: ModelConfig, hold_id: str, *, runtime: Runtime, actor: str, reason: str, exclude: bool, at: datetime
) -> None:
    """Someone's word on a held stretch: retraining may go on, with its rows or (``exclude``) without them."""
    from perennial.release.hold import acknowledge as write

    write(config.model, hold_id, store=runtime.store, actor=actor, reason=reason, exclude=exclude, at=at)


def reconcile(config: ModelConfig, *, runtime: Runtime) -> tuple[str, ...]:
    """Finish what a crash cut off; says what was done."""
    from perennial.release.reconcile import reconcile as finish

    return finish(config, store=runtime.store, registry=runtime.registry)


def alias(config: ModelConfig, *, runtime: Runtime) -> str | None:
    """The version that the registry's alias ``champion`` names, which is what serves."""
    from perennial.registry.versions import alias_version

    return alias_version(runtime.registry, config.model, "champion")


def verify(config: ModelConfig, *, runtime: Runtime) -> ReleaseState:
    """Ledger and registry agree on who serves. Raises IntegrityError when they do not."""
    state, serving = runtime.state(config.model), alias(config, runtime=runtime)
    if state.champion != serving:
        raise IntegrityError(
            f"{config.model}: MLflow's alias champion is on version {serving}, the ledger's champion is "
            f"{state.champion}; someone moved the alias by hand: set it back in MLflow"
        )
    return state


def expire_reviews(config: ModelConfig, *, runtime: Runtime, now: datetime) -> tuple[Review, ...]:
    """Reject the reviews whose deadline passed or whose world changed; their versions are challengers no longer."""
    from perennial.release.promote import withdraw
    from perennial.signoff.review import expire_stale

    state = runtime.state(config.model)
    expired = expire_stale(config, store=runtime.store, registry=runtime.registry, state=state, now=now)
    for ended in expired:
        withdraw(config, ended.version, store=runtime.store, registry=runtime.registry)
    return expired


def sweep(config: ModelConfig, *, runtime: Runtime, now: datetime) -> int:
    """Delete the staged files of batches published more than ``validation.keep_staging`` ago; returns how many."""
    from perennial.ingest.sweep import sweep as delete_staged

    return delete_staged(config, store=runtime.store, before=now - config.validation.keep_staging)


# --- the two DAGs without Airflow --------------------------------------------------------------------------------


def ingest(config: ModelConfig, window: Window, source: SourceKind, *, runtime: Runtime) -> Publication:
    """Stage, audit, publish."""
    batch = stage(config, window, source, runtime=runtime)
    return publish(config, batch, audit(config, batch, runtime=runtime), runtime=runtime)


def monitor(config: ModelConfig, window: Window, *, runtime: Runtime, progress: Progress = lambda _: None) -> Decision:
    """One monitor run: ingest, measure, settle the bake, decide, and roll back when decided. It does not retrain."""
    prepare(config, runtime=runtime)
    for repaired in reconcile(config, runtime=runtime):
        progress(repaired)
    halted = False
    for source in ("predictions", "labels"):
        done = ingest(config, window, source, runtime=runtime)
        halted = halted or done.status == "halted"
        progress(
            f"{source}: {done.status}, {done.n_published} published, {done.n_quarantined} quarantined, "
            f"{done.n_duplicate} duplicate: {done.reason}"
        )
        if done.status == "halted":
            progress(f"its page in the storage: docs/{config.model}/{done.batch_id}.html")
    if not halted:
        for measure in (measure_drift, measure_quality, measure_performance):
            found = measure(config, window, runtime=runtime)
            progress(f"{measure.__name__}: {len(found)} signals, {sum(s.status == 'breached' for s in found)} breached")
        progress(f"bake: {settle_bake(config, window, runtime=runtime)}")
    decided = decide(config, window, runtime=runtime)
    progress(f"decision: {decided.action}: {'; '.join(decided.reasons)}")
    if decided.action == "rollback":
        roll_back(
            config,
            runtime=runtime,
            actor="policy",
            reason="; ".join(decided.reasons),
            at=window.end,
            decision_id=decided.decision_id,
        )
        verify(config, runtime=runtime)
    return decided


def retrain(
    config: ModelConfig, request: RetrainRequest, *, runtime: Runtime, progress: Progress = lambda _: None
) -> Release | Signoff:
    """One retrain run: the release it ended in, or the signoff that was refused or waits for its reviewer."""
    prepare(config, runtime=runtime)
    frozen = snapshot(config, request, runtime=runtime)
    progress(f"snapshot {frozen.snapshot_id}: {frozen.n_train} training rows, {frozen.n_holdout} later holdout rows")
    fitted = fit(config, request, frozen, runtime=runtime)
    evaluation = evaluate(config, fitted, frozen, runtime=runtime)
    progress(f"candidate: {_figures(evaluation.candidate)}")
    progress(f"{evaluation.baseline}: {_figures(evaluation.baseline_metrics)}")
    candidate = register(config, fitted, frozen, runtime=runtime)
    signed = sign_off(config, request, candidate, evaluation, frozen, runtime=runtime)
    for gate in signed.gates:
        progress(f"gate {gate.name}: {'passed' if gate.passed else 'FAILED'}: {gate.detail}")
    if not signed.passed:
        record_outcome(config, request, refusal(signed), runtime=runtime)
        return signed
    answer = review(config, signed, runtime=runtime)
    if answer is None or answer.verdict == "rejected":
        waits = "waits for its review: set its tag signoff in MLflow to approved or rejected, then run this again with"
        progress(f"{waits} --as-of {request.as_of.isoformat()}" if answer is None else f"rejected by {answer.reviewer}")
        return signed
    released = promote(config, signed, answer, runtime=runtime, actor=answer.reviewer, at=request.as_of)
    record_outcome(config, request, f"version {released.version} promoted", runtime=runtime)
    return released


def _figures(metrics: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.4g}" for name, value in metrics.items())


def refusal(signed: Signoff) -> str:
    """Why a signoff failed, in one sentence. Raises ReleaseError when it passed."""
    failed = [f"{gate.name}: {gate.detail}" for gate in signed.gates if not gate.passed]
    if not failed:
        raise ReleaseError(f"{signed.model} version {signed.version} passed its gates; there is nothing to refuse")
    return f"version {signed.version} refused: {'; '.join(failed)}"
