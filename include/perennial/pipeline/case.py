"""Everything that is done about one model: the steps of its runs, and what is done by hand or by the clock."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from perennial import ledger
from perennial.contracts import Release, RetrainRequest, Review, Window
from perennial.errors import BatchHalted, EvidenceMissing, ReleaseError
from perennial.pipeline.monitor_steps import MonitorSteps
from perennial.pipeline.retrain_steps import RetrainSteps, promoted_by

if TYPE_CHECKING:
    from perennial.evidence.deliveries.quarantine import BatchQuarantine
    from perennial.ingest.relisting import ChangedDelivery
    from perennial.pipeline.again.reprocessing import Reprocessed
    from perennial.release.canary.ramp import Look

LOOK_AGAIN = timedelta(days=14)
"""For so long after a window was staged last, its files are watched for changes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case(MonitorSteps, RetrainSteps):
    """One model's config, store and registry, with one method a step."""

    def carry_out(self, decision_id: str) -> Release | RetrainRequest | None:
        """Do what the ledger says was decided: nothing, the rollback, or the request for a retrain, to be run next.

        Raises BatchHalted for a halt: the delivery has to be mended and the window run again; EvidenceMissing for a
        blind window: its reasons say what is missing since when, and what to do.
        """
        from perennial.decision.record import recorded, request_of

        decided = recorded(self.store, decision_id)
        if decided is None or decided.model != self.model:
            raise ReleaseError(f"{self.model}: the ledger holds no decision {decision_id}; nothing was done")
        reason = "; ".join(decided.reasons)
        if decided.action == "halt":
            raise BatchHalted(reason)
        if decided.action == "blind":
            raise EvidenceMissing(reason)
        if decided.action == "rollback":
            return self.roll_back(actor="policy", reason=reason, at=decided.window.end, decision_id=decision_id)
        return request_of(decided)

    def roll_back(
        self,
        *,
        actor: str,
        reason: str,
        at: datetime,
        run_id: str = "",
        version: str | None = None,
        decision_id: str | None = None,
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
            run_id=run_id,
            version=version,
            decision_id=decision_id,
        )
        self.verify()
        return release

    def promote_past_gates(self, version: str, *, by: tuple[str, ...], reason: str, entered_by: str) -> Release:
        """A version that failed its gates serves, on the word of two people; marked until its bake has passed.

        Raises SignoffError when their word does not do, ReleaseError as :meth:`promote`.
        """
        from perennial.pipeline.answers.past_gates import by_command

        return by_command(self, version, by=by, reason=reason, entered_by=entered_by)

    def answer_past_gates(self, version: str) -> Release | None:
        """The same on the word that the tags of the version hold; None where it is none, and they say at once why."""
        from perennial.pipeline.answers.past_gates import by_tags

        return by_tags(self, version)

    def acknowledge(self, hold_id: str, *, actor: str, reason: str, exclude: bool, at: datetime) -> None:
        """Someone's word on a held stretch: retraining may go on, with its rows or (``exclude``) without them."""
        from perennial.release.hold import acknowledge

        acknowledge(self.model, hold_id, store=self.store, actor=actor, reason=reason, exclude=exclude, at=at)

    def quarantine(self, window: Window | None = None, *, n_examples: int = 3) -> tuple[BatchQuarantine, ...]:
        """What is in quarantine and why, batch by batch, halted ones too; of all windows unless one is given."""
        from perennial.evidence.deliveries.quarantine import read_quarantine

        return read_quarantine(self.config, store=self.store, window=window, n_examples=n_examples)

    def reprocess(self, stretch: Window) -> tuple[Reprocessed, ...]:
        """Audit and publish once more what of the windows within ``stretch`` is not published, after a mended rule."""
        from perennial.pipeline.again.reprocessing import reprocess

        return reprocess(self.config, stretch, store=self.store)

    def expire_reviews(self, *, now: datetime) -> tuple[Review, ...]:
        """Reject the reviews whose deadline passed or whose world changed; their versions are challengers no longer."""
        from perennial.release.promote import withdraw
        from perennial.signoff.review import expire_stale

        expired = expire_stale(self.config, store=self.store, registry=self.registry, now=now)
        for review in expired:
            withdraw(self.config, review.version, store=self.store, registry=self.registry)
        return expired

    def look_at_canary(self, *, now: datetime) -> Look | None:
        """One look at the canary that is under way; None where there is none."""
        from perennial.ledger.canaries import last_canary

        found = last_canary(ledger.read(self.store, self.model))
        return None if found is None else self.canary(found.signoff, now=now)

    def expire_canary(self, *, now: datetime) -> str | None:
        """Take back a canary that nobody looks at any more; why, None where there is none."""
        from perennial.release.canary.ramp import expire

        return expire(self.config, now=now, store=self.store, registry=self.registry)

    def unattended(self, *, now: datetime) -> tuple[RetrainRequest, ...]:
        """Requests without an outcome that were written so long ago that nobody seems to run them, the newest first.

        Those from before a request said under which champion it was made are left alone.
        """
        history = ledger.read(self.store, self.model)
        open_since = {item.entry_id: item.recorded_at for item in history.of("retrain_request")}
        latest = now - self.config.training.longest - self.config.training.dispatch_after
        waiting = [
            request
            for request in history.state.open_requests
            if request.bake is not None and (open_since[request.request_id] or now) <= latest
        ]
        return tuple(reversed(waiting))

    def conclude_unattended(self, request_id: str) -> str | None:
        """The outcome of a request whose run has ended without writing one; None when it has one by now."""
        history = ledger.read(self.store, self.model)
        if request_id not in {request.request_id for request in history.state.open_requests}:
            return None
        if promotion := promoted_by(history, request_id):
            return self._record(request_id, "promoted", f"version {promotion.version} promoted")
        return self._record(request_id, "failed", "its run ended without an outcome: it was stopped, or cut off")

    def sweep(self, *, now: datetime) -> int:
        """Delete staged files that have served their time; returns how many went."""
        from perennial.ingest.sweep import sweep

        return sweep(self.config, store=self.store, before=now - self.config.validation.keep_staging)

    def list_again(self, *, now: datetime) -> tuple[ChangedDelivery, ...]:
        """Windows whose files changed since they were staged, in the last two weeks: they are to be run again."""
        from perennial.ingest.relisting import list_again

        return list_again(self.config, store=self.store, home=self.settings.home, since=now - LOOK_AGAIN, now=now)
