"""``model.yaml`` as strict records: the one place where a threshold is declared.

Unknown keys, wrong types and contradictions are refused with the file, the key, the value and what is allowed.
"""

import re
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from string import Formatter
from typing import Annotated, Any, Literal, Self

import yaml
from croniter import croniter
from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from perennial.contracts import Role, SourceKind, Window, digest_of
from perennial.errors import ConfigError, first_of

_DURATION = re.compile(r"([0-9]{1,6})\s*(min|h|d)")
_UNIT = {"min": "minutes", "h": "hours", "d": "days"}
IDENTIFIER = r"^[a-z][a-z0-9_]{0,47}$"
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


def _duration(value: object) -> object:
    """``90min``, ``36h`` or ``14d`` as a timedelta.

    >>> _duration("14d")
    datetime.timedelta(days=14)
    """
    if isinstance(value, timedelta):
        return value
    match = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if not match:
        raise ValueError("write a duration as a whole number of at most six digits with a unit: 90min, 36h or 14d")
    return timedelta(**{_UNIT[match[2]]: int(match[1])})


Duration = Annotated[timedelta, BeforeValidator(_duration)]


def _positive(value: timedelta) -> timedelta:
    if value <= timedelta(0):
        raise ValueError("must be longer than zero")
    return value


PositiveDuration = Annotated[timedelta, BeforeValidator(_duration), AfterValidator(_positive)]


def _no_number(value: object) -> object:
    if isinstance(value, (int, float)):
        raise ValueError("write a moment as 2013-01-15T00:00:00Z")
    return value


def _in_utc(value: datetime) -> datetime:
    try:
        return value.astimezone(UTC)
    except OverflowError:
        raise ValueError("lies outside of what UTC can write") from None


Moment = Annotated[AwareDatetime, Field(strict=False), BeforeValidator(_no_number), AfterValidator(_in_utc)]
Share = Annotated[float, Field(ge=0, le=1)]
Name = Annotated[str, Field(pattern=IDENTIFIER)]


class Strict(BaseModel):
    """Nothing unknown, nothing converted behind the author's back, nothing changed afterwards."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False, populate_by_name=True)


class Schedule(Strict):
    """When windows end. One of ``every`` and ``cron``."""

    every: PositiveDuration | None = None
    cron: str | None = None
    start: Moment
    end: Moment | None = None
    catchup: bool = False

    @model_validator(mode="after")
    def _one_of(self) -> Self:
        if (self.every is None) == (self.cron is None):
            raise ValueError("give exactly one of every (14d) and cron (0 6 * * *)")
        if self.cron is not None and not croniter.is_valid(self.cron):
            raise ValueError(
                f"cron {self.cron!r} is not a cron expression, as 0 6 * * * is: minute hour day month weekday"
            )
        if self.end is not None and self.end <= self.start:
            raise ValueError(f"end {self.end.isoformat()} is not after start {self.start.isoformat()}")
        return self


class FileSource(Strict):
    """Files of one window. ``uri`` may hold ``{home}``, ``{start:%Y-%m-%d}``, ``{end:...}`` and end in a glob."""

    kind: Literal["files"]
    format: Literal["jsonl", "csv", "parquet"]
    uri: str
    allow_empty: bool = False

    @field_validator("uri")
    @classmethod
    def _fillable(cls, value: str) -> str:
        try:
            value.format(home="/", start=datetime(2013, 1, 1, tzinfo=UTC), end=datetime(2013, 1, 2, tzinfo=UTC))
        except (LookupError, ValueError, AttributeError) as error:
            raise ValueError(f"{error}; it may hold {{home}}, {{start:%Y-%m-%d}} and {{end:...}}") from None
        return value

    @field_validator("uri")
    @classmethod
    def _known_places(cls, value: str) -> str:
        places = {name for _, name, _, _ in Formatter().parse(value) if name is not None}
        if foreign := sorted(places - {"home", "start", "end"}):
            raise ValueError(f"{{{first_of(foreign)}}}: it may hold {{home}}, {{start:%Y-%m-%d}} and {{end:%Y-%m-%d}}")
        return value


class TableSource(Strict):
    """A table (or view) of any SQLAlchemy URL. ``url_env`` names the environment variable that holds the URL."""

    kind: Literal["table"]
    url_env: Annotated[str, Field(pattern=r"^[A-Z][A-Z0-9_]*$")]
    table: str
    schema_name: str | None = Field(default=None, alias="schema")
    time_column: str
    allow_empty: bool = False


Source = Annotated[FileSource | TableSource, Field(discriminator="kind")]


class Sources(Strict):
    """Where the two logs come from. A label delivery holds the labels that *arrived* in the window."""

    predictions: Source
    labels: Source


class PredictionColumns(Strict):
    """Names in the prediction log. ``score`` is P(positive class) for binary, the value for regression, P(predicted)
    for multiclass, which also needs ``predicted``. Without ``role`` every row was scored by the champion."""

    id: str = "prediction_id"
    timestamp: str = "event_time"
    score: str = "score"
    predicted: str | None = None
    model_version: str = "model_version"
    role: str | None = None


class Label(Strict):
    """The ground truth and how late it may be.

    An event ``delay`` old has its label as a rule: training data ends there. A window is mature once ``mature_share``
    of its labels is in; one that is not after ``max_wait`` is reported.
    """

    id: str = "prediction_id"
    value: str = "label"
    timestamp: str = "labelled_at"
    classes: Annotated[list[str | int], Field(min_length=2)] | None = None
    delay: PositiveDuration
    mature_share: Annotated[float, Field(gt=0, le=1)]
    max_wait: PositiveDuration

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.delay > self.max_wait:
            raise ValueError("delay is longer than max_wait: every window would be given up before its labels are due")
        if self.classes is not None and len({str(name) for name in self.classes}) < len(self.classes):
            raise ValueError(f"classes: {first_of(self.classes)}: one stands twice")
        return self


class NumberFeature(Strict):
    """A number. ``min`` and ``max`` are inclusive and in the unit that ``unit`` names."""

    type: Literal["float", "int"]
    min: float | None = None
    max: float | None = None
    unit: str | None = None
    nullable: bool = False

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min {self.min} is above max {self.max}")
        return self

    @field_validator("min", "max", mode="before")
    @classmethod
    def _number(cls, value: object) -> object:
        try:
            return float(value) if isinstance(value, int) and not isinstance(value, bool) else value
        except OverflowError:
            raise ValueError("is larger than a number can be") from None


class CategoryFeature(Strict):
    """Text from a list. ``unseen`` says what happens to a value outside ``categories``."""

    type: Literal["category"]
    categories: Annotated[list[str], Field(min_length=1)]
    unseen: Literal["quarantine", "allow"] = "quarantine"
    nullable: bool = False

    @field_validator("categories")
    @classmethod
    def _distinct(cls, value: list[str]) -> list[str]:
        if len(set(value)) < len(value):
            raise ValueError(f"{first_of(name for name, n in Counter(value).items() if n > 1)}: stands twice")
        return value


class BoolFeature(Strict):
    """True or false."""

    type: Literal["bool"]
    nullable: bool = False


Feature = Annotated[NumberFeature | CategoryFeature | BoolFeature, Field(discriminator="type")]


class ExtraExpectation(Strict):
    """Any Great Expectations expectation by its class name, with its keyword arguments."""

    type: Annotated[str, Field(pattern=r"^Expect[A-Z]\w+$")]
    level: Literal["row", "batch"]
    kwargs: dict[str, Any] = {}


class Validation(Strict):
    """When a batch is too broken to publish."""

    max_share_bad: Share
    min_rows: Annotated[int, Field(ge=1)]
    max_rows: Annotated[int, Field(ge=1)] | None = None
    extra_columns: Literal["allow", "halt"] = "allow"
    keep_staging: PositiveDuration = timedelta(days=30)
    expectations: list[ExtraExpectation] = []


class DriftMethod(Strict):
    """An Evidently method name, or our ``psi_quantile``, with the distance at which a column counts as drifted."""

    method: Literal["wasserstein", "jensenshannon", "hellinger", "kl_div", "psi_quantile"]
    threshold: Annotated[float, Field(gt=0)]


class DriftSignals(Strict):
    """Evidently ``ValueDrift`` of every feature and of the score, on a bounded sample.

    ``weighted_share`` is the share of the champion's permutation importance that sits in drifted features.
    """

    number: DriftMethod
    category: DriftMethod
    features_role: Role = "watch"
    score_role: Role = "alert"
    weighted_share: Share
    weighted_share_role: Role = "alert"

    @field_validator("category")
    @classmethod
    def _of_categories(cls, value: DriftMethod) -> DriftMethod:
        if value.method == "wasserstein":
            raise ValueError("wasserstein measures numbers; take jensenshannon, hellinger, kl_div or psi_quantile")
        return value


class QualitySignals(Strict):
    """Increase over the reference (null, unseen category) or plain share (out of range, type error) per column."""

    role: Role = "alert"
    max_null_increase: Share
    max_unseen_share: Share
    max_out_of_range_share: Share
    max_type_error_share: Share


class PerformanceSignal(Strict):
    """A bound on one metric of mature labels: an absolute one, and the loss against the champion's own holdout.

    ``bound`` is a minimum where more is better (AUC, accuracy, R2) and a maximum where less is (log loss, RMSE, MAE).
    """

    role: Role
    bound: float
    max_loss: Annotated[float, Field(ge=0)] | None = None


class Signals(Strict):
    """What is measured. ``sample_rows`` bounds every sample; ``seed`` makes it the same one again."""

    sample_rows: Annotated[int, Field(ge=500, le=200_000)]
    seed: int
    drift: DriftSignals
    quality: QualitySignals
    performance: Annotated[dict[str, PerformanceSignal], Field(min_length=1)]
    min_labelled_rows: Annotated[int, Field(ge=30)]


class Breaches(Strict):
    """At least ``k`` of the last ``n`` windows, and the newest one."""

    k: Annotated[int, Field(ge=1)]
    n: Annotated[int, Field(ge=1)]

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.k > self.n:
            raise ValueError(f"k {self.k} of n {self.n} can never happen")
        return self


class Budget(Strict):
    """At most ``retrains`` requests within ``per``."""

    retrains: Annotated[int, Field(ge=1)]
    per: PositiveDuration


class Policy(Strict):
    """When to retrain. All times are event time."""

    breaches: Breaches
    cooldown: Duration
    min_new_labels: Annotated[int, Field(ge=1)]
    max_age: PositiveDuration
    budget: Budget


class Training(Strict):
    """What a candidate is fitted and judged on: ``train`` right before ``holdout``, both before the request."""

    train: PositiveDuration
    holdout: PositiveDuration
    min_train_rows: Annotated[int, Field(ge=10)]
    cv_folds: Annotated[int, Field(ge=2, le=20)]
    seed: int
    timeout: PositiveDuration
    params: dict[str, str | int | float | bool] = {}
    trusted_types: list[str] = []


class MetricGate(Strict):
    """Absolute bounds on the holdout; at least one."""

    min: float | None = None
    max: float | None = None

    @model_validator(mode="after")
    def _bounded(self) -> Self:
        if self.min is None and self.max is None:
            raise ValueError("give min or max")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min {self.min} is above max {self.max}: nothing could pass")
        return self


class RelativeGate(Strict):
    """The candidate must be better than the champion (or the constant predictor) by ``min_gain`` on the same rows."""

    metric: str
    min_gain: float


class ReviewPolicy(Strict):
    """Who answers for a release. ``after_rollback: manual`` asks a human for the first release after a rollback."""

    mode: Literal["auto", "manual"]
    after_rollback: Literal["auto", "manual"] = "manual"
    deadline: PositiveDuration
    poll_s: Annotated[float, Field(gt=0)] = 5.0


class SignoffPolicy(Strict):
    """The gates. Every one fails when its evidence is missing."""

    metrics: Annotated[dict[str, MetricGate], Field(min_length=1)]
    versus_champion: RelativeGate
    min_holdout_rows: Annotated[int, Field(ge=30)]
    min_label_coverage: Share
    max_parity_gap: Annotated[float, Field(ge=0)]
    parity_rows: Annotated[int, Field(ge=10, le=100_000)] = 1000
    review: ReviewPolicy


class Bake(Strict):
    """The probation of a new champion over ``windows`` mature windows.

    A window fails when ``metric`` crosses ``bound``, or when it is worse than the last stable version's on the same
    rows by more than ``max_deficit``. More than ``allowed_failures`` failed windows end the bake with a rollback.
    """

    windows: Annotated[int, Field(ge=1)]
    metric: str
    bound: float
    max_deficit: Annotated[float, Field(ge=0)]
    allowed_failures: Annotated[int, Field(ge=0)] = 0


METRICS: dict[str, dict[str, bool]] = {
    "binary": {
        "roc_auc": True,
        "accuracy": True,
        "balanced_accuracy": True,
        "f1": True,
        "log_loss": False,
        "brier": False,
    },
    "multiclass": {"accuracy": True, "balanced_accuracy": True, "f1_macro": True},
    "regression": {"r2": True, "rmse": False, "mae": False},
}
"""Metrics per task; True where more is better."""


class ModelConfig(Strict):
    """One monitored model: all of ``model.yaml``."""

    model: Name
    title: str
    owner: str
    tags: list[str] = []
    task: Literal["binary", "multiclass", "regression"]
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

    def more_is_better(self, metric: str) -> bool:
        """True for AUC and its like, False for losses and errors. Raises KeyError for another task's metric."""
        return METRICS[self.task][metric]

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
            **{feature: feature for feature in self.features},
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
            raise ValueError(f"features {first_of(clashes)}: reserved names; rename them in the log")
        for source in ("predictions", "labels"):
            named = Counter(self.delivered(source).values())
            if twice := [name for name, n in named.items() if n > 1]:
                raise ValueError(f"{source}: the delivered column {first_of(twice)} is named for two things")
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


_SHOWN = 5
_WORDS = {
    "missing": "is required",
    "extra_forbidden": "no such key; docs/reference/model-yaml.md has them all",
    "timezone_aware": "carries no time zone; write it as 2013-01-01T00:00:00Z",
    "union_tag_not_found": "give its kind (files or table), or the type of a feature (float, int, category or bool)",
    "string_type": "must be text; put it in quotes, as yes, no and numbers need them in YAML",
    "float_type": "must be a number, without quotes; write 1e-9 as 1.0e-9, since YAML takes the former for text",
    "model_type": "must be a mapping of keys to values",
    "dict_type": "must be a mapping of keys to values",
}
"""What to do, where pydantic's own words are about its types and not about the file."""


def _as_written(location: tuple[int | str, ...]) -> list[str]:
    """The parts of a key as they stand in the file: without the kind or type that chose the record."""
    chosen = 2 if location[:1] in (("sources",), ("features",)) and location[2:3] != ("[key]",) else None
    return [str(part) for index, part in enumerate(location) if index != chosen and part != "[key]"]


def _problems(path: Path, error: ValidationError) -> str:
    lines = []
    for found in error.errors()[:_SHOWN]:
        key = ".".join(_as_written(found["loc"])) or "(file)"
        told = str(found["input"]) if isinstance(found["input"], date) else repr(found["input"])
        value = "" if isinstance(found["input"], (dict, list)) else f" = {told}"
        lines.append(f"{path}: {key}{value}: {_WORDS.get(found['type'], found['msg'].removeprefix('Value error, '))}")
    if error.error_count() > _SHOWN:
        lines.append(f"and {error.error_count() - _SHOWN} more")
    return "\n".join(lines)


class _UniqueKeys(yaml.CSafeLoader):
    """The safe loader, refusing a key that stands twice in one mapping."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """The mapping of ``node``. Raises yaml.constructor.ConstructorError on a repeated key."""
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.constructor.ConstructorError(None, None, "a key is a plain word", key.start_mark)
            if key.value in seen:
                raise yaml.constructor.ConstructorError(None, None, f"key {key.value!r} stands twice", key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def load_model(folder: Path) -> ModelConfig:
    """The model declared in ``folder/model.yaml``. Raises ConfigError naming file, key, value and what is allowed."""
    path = folder / "model.yaml"
    try:
        raw = yaml.load(path.read_text(encoding="utf-8"), Loader=_UniqueKeys)  # noqa: S506 - a safe loader
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file; a model folder holds model.yaml and recipe.py") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: a date or number that can not be one
        raise ConfigError(f"{path}: not readable as YAML: {error}") from error
    try:
        config = ModelConfig.model_validate(raw)
    except ValidationError as error:
        raise ConfigError(_problems(path, error)) from error
    if config.model != folder.name:
        raise ConfigError(f"{path}: model = {config.model!r}: must be the folder's name, {folder.name!r}")
    if not (folder / "recipe.py").is_file():
        raise ConfigError(f"{folder / 'recipe.py'}: no such file; it builds the unfitted estimator of {config.model}")
    return config


def load_models(models_dir: Path) -> tuple[ModelConfig, ...]:
    """Every model under ``models_dir``, sorted by name. Raises ConfigError with the problems of all files at once."""
    if not models_dir.is_dir():
        raise ConfigError(f"{models_dir}: no such folder; set PERENNIAL_MODELS_DIR or create it")
    configs, problems = [], []
    for folder in sorted(path.parent for path in models_dir.glob("*/model.yaml")):
        try:
            configs.append(load_model(folder))
        except ConfigError as error:
            problems.append(str(error))
    if problems:
        raise ConfigError("\n".join(problems))
    return tuple(configs)


def previous_windows(schedule: Schedule, before: datetime, count: int) -> tuple[Window, ...]:
    """The last ``count`` windows of an ``every`` schedule that end at or before ``before``, oldest first."""
    if schedule.every is None:
        raise ConfigError("windows can be counted for a schedule with every, not with cron")
    n_done = (before - schedule.start) // schedule.every
    first = max(0, n_done - count)
    return tuple(
        Window(start=schedule.start + i * schedule.every, end=schedule.start + (i + 1) * schedule.every)
        for i in range(first, n_done)
    )
