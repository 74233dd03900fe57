"""What the command is asked for: moments, windows, the case of a model."""

from datetime import UTC, datetime, timedelta

from pydantic import TypeAdapter, ValidationError

from perennial.config import ModelConfig, previous_windows
from perennial.config.values import Duration
from perennial.contracts import Window, parse_moment
from perennial.errors import ConfigError
from perennial.pipeline import Case, Runtime, open_runtime
from perennial.settings import load_settings


def runtime() -> Runtime:
    """The runtime of the settings in force."""
    return open_runtime(load_settings())


def case(model: str) -> Case:
    """The case of one model. Raises ConfigError when it is not declared."""
    return runtime().case(model)


def now() -> datetime:
    """The present, in UTC."""
    return datetime.now(UTC)


def moment(text: str) -> datetime:
    """A moment as it was typed. Raises ConfigError."""
    try:
        return parse_moment(text)
    except ValueError as error:
        raise ConfigError(str(error)) from None


def duration(text: str, option: str) -> timedelta:
    """A duration as it was typed for an option. Raises ConfigError.

    >>> duration("36h", "--label-delay").days
    1
    """
    try:
        found: timedelta = TypeAdapter(Duration).validate_python(text)
    except ValidationError as error:
        why = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise ConfigError(f"{option} {text}: {why}") from None
    return found


def window(start: str, end: str) -> Window:
    """A window as it was typed. Raises ConfigError."""
    try:
        return Window(start=moment(start), end=moment(end))
    except ValueError as error:
        raise ConfigError(f"--start and --end: {error}") from None


def window_if_given(start: str | None, end: str | None) -> Window | None:
    """A window as it was typed, or None when neither end was. Raises ConfigError for one end alone."""
    if (start is None) != (end is None):
        raise ConfigError("give --start and --end together, or neither")
    return window(start, end) if start and end else None


def last_window(config: ModelConfig, now: datetime) -> Window:
    """The last window of the schedule that is over, and its grace too. Raises ConfigError before the first."""
    schedule = config.schedule
    found = previous_windows(schedule, min(now - config.grace, schedule.end or now), 1)
    if not found:
        raise ConfigError(
            f"{config.model}: no window of its schedule is over yet; it starts {schedule.start.isoformat()}"
        )
    return found[-1]
