"""What comes in: when, from where, under which names, and what a feature or a label may be."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from string import Formatter
from typing import Annotated, Literal, Self

from croniter import croniter
from pydantic import (
    Field,
    field_validator,
    model_validator,
)

from perennial.config.values import Duration, Moment, PositiveDuration, Strict
from perennial.contracts import Window
from perennial.errors import ConfigError, first_of


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

    def length(self, moment: datetime) -> timedelta:
        """How long a window is: that of ``every``, for ``cron`` the one that ended last by ``moment``.

        >>> Schedule(cron="0 6 * * 1", start=datetime(2013, 1, 1, tzinfo=UTC)).length(datetime(2013, 1, 9, tzinfo=UTC))
        datetime.timedelta(days=7)
        """
        if self.every is not None:
            return self.every
        ticks = croniter(self.cron, moment)
        last: datetime = ticks.get_prev(datetime)
        before: datetime = ticks.get_prev(datetime)
        return last - before

    def window_of(self, moment: datetime) -> Window:
        """The window that a moment lies in, also one before ``start`` or after ``end``, which no run is about.

        >>> week = Schedule(cron="0 6 * * 1", start=datetime(2013, 1, 1, tzinfo=UTC))
        >>> week.window_of(datetime(2013, 1, 7, 6, tzinfo=UTC)).key
        '20130107T060000Z-20130114T060000Z'
        >>> flights.schedule.window_of(datetime(2013, 1, 14, 23, tzinfo=UTC)).key
        '20130101T000000Z-20130115T000000Z'
        """
        if self.every is not None:
            start = self.start + (moment - self.start) // self.every * self.every
            return Window(start=start, end=start + self.every)
        end: datetime = croniter(self.cron, moment).get_next(datetime)
        return Window(start=croniter(self.cron, end).get_prev(datetime), end=end)

    @property
    def shortest(self) -> timedelta:
        """The length of the shortest window; of a cron expression, among the first hundred."""
        if self.every is not None:
            return self.every
        ticks = croniter(self.cron, self.start)
        moments: list[datetime] = [ticks.get_next(datetime) for _ in range(100)]
        return min(later - earlier for earlier, later in pairwise(moments))


FileName = Annotated[str, Field(pattern=r"^[^/\\\x00]+$")]


class FileSource(Strict):
    """Files of one window. ``uri`` may hold ``{home}``, ``{start:%Y-%m-%d}``, ``{end:...}`` and end in a glob.

    Nothing is read before ``done_marker`` (a file name, as ``_SUCCESS``) lies in every folder of the files.
    ``manifest`` is the name of a JSON file there, ``{"expected_rows": 1234}``: any other number of rows halts. The
    scheduled run of a window starts ``grace`` after its end, the longer one of both sources: so long files may arrive.
    """

    kind: Literal["files"]
    format: Literal["jsonl", "csv", "parquet"]
    uri: str
    allow_empty: bool = False
    done_marker: FileName | None = None
    manifest: FileName | None = None
    grace: Duration = timedelta(0)

    def filled(self, window: Window, home: str) -> str:
        """The URI of one window's files, wildcards kept.

        >>> flights.sources.labels.filled(day(0), "/state")
        '/state/landing/flight_delay/labels/2013-01-01/*.jsonl'
        """
        return self.uri.format(home=home, start=window.start, end=window.end)

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
    """A table (or view) of any SQLAlchemy URL. ``url_env`` names the environment variable that holds the URL. ``grace``
    is how long after the end of a window its rows may still arrive, as with files."""

    kind: Literal["table"]
    url_env: Annotated[str, Field(pattern=r"^[A-Z][A-Z0-9_]*$")]
    table: str
    schema_name: str | None = Field(default=None, alias="schema")
    time_column: str
    allow_empty: bool = False
    grace: Duration = timedelta(0)


Source = Annotated[FileSource | TableSource, Field(discriminator="kind")]


class Sources(Strict):
    """Where the two logs come from. A label delivery holds the labels that *arrived* in the window."""

    predictions: Source
    labels: Source


LATENCY, MEMORY, ERROR, CAUSED = "_latency_ms", "_memory_mb", "_error", "_caused"
"""Published columns that say how a request went, and are never features: no feature can be called so."""


class PredictionColumns(Strict):
    """Names in the prediction log. ``score`` is P(positive class) for binary, the value for regression, P(predicted)
    for multiclass, which also needs ``predicted``. Without ``role`` every row was scored by the champion.

    How a request went may be told too, and is never a feature: ``latency_ms`` and ``memory_mb`` (numbers, at least 0),
    ``error`` (a boolean: it was answered with an error; such a row needs no score, and counts in ``signals.system``
    alone) and ``caused`` (a boolean that every row has: what the model answered decided what its label is, so that the
    label neither teaches nor judges)."""

    id: str = "prediction_id"
    timestamp: str = "event_time"
    score: str = "score"
    predicted: str | None = None
    model_version: str = "model_version"
    role: str | None = None
    latency_ms: str | None = None
    memory_mb: str | None = None
    error: str | None = None
    caused: str | None = None


class Label(Strict):
    """The ground truth and how late it may be.

    An event ``delay`` old has its label as a rule: training data ends there. A window is mature once ``mature_share``
    of its labels is in; one that is not after ``max_wait`` is reported. Binary: a score at or above
    ``decision_threshold`` predicts the positive class.
    """

    id: str = "prediction_id"
    value: str = "label"
    timestamp: str = "labelled_at"
    classes: Annotated[list[str | int], Field(min_length=2)] | None = None
    decision_threshold: Annotated[float, Field(ge=0, le=1)] = 0.5
    delay: PositiveDuration
    mature_share: Annotated[float, Field(gt=0, le=1)] = 0.9
    max_wait: PositiveDuration

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.delay > self.max_wait:
            raise ValueError("delay is longer than max_wait: every window would be given up before its labels are due")
        if self.classes is not None and len({str(name) for name in self.classes}) < len(self.classes):
            raise ValueError(f"classes: {first_of(self.classes)}: one stands twice")
        return self


class _Logged(Strict):
    """What every feature has. A name in the log may be anything but empty; unless given, it is the feature's own."""

    logged_as: Annotated[str, Field(min_length=1)] | None = Field(default=None, alias="from")
    nullable: bool = False

    @field_validator("logged_as")
    @classmethod
    def _speakable(cls, value: str | None) -> str | None:
        if value is not None and "\0" in value:
            raise ValueError("holds a NUL character, which no table can hold")
        return value


class NumberFeature(_Logged):
    """A number. ``min`` and ``max`` are inclusive and in the unit that ``unit`` names; ``from`` is the column's name in
    the log when it is another, as ``"Order Qty (EUR)"``."""

    type: Literal["float", "int"]
    min: float | None = None
    max: float | None = None
    unit: str | None = None

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


class CategoryFeature(_Logged):
    """Text from a list. ``unseen`` says what happens to a value outside ``categories``; ``from`` as with a number."""

    type: Literal["category"]
    categories: Annotated[list[str], Field(min_length=1)]
    unseen: Literal["quarantine", "allow"] = "quarantine"

    @field_validator("categories")
    @classmethod
    def _distinct(cls, value: list[str]) -> list[str]:
        if len(set(value)) < len(value):
            raise ValueError(f"{first_of(name for name, n in Counter(value).items() if n > 1)}: stands twice")
        return value


class BoolFeature(_Logged):
    """True or false. ``from`` as with a number."""

    type: Literal["bool"]


Feature = Annotated[NumberFeature | CategoryFeature | BoolFeature, Field(discriminator="type")]


def previous_windows(schedule: Schedule, before: datetime, count: int) -> tuple[Window, ...]:
    """The last ``count`` windows of an ``every`` schedule that end at or before ``before``, oldest first.

    >>> [window.start.day for window in previous_windows(flights.schedule, datetime(2013, 2, 14, tzinfo=UTC), 2)]
    [15, 29]
    """
    if schedule.every is None:
        raise ConfigError(
            "windows can be counted for a schedule with every, not with cron: give both ends of the window"
        )
    n_done = (before - schedule.start) // schedule.every
    first = max(0, n_done - count)
    return tuple(
        Window(start=schedule.start + i * schedule.every, end=schedule.start + (i + 1) * schedule.every)
        for i in range(first, n_done)
    )
