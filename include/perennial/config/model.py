"""One monitored model: all of ``model.yaml``, and what must agree across its sections."""

from datetime import datetime, timedelta
from typing import Annotated, Self

from pydantic import Field, model_validator

from perennial.config.alerts import Alerts
from perennial.config.consistency import contradictions
from perennial.config.defaults.derived import filled
from perennial.config.inputs import (
    CAUSED,
    ERROR,
    LATENCY,
    MEMORY,
    Feature,
    Label,
    PredictionColumns,
    Schedule,
    Sources,
)
from perennial.config.notify import Notify
from perennial.config.release.declared import Releases
from perennial.config.rules import Bake, Policy, Training, Validation
from perennial.config.serving import Serving
from perennial.config.signals.declared import Signals
from perennial.config.signals.judgement import UNIT_PRICE
from perennial.config.signoff.about import About
from perennial.config.signoff.declared import SignoffPolicy
from perennial.config.signoff.gates import GUARD, UNIT_LOSS
from perennial.config.values import Name, Strict
from perennial.contracts import SourceKind, Window, digest_of
from perennial.statistics.metrics import METRICS, Metric
from perennial.statistics.rows import Task


class ModelConfig(Strict):
    """One monitored model: all of ``model.yaml``."""

    model: Name
    title: str
    owner: str
    tags: list[str] = Field(default=[])
    about: About = About()
    task: Task
    schedule: Schedule
    sources: Sources
    columns: PredictionColumns = PredictionColumns()
    label: Label
    features: Annotated[dict[Name, Feature], Field(min_length=1)]
    validation: Validation
    signals: Signals
    policy: Policy
    training: Training
    signoff: SignoffPolicy
    bake: Bake
    release: Releases = Field(default=Releases(), exclude_if=lambda value: value == Releases())
    serving: Serving = Serving()
    notify: Notify = Notify()
    alerts: Alerts = Alerts()

    @property
    def digest(self) -> str:
        """Changes when any setting changes but who is told (``notify``) and what ``alerts`` start; at no other time.

        >>> flights.digest == flights.model_copy(update={"owner": "someone else"}).digest
        False
        """
        return digest_of(self.model_dump(mode="json", exclude={"notify", "alerts"}))

    @property
    def grace(self) -> timedelta:
        """How long after its end a window may still receive rows: no scheduled run of it starts earlier."""
        return max(one.grace for one in (self.sources.predictions, self.sources.labels, self.sources.shadow) if one)

    def metric(self, name: str) -> Metric:
        """A metric of the model's task. Raises KeyError for another task's.

        >>> flights.metric("roc_auc").more_is_better
        True
        """
        return METRICS[self.task][name]

    @property
    def gain_metric(self) -> Metric:
        """The metric in which the gain of a retrain is measured.

        >>> flights.gain_metric.name
        'roc_auc'
        """
        return self.metric(self.gain_metric_name)

    @property
    def gain_metric_name(self) -> str:
        """Its name, which another task may lack."""
        return self.signals.gain.metric or self.signoff.versus_champion.metric

    @property
    def choice_metric(self) -> str:
        """The metric by which recipes and their parameters are chosen.

        >>> flights.choice_metric
        'roc_auc'
        """
        return self.training.metric or self.signoff.versus_champion.metric

    @property
    def price(self) -> float:
        """What a retrain has to gain, in the unit of ``gain_metric``.

        >>> flights.price
        0.02
        """
        return self.signals.gain.price or UNIT_PRICE

    @property
    def guards(self) -> dict[str, float]:
        """The metrics that may not be lost for that of ``signoff.versus_champion``, and by how much they may be worse.

        >>> flights.guards
        {'log_loss': 0.01}
        """
        wanted = self.signoff.versus_champion
        if wanted.no_worse is not None:
            return wanted.no_worse
        known = METRICS[self.task]
        return {name: margin for name, margin in GUARD.items() if name in known and name != wanted.metric}

    @property
    def slice_metric(self) -> str:
        """The metric by which slices of a candidate are judged.

        >>> flights.slice_metric
        'brier'
        """
        return self.signoff.slices.metric or self.signoff.versus_champion.metric

    @property
    def max_slice_loss(self) -> float:
        """How much a slice may lose, in the unit of ``slice_metric``.

        >>> flights.max_slice_loss
        0.02
        """
        return self.signoff.slices.max_loss or UNIT_LOSS

    @property
    def window_metric(self) -> str:
        """The metric by which a candidate is judged window by window.

        >>> flights.window_metric
        'roc_auc'
        """
        return self.signoff.windows.metric or self.signoff.versus_champion.metric

    @property
    def max_window_loss(self) -> float:
        """How much a window may lose, in the unit of ``window_metric``.

        >>> flights.max_window_loss
        0.05
        """
        return self.signoff.windows.max_loss or UNIT_LOSS

    def judged_over(self, window: Window) -> Window:
        """The stretch that figures of a window are estimated over: it ends with the window, and holds enough blocks.

        >>> judged = flights.judged_over(day(9))
        >>> judged.end == day(9).end, (judged.end - judged.start).days
        (True, 10)
        """
        uncertainty = self.signals.uncertainty
        needed = timedelta(0) if uncertainty.block_by else uncertainty.min_blocks * uncertainty.block
        return Window(start=min(window.start, window.end - needed), end=window.end)

    @property
    def n_alarm_tests(self) -> int:
        """How many tests share ``signals.false_alarms``: features and score, and those of ``concept`` where they alarm.

        >>> flights.n_alarm_tests
        2
        """
        concept = self.signals.concept
        return 4 if concept.enabled and self.signals.estimate.enabled and concept.role == "alert" else 2

    def alarm_level(self, window: Window) -> float:
        """How small p has to be in each test of a window, for ``signals.false_alarms`` to be kept.

        Windows that end within one block count once: they are judged on the same blocks, but for the last.

        >>> round(flights.alarm_level(day(0)), 5)
        0.00192
        """
        budget = self.signals.false_alarms
        length = max(self.schedule.length(window.start), self.signals.uncertainty.block)
        return budget.share / max(1.0, budget.per / length) / self.n_alarm_tests

    @property
    def alarm_level_of_champion(self) -> float:
        """How probable it may be that a test of all that a champion ever serves alarms, where nothing changed.

        ``policy.max_age`` lets ``per / max_age`` champions begin in a stretch, and one serves when it begins.

        >>> round(flights.alarm_level_of_champion, 5)
        0.00993
        """
        budget = self.signals.false_alarms
        return budget.share / (1 + budget.per / self.policy.max_age) / self.n_alarm_tests

    def serves_by(self, since: datetime) -> datetime:
        """When a version released as of ``since`` serves at the latest: its review may have taken that long."""
        return since + self.signoff.review.deadline

    def bake_ends_by(self, since: datetime) -> datetime:
        """When the bake of a version that was released as of ``since`` has ended, or is blind."""
        if self.bake.deadline is not None:
            return since + self.bake.deadline
        return self.serves_by(since) + self.bake.windows * self.schedule.length(since) + self.label.max_wait

    @property
    def numbers(self) -> tuple[str, ...]:
        """Names of the numeric features, in the order of the file.

        >>> flights.numbers[:3]
        ('scheduled_hour', 'scheduled_minute', 'weekday')
        """
        return tuple(name for name, feature in self.features.items() if feature.type in ("float", "int"))

    @property
    def categories(self) -> tuple[str, ...]:
        """Names of the categorical and boolean features, in the order of the file.

        >>> flights.categories
        ('carrier', 'origin', 'dest')
        """
        return tuple(name for name in self.features if name not in self.numbers)

    @property
    def operational(self) -> tuple[str, ...]:
        """The published columns that say how a request went, as far as the log has them.

        >>> flights.operational
        ()
        """
        return tuple(name for name in (LATENCY, MEMORY, ERROR, CAUSED) if name in self.delivered("predictions"))

    @property
    def declared(self) -> dict[str, dict[str, object]]:
        """How each feature is declared, as far as its values mean something else when that changes, and the classes.

        >>> flights.declared["origin"]
        {'type': 'category', 'from': 'origin', 'categories': ['EWR', 'JFK', 'LGA']}
        """
        described: dict[str, dict[str, object]] = {
            name: {"type": spec.type, "from": spec.logged_as or name} for name, spec in self.features.items()
        }
        for name, spec in self.features.items():
            if spec.type == "category":
                described[name]["categories"] = list(spec.categories)
            elif spec.type != "bool":
                described[name]["unit"] = spec.unit
        return described | {"label.classes": {"categories": list(self.label.classes or ())}}

    def delivered(self, source: SourceKind) -> dict[str, str]:
        """``{published column: its name in the delivery}``; optional columns that are not declared are left out.

        >>> flights.delivered("labels")
        {'prediction_id': 'prediction_id', 'label': 'late', 'labelled_at': 'labelled_at'}
        """
        if source == "labels":
            label = self.label
            return {"prediction_id": label.id, "label": label.value, "labelled_at": label.timestamp}
        columns = self.columns
        names = {
            "prediction_id": columns.id,
            "event_time": columns.timestamp,
            **{name: feature.logged_as or name for name, feature in self.features.items()},
            "score": columns.score,
            "predicted": columns.predicted,
            "model_version": columns.model_version,
            "role": columns.role if source == "predictions" else None,
            LATENCY: columns.latency_ms,
            MEMORY: columns.memory_mb,
            ERROR: columns.error,
            CAUSED: columns.caused,
        }
        return {name: delivered for name, delivered in names.items() if delivered is not None}

    @model_validator(mode="before")
    @classmethod
    def _filled(cls, given: object) -> object:
        return filled(given)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if found := list(contradictions(self)):
            raise ValueError("\n".join(found))
        return self
