"""The section ``notify`` of ``model.yaml``: channels by severity, and their quiet hours."""

import re
from collections.abc import Iterable
from datetime import datetime, time
from typing import Annotated, Literal, get_args
from zoneinfo import ZoneInfo, available_timezones

from pydantic import BeforeValidator, Field
from pydantic_core import PydanticCustomError

from perennial.config.values import Strict

Severity = Literal["critical", "warning", "info"]
SEVERITIES: tuple[Severity, ...] = get_args(Severity)
HIDDEN = "hidden"
"""The type of an error whose value may be a secret: no message repeats it."""
_VARIABLE = re.compile(r"[A-Z][A-Z0-9_]{0,63}")
_TIME = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])")


def _variable(value: object) -> object:
    """The name of an environment variable. Raises PydanticCustomError that does not repeat it: it may be the URL."""
    if isinstance(value, str) and _VARIABLE.fullmatch(value):
        return value
    raise PydanticCustomError(
        HIDDEN, "is no name of an environment variable, as OPS_CHAT_URL is; the URL of a channel is a secret, in it"
    )


def _time(value: object) -> object:
    if isinstance(value, str) and _TIME.fullmatch(value):
        return value
    raise ValueError('write a time of day as "22:00", in quotes')


def _zone(value: object) -> object:
    if value in available_timezones():
        return value
    raise ValueError("is no time zone; write it as UTC or Europe/Berlin")


class Quiet(Strict):
    """Hours of every day in which messages wait: from ``start`` to ``end`` in ``zone``, past midnight too."""

    start: Annotated[str, BeforeValidator(_time)]
    end: Annotated[str, BeforeValidator(_time)]
    zone: Annotated[str, BeforeValidator(_zone)] = "UTC"

    def holds(self, now: datetime) -> bool:
        """Whether messages wait at a moment.

        >>> from perennial.contracts import parse_moment
        >>> night = Quiet(start="22:00", end="07:00", zone="Europe/Berlin")
        >>> [night.holds(parse_moment(f"2026-01-05T{at}:00Z")) for at in ("20:59", "21:00", "05:59", "06:00")]
        [False, True, True, False]
        """
        clock = now.astimezone(ZoneInfo(self.zone)).time()
        start, end = time.fromisoformat(self.start), time.fromisoformat(self.end)
        return start <= clock < end if start <= end else clock >= start or clock < end


class Route(Strict):
    """Where messages of one severity go: environment variables, each with the URL of a channel as Apprise writes it."""

    channels: list[Annotated[str, BeforeValidator(_variable)]] = Field(default=[])
    quiet: Quiet | None = None


class Notify(Strict):
    """Who is told. ``critical``: someone has to act now; ``warning``: has to look; ``info``: it went on by itself."""

    critical: Route = Route()
    warning: Route = Route()
    info: Route = Route()

    def route(self, severity: Severity) -> Route:
        """Where messages of a severity go.

        >>> Notify(info=Route(channels=["CHAT_URL"])).route("info").channels
        ['CHAT_URL']
        """
        found: Route = getattr(self, severity)
        return found

    @property
    def channels(self) -> tuple[str, ...]:
        """The variables of all channels, each once, sorted.

        >>> Notify(info=Route(channels=["CHAT_URL"]), critical=Route(channels=["CHAT_URL", "A_URL"])).channels
        ('A_URL', 'CHAT_URL')
        """
        return tuple(sorted({name for severity in SEVERITIES for name in self.route(severity).channels}))


def merged(routes: Iterable[Notify]) -> Notify:
    """Every channel of several models, each once, by severity: for what is about all of them. No hour is quiet.

    >>> merged([Notify(info=Route(channels=["A_URL"])), Notify(info=Route(channels=["B_URL", "A_URL"]))]).channels
    ('A_URL', 'B_URL')
    """
    every = list(routes)
    names = {word: dict.fromkeys(name for one in every for name in one.route(word).channels) for word in SEVERITIES}
    return Notify(**{word: Route(channels=list(names[word])) for word in SEVERITIES})
