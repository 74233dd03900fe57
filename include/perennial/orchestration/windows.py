"""Which window a monitor run is about."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from perennial.config import Schedule
from perennial.contracts import Window, parse_moment
from perennial.errors import ConfigError


def window_of(
    schedule: Schedule, params: Mapping[str, Any], interval: tuple[datetime | None, datetime | None]
) -> Window:
    """The window of the form if one is given there, else the data interval of a scheduled or backfilled run.

    Raises ConfigError when neither says it: a manual run without a logical date has no data interval.

    >>> window_of(flights.schedule, {"window_start": "2013-01-01T00:00:00Z"}, (None, None)).end.day
    15
    """
    start, end = _bound(params, "window_start"), _bound(params, "window_end")
    if start is None and end is None:
        start, end = interval
    elif schedule.every is not None:
        start, end = start or (end and end - schedule.every), end or (start and start + schedule.every)
    if start is None or end is None:
        raise ConfigError(
            "this run has no window: give window_start and window_end when triggering it by hand, "
            "as in 2013-01-01T00:00:00Z and 2013-01-15T00:00:00Z"
        )
    try:
        return Window(start=start, end=end)
    except ValueError as error:
        raise ConfigError(f"window_start {start.isoformat()}, window_end {end.isoformat()}: {error}") from error


def _bound(params: Mapping[str, Any], name: str) -> datetime | None:
    text = params.get(name)
    if not text:
        return None
    try:
        return parse_moment(text)
    except ValueError as error:
        raise ConfigError(f"{name} = {error}") from error
