"""One monitored model: all of ``model.yaml``, and what must agree across its sections."""

from collections import Counter
from datetime import timedelta
from typing import Annotated, Self

from pydantic import (
    Field,
    model_validator,
)

from perennial.config.inputs import Feature, Label, PredictionColumns, Schedule, Sources
from perennial.config.rules import Bake, Policy, Signals, SignoffPolicy, Training, Validation
from perennial.config.values import Name, Strict
from perennial.contracts import SourceKind, digest_of
from perennial.errors import first_of
from perennial.statistics.metrics import METRICS, Metric, Task

RESERVED = frozenset(
    {
        "prediction_id",
        "event_time",
        "score",
        "predicted",
        "model_version",
        "role",
        "batch_seq",
        "label",
        "labelled_at",
        "row_number",
        "weighted_share",
    }
)


class ModelConfig(Strict):
    """One monitored model: all of ``model.yaml``."""

    model: Name
    title: str
    owner: str
    tags: list[str] = Field(default=[])
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

    @property
    def digest(self) -> str:
        """Changes when any setting changes, and at no other time."""
        return digest_of(self.model_dump(mode="json"))

    @property
    def grace(self) -> timedelta:
        """How long after its end a window may still receive rows: no scheduled run of it starts earlier."""
        return max(self.sources.predictions.grace, self.sources.labels.grace)

    def metric(self, name: str) -> Metric:
        """A metric of the model's task. Raises KeyError for another task's."""
        return METRICS[self.task][name]

    @property
    def numbers(self) -> tuple[str, ...]:
        """Names of the numeric features, in the order of the file."""
        return tuple(name for name, feature in self.features.items() if feature.type in ("float", "int"))

    @property
    def categories(self) -> tuple[str, ...]:
        """Names of the categorical and boolean features, in the order of the file."""
        return tuple(name for name in self.features if name not in self.numbers)

    def delivered(self, source: SourceKind) -> dict[str, str]:
        """``{published column: its name in the delivery}``; optional columns that are not declared are left out."""
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
            "role": columns.role,
        }
        return {name: delivered for name, delivered in names.items() if delivered is not None}

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        clashes = sorted(RESERVED & set(self.features))
        if clashes:
            raise ValueError(
                f"features {first_of(clashes)}: reserved names; call them otherwise, and say their name in the log "
                f"as from: {clashes[0]}"
            )
        for source in ("predictions", "labels"):
            named = Counter(self.delivered(source).values())
            if twice := [name for name, n in named.items() if n > 1]:
                raise ValueError(f"{source}: the delivered column {first_of(twice)} is named for two things")
        if self.grace and self.grace >= self.schedule.shortest:
            raise ValueError(
                f"sources: a grace of {self.grace} is not shorter than the window, {self.schedule.shortest}: the run "
                "of the next one would be due first; lengthen schedule.every, or let late files wait for a run by hand"
            )
        if self.task == "multiclass" and self.columns.predicted is None:
            raise ValueError("columns.predicted: a multiclass log needs the predicted class")
        if (self.task == "regression") != (self.label.classes is None):
            raise ValueError("label.classes: [0, 1] for a binary task, a list for multiclass, absent for regression")
        if self.task == "binary" and self.label.classes != [0, 1]:
            raise ValueError("label.classes: a binary task has the labels [0, 1], 1 the positive class")
        used = [*self.signals.performance, *self.signoff.metrics, self.signoff.versus_champion.metric, self.bake.metric]
        wrong = sorted(set(used) - set(METRICS[self.task]))
        if wrong:
            raise ValueError(
                f"metrics {first_of(wrong)}: a {self.task} task has {first_of(METRICS[self.task], most=9)}"
            )
        return self
