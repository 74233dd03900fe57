"""Everything that is done about one model: the steps of its runs, and what is done by hand or by the clock."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from perennial.contracts import Decision, Release, RetrainRequest, Review
from perennial.errors import BatchHalted, EvidenceMissing
from perennial.pipeline.monitor_steps import MonitorSteps
from perennial.pipeline.retrain_steps import RetrainSteps


@dataclass(frozen=True, slots=True, kw_only=True)
class Case(MonitorSteps, RetrainSteps):
    """One model's config, store and registry, with one method a step."""

    def carry_out(self, decided: Decision) -> Release | RetrainRequest | None:
        """Do what was decided: nothing, the rollback, or the request for a retrain, which someone has to run.

        Raises BatchHalted for a halt: the delivery has to be mended and the window run again; EvidenceMissing for a
        blind window: its reasons say what is missing since when, and what to do.
        """
        from perennial.decision.record import request_of

        if decided.action == "halt":
            raise BatchHalted("; ".join(decided.reasons))
        if decided.action == "blind":
            raise EvidenceMissing("; ".join(decided.reasons))
        if decided.action == "rollback":
            reason = "; ".join(decided.reasons)
            return self.roll_back(actor="policy", reason=reason, at=decided.window.end, decision_id=decided.decision_id)
        return request_of(decided)

    def roll_back(
        self, *, actor: str, reason: str, at: datetime, version: str | None = None, decision_id: str | None = None
    ) -> Release:
        """The last version that passed its bake, or ``version``, serves again; ledger and alias agree on it."""
        from perennial.release.rollback import roll_back

        release = roll_back(
            self.config,
            store=self.store,
            registry=self.registry,
            actor=actor,
            reason=reason,
            at=at,
            version=version,
            decision_id=decision_id,
        )
        self.verify()
        return release

    def acknowledge(self, hold_id: str, *, actor: str, reason: str, exclude: bool, at: datetime) -> None:
        """Someone's word on a held stretch: retraining may go on, with its rows or (``exclude``) without them."""
        from perennial.release.hold import acknowledge

        acknowledge(self.model, hold_id, store=self.store, actor=actor, reason=reason, exclude=exclude, at=at)

    def expire_reviews(self, *, now: datetime) -> tuple[Review, ...]:
        """Reject the reviews whose deadline passed or whose world changed; their versions are challengers no longer."""
        from perennial.release.promote import withdraw
        from perennial.signoff.review import expire_stale

        expired = expire_stale(self.config, store=self.store, registry=self.registry, now=now)
        for review in expired:
            withdraw(self.config, review.version, store=self.store, registry=self.registry)
        return expired

    def sweep(self, *, now: datetime) -> int:
        """Delete staged files that have served their time; returns how many went."""
        from perennial.ingest.sweep import sweep

        return sweep(self.config, store=self.store, before=now - self.config.validation.keep_staging)
