"""Event time: moments in UTC, and half-open intervals of them."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime


def utc(moment: datetime) -> datetime:
    """The same moment in UTC. Raises ValueError when it carries no zone.

    >>> utc(datetime.fromisoformat("2013-01-01T01:00:00+01:00")).isoformat()
    '2013-01-01T00:00:00+00:00'
    """
    if moment.tzinfo is None:
        raise ValueError(f"{moment.isoformat()} carries no time zone; write it as {moment.isoformat()}Z")
    return moment.astimezone(UTC)


def parse_moment(text: str) -> datetime:
    """The moment in UTC that an ISO 8601 text with its zone names. Raises ValueError that says how to write one.

    >>> parse_moment("2013-01-15T00:00:00Z").day
    15
    >>> parse_moment("yesterday")
    Traceback (most recent call last):
    ValueError: 'yesterday' is no moment with its zone; write it as 2013-01-15T00:00:00Z
    """
    try:
        return utc(datetime.fromisoformat(text))
    except ValueError:
        raise ValueError(f"{text!r} is no moment with its zone; write it as 2013-01-15T00:00:00Z") from None


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """Half-open UTC interval ``[start, end)`` of event time."""

    start: datetime
    end: datetime

    def __post_init__(self) -> None:
        object.__setattr__(self, "start", utc(self.start))
        object.__setattr__(self, "end", utc(self.end))
        if self.end <= self.start:
            raise ValueError(f"window ends at {self.end.isoformat()}, not after its start {self.start.isoformat()}")

    @property
    def key(self) -> str:
        """Sorts by time and is fit for a file name or a run id: ``20130101T000000Z-20130115T000000Z``.

        >>> day(0).key
        '20130101T000000Z-20130102T000000Z'
        """
        return f"{self.start:%Y%m%dT%H%M%SZ}-{self.end:%Y%m%dT%H%M%SZ}"

    def overlaps(self, other: "Window") -> bool:
        """Whether the two share a moment.

        >>> day = [datetime(2013, 1, number, tzinfo=UTC) for number in range(1, 5)]
        >>> Window(start=day[0], end=day[2]).overlaps(Window(start=day[1], end=day[3]))
        True
        >>> Window(start=day[0], end=day[1]).overlaps(Window(start=day[1], end=day[2]))
        False
        """
        return self.start < other.end and other.start < self.end

    def without(self, others: Iterable["Window"]) -> tuple["Window", ...]:
        """What is left of it outside ``others``, in the order of time.

        >>> days = [Window(start=datetime(2013, 1, n, tzinfo=UTC), end=datetime(2013, 1, n + 1, tzinfo=UTC)) for n in
        ...     range(1, 5)]
        >>> whole = Window(start=days[0].start, end=days[2].end)
        >>> whole.without([days[1], days[3]]) == (days[0], days[2]), whole.without([whole])
        (True, ())
        """
        left, start = [], self.start
        for other in sorted(others, key=lambda window: window.start):
            if other.start > start:
                left.append((start, min(other.start, self.end)))
            start = max(start, other.end)
        left.append((start, self.end))
        return tuple(Window(start=start, end=end) for start, end in left if start < end)
