"""What the command is asked for: moments, windows, the case of a model.

The commands import what they work with when they are run: ``perennial --help`` waits for none of it.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from perennial.errors import ConfigError

if TYPE_CHECKING:
    from perennial.config import ModelConfig
    from perennial.contracts import Window
    from perennial.pipeline import Case, Runtime
    from perennial.settings import Settings


def settings() -> Settings:
    """The settings in force. Raises ConfigError."""
    from perennial.settings import load_settings

    return load_settings()


def runtime() -> Runtime:
    """The runtime of the settings in force."""
    from perennial.pipeline import open_runtime

    return open_runtime(settings())


def case(model: str) -> Case:
    """The case of one model. Raises ConfigError when it is not declared."""
    return runtime().case(model)


def now() -> datetime:
    """The present, in UTC."""
    return datetime.now(UTC)


def moment(text: str) -> datetime:
    """A moment as it was typed. Raises ConfigError."""
    from perennial.contracts import parse_moment

    try:
        return parse_moment(text)
    except ValueError as error:
        raise ConfigError(str(error)) from None


def duration(text: str, option: str) -> timedelta:
    """A duration as it was typed for an option. Raises ConfigError.

    >>> duration("36h", "--label-delay").days
    1
    """
    from pydantic import TypeAdapter, ValidationError

    from perennial.config.values import Duration

    try:
        found: timedelta = TypeAdapter(Duration).validate_python(text)
    except ValidationError as error:
        why = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise ConfigError(f"{option} {text}: {why}") from None
    return found


def window(start: str, end: str) -> Window:
    """A window as it was typed. Raises ConfigError."""
    from perennial.contracts import Window

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
    from perennial.config import previous_windows

    schedule = config.schedule
    found = previous_windows(schedule, min(now - config.grace, schedule.end or now), 1)
    if not found:
        raise ConfigError(
            f"{config.model}: no window of its schedule is over yet; it starts {schedule.start.isoformat()}"
        )
    return found[-1]
