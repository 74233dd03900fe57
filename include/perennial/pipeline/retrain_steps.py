"""The steps of a retrain run, in their order: frozen rows, a fitted candidate, its signoff, its release, its outcome.

Requests, signoffs and reviews are handed on by their ids, and read in the ledger: what a form or XCom says of them is a
claim. Stages are imported inside the steps, so that a task pays only for the vendors it uses.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

from perennial import ledger
from perennial.contracts import (
    Candidate,
    Ending,
    Evaluation,
    FittedRun,
    LedgerEntry,
    Record,
    Release,
    RetrainRequest,
    Review,
    Signoff,
    Snapshot,
)
from perennial.errors import ReleaseError, SignoffError, TrainingError
from perennial.ledger import History
from perennial.ledger.canaries import Canary, canary_of
from perennial.pipeline.bound import Bound

if TYPE_CHECKING:
    from perennial.release.canary.ramp import Look
    from perennial.signoff.answering.polling import Reviewers


class RetrainSteps(Bound):
    """What is done about one retrain request."""

    __slots__ = ()

    def request(self, request_id: str) -> RetrainRequest:
        """A request as it stands in the ledger. Raises TrainingError when it does not."""
        found = ledger.read(self.store, self.model).request(request_id)
        if found is None:
            raise TrainingError(f"{self.model}: the ledger holds no retrain request {request_id}; nothing was done")
        return found

    def signoff(self, signoff_id: str) -> Signoff:
        """A signoff as it stands in the ledger. Raises SignoffError when it does not."""
        found = ledger.read(self.store, self.model).signoff(signoff_id)
        if found is None:
            raise SignoffError(f"{self.model}: the ledger holds no signoff {signoff_id}; clear the task sign_off")
        return found

    def ask(self, request: RetrainRequest) -> str:
        """Write a request of someone's own under the present champion; its id. The same one again changes nothing."""
        from perennial.decision.record import record_request

        state = self.state()
        record_request(replace(request, champion=state.champion, bake=state.bake), store=self.store)
        return request.request_id

    def open_request_as_of(self, moment: datetime) -> RetrainRequest | None:
        """The newest request as of a moment that nobody has run to its end, or None."""
        found = [request for request in self.state().open_requests if request.as_of == moment]
        return found[-1] if found else None

    def overtaken(self, request_id: str, *, begun: bool = False) -> str | None:
        """Why a request acts on a world that is gone, recorded as its outcome; None when it may run, or go on.

        A request that made the present champion is not overtaken by it: its run may be run again. One whose run has
        begun is overtaken by another champion only: that a bake ended meanwhile makes no comparison with its champion
        wrong.
        """
        history, request = ledger.read(self.store, self.model), self.request(request_id)
        same = begun and history.state.champion == request.champion
        why = None if same or promoted_by(history, request_id) else history.state.overtakes(request)
        if why is not None:
            self._record(request_id, "overtaken", f"overtaken: {why}")
        return why

    def snapshot(self, request_id: str) -> Snapshot:
        """Training rows and a later holdout, frozen as files with a digest.

        Raises TrainingError where a candidate of the very same rows was turned down, by the same rules: unless someone
        asks for it anyway, or waives the comparison.
        """
        from perennial.decision.prospects import refusal_in
        from perennial.training.snapshot import refuse_fitted_before, take_snapshot

        request, history = self.request(request_id), ledger.read(self.store, self.model)
        made = take_snapshot(self.config, request, store=self.store, state=history.state)
        refusal = refusal_in(self.config, history)
        wanted = request.anyway or request.without_comparison
        if refusal and refusal.same_rules and not wanted and refusal.run_id != request.run_id:
            refuse_fitted_before(made, refusal.as_of, str(refusal), store=self.store)
        return made

    def cannot_pay(self, request: RetrainRequest) -> tuple[str, ...]:
        """Why a request of someone's own could make no version that is promoted, known before it is made; empty else.

        Nothing is said of one that stands in the ledger, that waives the comparison, or is to be made anyway.
        """
        from perennial.decision.prospects import cannot_pay

        history = ledger.read(self.store, self.model)
        if request.anyway or request.without_comparison or history.request(request.request_id):
            return ()
        return cannot_pay(self.config, request.as_of, history, store=self.store)

    def fit(self, request_id: str, snapshot: Snapshot, *, airflow_url: str | None = None) -> FittedRun:
        """The recipe fitted on the snapshot, in an MLflow run that names the page in Airflow of what asked for it."""
        from perennial.training.fit import fit

        return fit(
            self.config,
            snapshot,
            self.request(request_id),
            store=self.store,
            registry=self.registry,
            models_dir=self.settings.models_dir,
            code_version=self.settings.code_version,
            lock_digest=self.settings.lock_digest,
            airflow_url=airflow_url,
        )

    def evaluate(self, fitted: FittedRun, snapshot: Snapshot) -> Evaluation:
        """The candidate and the champion on the same later rows."""
        from perennial.training.evaluate import evaluate

        return evaluate(self.config, fitted, snapshot, store=self.store, registry=self.registry, state=self.state())

    def register(self, fitted: FittedRun, snapshot: Snapshot) -> Candidate:
        """A new version in the registry, not yet signed off."""
        from perennial.training.register import register

        return register(self.config, fitted, snapshot, store=self.store, registry=self.registry)

    def sign_off(self, request_id: str, candidate: Candidate, evaluation: Evaluation, snapshot: Snapshot) -> Signoff:
        """The verdict over all gates, written on the version and in the ledger; a passed version becomes challenger."""
        from perennial.release.promote import challenge
        from perennial.signoff.conditions.robustness import robustness_gates
        from perennial.signoff.conditions.serving import serving_gates
        from perennial.signoff.gates import judge
        from perennial.signoff.parity import parity_gap
        from perennial.signoff.signing import sign_off

        request, history = self.request(request_id), ledger.read(self.store, self.model)
        attempt = 1 + len(history.judged_against(history.state.champion) - {candidate.version})
        waived_by = f"{request.requested_by}: {request.cause}" if request.without_comparison else ""
        gap, detail, serving = parity_gap(
            self.config, candidate, snapshot, registry_uri=self.registry.uri, models_dir=self.settings.models_dir
        )
        signed = sign_off(
            self.config,
            candidate,
            evaluation,
            snapshot,
            judge(
                self.config,
                evaluation,
                parity_gap=gap,
                parity_detail=detail,
                attempt=attempt,
                waived_by=waived_by,
                further=(
                    *serving_gates(self.config, serving),
                    *robustness_gates(self.config, evaluation.robustness),
                ),
            ),
            state=self.state(),
            registry=self.registry,
            store=self.store,
            as_of=request.as_of,
            review_override="manual" if waived_by else request.review,
            record=self.gate_record(request.as_of),
            requested_by=request.requested_by,
        )
        if signed.passed:
            challenge(self.config, signed, store=self.store, registry=self.registry)
        return signed

    def gate_record(self, as_of: datetime) -> Record:
        """How often the gates were right: promotions beside what they replaced, on labelled rows after them."""
        from perennial.signoff.record.hindsight import look_back

        return look_back(self.config, as_of=as_of, store=self.store, registry=self.registry)

    def reviewers(self, signed: Signoff) -> Reviewers:
        """Whose word a signoff waits for."""
        from perennial.signoff.review import reviewers_of

        return reviewers_of(self.config, signed)

    def review(self, signoff_id: str, *, now: datetime | None = None) -> Review | None:
        """The reviewer's answer, recorded in the ledger; None while it is pending. ``now`` judges the deadline too.

        Where ``release.strategy`` says so, it is that of the shadow too. A rejected version is challenger no longer.
        """
        from perennial.release.promote import withdraw
        from perennial.signoff.review import read_review, record_review
        from perennial.signoff.shadow.comparing import with_shadow

        signed = self.signoff(signoff_id)
        answer = read_review(self.config, signed, registry=self.registry, store=self.store, now=now)
        answer = with_shadow(self.config, signed, answer, store=self.store, now=now)
        if answer is None:
            return None
        standing = record_review(self.config, signed, answer, store=self.store, registry=self.registry)
        if standing.verdict == "rejected":
            withdraw(self.config, signed.version, store=self.store, registry=self.registry)
        return standing

    def canary(self, signoff_id: str, *, now: datetime) -> Look:
        """Where ``release.strategy`` asks for it, an approved version answers shares of the requests before it serves.

        One look: it is to be looked at again while it waits. Raises ConfigError where no setting names the service.
        """
        from perennial.release.canary.ramp import asks_for_canary, look

        figures = self.figures() if asks_for_canary(self.config, self.signoff(signoff_id)) else ()
        return look(self.config, signoff_id, figures, now=now, store=self.store, registry=self.registry)

    def promote(self, signoff_id: str, *, request_id: str | None = None) -> Release:
        """The alias ``champion`` moves to exactly the version that the ledger shows as signed off and approved."""
        from perennial.release.promote import promote

        release = promote(self.config, signoff_id, store=self.store, registry=self.registry, request_id=request_id)
        self.verify()
        return release

    def conclude(self, request_id: str, *, signoff_id: str | None = None, failure: str | None = None) -> str:
        """What became of a retrain request, in one sentence: into the ledger, once, however it ended.

        One whose candidate nobody may answer for any more, since ``model.yaml`` changed, is asked for again.
        """
        from perennial.decision.record import asked_again, record_request

        if failure is not None:
            return self._record(request_id, "failed", failure)
        history = ledger.read(self.store, self.model)
        signed = history.signoff(signoff_id) if signoff_id else None
        answer = history.review_of(signed) if signed else None
        ended, outcome = outcome_of(signed, answer, canary_of(history, signoff_id) if signoff_id else None)
        if again := asked_again(self.request(request_id), answer):
            record_request(again, store=self.store)
            outcome += f"; asked for again, as {again.run_id}"
        return self._record(request_id, ended, outcome)

    def _record(self, request_id: str, ended: Ending, outcome: str) -> str:
        from perennial.decision.record import record_outcome

        record_outcome(self.request(request_id), ended, outcome, store=self.store)
        return outcome


def promoted_by(history: History, request_id: str) -> LedgerEntry | None:
    """The promotion that a request led to, or None. Pure."""
    own = [item for item in history.of("promotion") if item.payload.get("request") == request_id]
    return own[-1] if own else None


def outcome_of(signed: Signoff | None, answer: Review | None, canary: Canary | None = None) -> tuple[Ending, str]:
    """How a retrain run that did not fail ended, and in one sentence. Pure. Raises ReleaseError when it did not end."""
    if signed is not None and not signed.passed:
        failed = "; ".join(f"{gate.name}: {gate.detail}" for gate in signed.failed)
        return "refused", f"version {signed.version} refused: {failed}"
    if signed is None or answer is None:
        raise ReleaseError("the retrain run has not ended: no signoff, or no answer to it")
    if answer.verdict == "rejected":
        return "rejected", f"version {signed.version} rejected by {answer.reviewer}: {answer.reason}"
    if canary is not None and canary.outcome != "passed":
        return "refused" if canary.outcome == "breached" else "rejected", canary.intent.reason
    return "promoted", f"version {signed.version} promoted"
