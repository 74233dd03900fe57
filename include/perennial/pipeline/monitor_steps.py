"""The steps of a monitor run, in their order: rows in, measured, the bake settled, a decision.

Stages are imported inside the steps, so that a task pays only for the vendors it uses.
"""

from __future__ import annotations

from perennial.contracts import Audit, BakeState, Batch, Decision, Publication, Signal, SourceKind, Window
from perennial.pipeline.bound import Bound


class MonitorSteps(Bound):
    """What is done about one window."""

    __slots__ = ()

    def stage(self, window: Window, source: SourceKind) -> Batch:
        """Raw rows of the window from one source, into the storage as they came; the newest batch of the window."""
        from perennial.ingest.stage import stage
        from perennial.store.batches import mark_delivered

        urls = self.settings.table_urls(self.config)
        batch = stage(self.config, window, source, store=self.store, home=self.settings.home, table_urls=urls)
        mark_delivered(self.store, batch.batch_id)
        return batch

    def audit(self, batch: Batch) -> Audit:
        """Cast, check with Great Expectations, and split into accepted rows and quarantine."""
        from perennial.validation.audit import audit

        return audit(self.config, batch, store=self.store)

    def publish(self, batch: Batch, audit: Audit) -> Publication:
        """Accepted rows become trusted rows, in one transaction; a halted batch publishes nothing."""
        from perennial.publishing.publish import publish

        return publish(self.config, batch, audit, store=self.store)

    def take_shadow(self, window: Window) -> Publication | None:
        """What a challenger answered in the shadow, published under a role of its own; None where none is declared."""
        if self.config.sources.shadow is None:
            return None
        batch = self.stage(window, "shadow")
        return self.publish(batch, self.audit(batch))

    def measure_drift(self, window: Window) -> tuple[Signal, ...]:
        """How far every feature and the score lie from the champion's reference, and from earlier windows."""
        from perennial.monitoring.drift.measuring import measure_drift

        return measure_drift(self.config, window, store=self.store, registry=self.registry, state=self.state())

    def draw_drift(self, window: Window, version: str | None) -> str | None:
        """Evidently's page of the window beside the reference of ``version``; where it lies, None for none.

        It takes longer than measuring a small window, and nothing that is measured or decided rests on it.
        """
        from perennial.monitoring.drift.drawing import draw_drift

        return draw_drift(self.config, window, version, store=self.store, registry=self.registry)

    def measure_quality(self, window: Window) -> tuple[Signal, ...]:
        """Null, unseen, out-of-range and type-error rates, and what requests tell before any label is in."""
        from perennial.monitoring.quality import measure_quality
        from perennial.monitoring.served.measuring import measure_served
        from perennial.monitoring.system.requests import measure_system

        state = self.state()
        of_values = measure_quality(self.config, window, store=self.store, registry=self.registry, state=state)
        of_answers = measure_served(self.config, window, store=self.store, registry=self.registry, state=state)
        of_requests = measure_system(self.config, window, store=self.store, state=state)
        return (*of_values, *of_answers, *of_requests)

    def measure_performance(self, window: Window) -> tuple[Signal, ...]:
        """The champion against the labels of every window that became mature by the end of this one."""
        from perennial.monitoring.performance import measure_performance

        return measure_performance(self.config, window, store=self.store, registry=self.registry, state=self.state())

    def measure_gain(self, window: Window) -> tuple[Signal, ...]:
        """What models fitted just before each mature window would have gained, alone and since the last retrain."""
        from perennial.training.probe import measure_gain

        return measure_gain(
            self.config, window, store=self.store, state=self.state(), models_dir=self.settings.models_dir
        )

    def settle_bake(self, window: Window) -> BakeState:
        """Whether a champion on probation passed, failed, or goes on baking, on what is measured of its windows.

        Everything else is measured by now: so are the control limits of the series that were asked for.
        """
        from perennial.bake.measuring import measure_bake
        from perennial.bake.settlement import settle
        from perennial.monitoring.series.control import measure_control
        from perennial.release.reconcile import follow_bake

        measure_control(self.config, window, store=self.store, state=self.state())
        measure_bake(self.config, window, store=self.store, registry=self.registry, state=self.state())
        outcome = settle(self.config, store=self.store, at=window.end)
        if outcome == "passed":
            follow_bake(self.config, store=self.store, registry=self.registry)
        return outcome

    def decide(self, window: Window) -> Decision:
        """Stay, retrain, roll back or halt: recorded in the ledger with its signals, once per window and data."""
        from perennial.decision.facts import gather
        from perennial.decision.policy import decide
        from perennial.decision.record import record
        from perennial.store.locks import DECIDE, model_lock

        with model_lock(self.store, self.model, DECIDE):
            state, serving = self.state(), self.alias()
            facts = gather(self.config, window, store=self.store, state=state, champion_alias=serving)
            return record(decide(self.config, facts), facts, config=self.config, store=self.store)
