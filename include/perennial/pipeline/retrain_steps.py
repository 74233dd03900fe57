"""The steps of a retrain run, in their order: frozen rows, a fitted candidate, its signoff, its release, its outcome.

Stages are imported inside the steps, so that a task pays only for the vendors it uses.
"""

from __future__ import annotations

from datetime import datetime

from perennial.contracts import (
    Candidate,
    Evaluation,
    FittedRun,
    Release,
    RetrainRequest,
    Review,
    Signoff,
    Snapshot,
)
from perennial.errors import ReleaseError
from perennial.pipeline.bound import Bound


class RetrainSteps(Bound):
    """What is done about one retrain request."""

    __slots__ = ()

    def snapshot(self, request: RetrainRequest) -> Snapshot:
        """Training rows and a later holdout, frozen as files with a digest.

        The request is in the ledger before anything is done for it, whoever made it: it counts for cooldown and budget.
        """
        from perennial.decision.record import record_request
        from perennial.training.snapshot import take_snapshot

        record_request(request, store=self.store)
        return take_snapshot(self.config, request, store=self.store, state=self.state())

    def fit(self, request: RetrainRequest, snapshot: Snapshot) -> FittedRun:
        """The recipe fitted on the snapshot, in an MLflow run."""
        from perennial.training.fit import fit

        return fit(
            self.config,
            snapshot,
            request,
            store=self.store,
            registry=self.registry,
            models_dir=self.settings.models_dir,
            code_version=self.settings.code_version,
        )

    def evaluate(self, fitted: FittedRun, snapshot: Snapshot) -> Evaluation:
        """The candidate and the champion on the same later rows."""
        from perennial.training.evaluate import evaluate

        return evaluate(self.config, fitted, snapshot, store=self.store, registry=self.registry, state=self.state())

    def register(self, fitted: FittedRun, snapshot: Snapshot) -> Candidate:
        """A new version in the registry, not yet signed off."""
        from perennial.training.register import register

        return register(self.config, fitted, snapshot, registry=self.registry)

    def sign_off(
        self, request: RetrainRequest, candidate: Candidate, evaluation: Evaluation, snapshot: Snapshot
    ) -> Signoff:
        """The verdict over all gates, written on the version and in the ledger; a passed version becomes challenger."""
        from perennial.release.promote import challenge
        from perennial.signoff.gates import judge
        from perennial.signoff.parity import parity_gap
        from perennial.signoff.signing import sign_off

        gap, detail = parity_gap(
            self.config, candidate, snapshot, registry_uri=self.registry.uri, models_dir=self.settings.models_dir
        )
        signed = sign_off(
            self.config,
            candidate,
            evaluation,
            snapshot,
            judge(self.config, evaluation, parity_gap=gap, parity_detail=detail),
            state=self.state(),
            registry=self.registry,
            store=self.store,
            as_of=request.as_of,
            review_override=request.review,
        )
        if signed.passed:
            challenge(self.config, signed, store=self.store, registry=self.registry)
        return signed

    def review(self, signed: Signoff, *, now: datetime | None = None) -> Review | None:
        """The reviewer's answer, recorded in the ledger; None while it is pending. ``now`` judges the deadline too.

        A rejected version is challenger no longer.
        """
        from perennial.release.promote import withdraw
        from perennial.signoff.review import read_review, record_review

        answer = read_review(self.config, signed, registry=self.registry, store=self.store, now=now)
        if answer is None:
            return None
        standing = record_review(self.config, signed, answer, store=self.store, registry=self.registry)
        if standing.verdict == "rejected":
            withdraw(self.config, signed.version, store=self.store, registry=self.registry)
        return standing

    def promote(self, signed: Signoff, answer: Review, *, at: datetime) -> Release:
        """The alias ``champion`` moves to exactly the version that was signed off and approved."""
        from perennial.release.promote import promote

        release = promote(
            self.config, signed, answer, store=self.store, registry=self.registry, actor=answer.reviewer, at=at
        )
        self.verify()
        return release

    def conclude(
        self,
        request: RetrainRequest,
        *,
        signed: Signoff | None = None,
        answer: Review | None = None,
        failure: str | None = None,
    ) -> str:
        """What became of a retrain request, in one sentence: into the ledger, once, however it ended."""
        from perennial.decision.record import record_outcome

        outcome = failure or outcome_of(signed, answer)
        record_outcome(request, outcome, store=self.store)
        return outcome


def outcome_of(signed: Signoff | None, answer: Review | None) -> str:
    """How a retrain run that did not fail ended, in one sentence. Pure. Raises ReleaseError when it did not end."""
    if signed is not None and not signed.passed:
        failed = [f"{gate.name}: {gate.detail}" for gate in signed.gates if not gate.passed]
        return f"version {signed.version} refused: {'; '.join(failed)}"
    if signed is None or answer is None:
        raise ReleaseError("the retrain run has not ended: no signoff, or no answer to it")
    if answer.verdict == "rejected":
        return f"version {signed.version} rejected by {answer.reviewer}: {answer.reason}"
    return f"version {signed.version} promoted"
