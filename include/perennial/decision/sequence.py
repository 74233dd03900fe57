"""Which windows a policy of k of n counts: those that the schedule asked for, one place each."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from itertools import count, dropwhile, islice

from perennial.contracts import Signal, SignalStatus, Window


def last_windows(
    newest: Window,
    n: int,
    *,
    every: timedelta | None,
    seen: Iterable[Window] = (),
    waiting: Iterable[Window] = (),
    excluded: Iterable[Window] = (),
) -> tuple[Window, ...]:
    """The last ``n`` places up to ``newest``, oldest first; they share no moment.

    With ``every`` a place is that long, counted back from the end of ``newest``, whether anything was delivered or not.
    Without it (a cron schedule) places are the windows ``seen``. A place that overlaps an ``excluded`` stretch drops
    out, and so do the newest ones that hold a window which is ``waiting`` for its labels. Pure.

    >>> from datetime import UTC, datetime
    >>> ends = [datetime(2013, 1, number, tzinfo=UTC) for number in range(1, 10)]
    >>> days = [Window(start=start, end=end) for start, end in zip(ends, ends[1:])]
    >>> def starts(**other): return [place.start.day for place in last_windows(days[7], 3, **other)]
    >>> starts(every=timedelta(days=1))
    [6, 7, 8]
    >>> starts(every=timedelta(days=1), waiting=days[6:])
    [4, 5, 6]
    >>> starts(every=timedelta(days=1), excluded=[days[5]])
    [5, 7, 8]
    >>> starts(every=None, seen=[days[0], days[2], days[7], Window(start=days[2].start, end=days[4].end)])
    [1, 3, 8]
    """
    out, late = tuple(excluded), tuple(waiting)
    places = _counted_back(newest, every) if every else _apart(newest, seen)
    kept = (place for place in places if not any(place.overlaps(stretch) for stretch in out))
    counted = dropwhile(lambda place: any(holds(place, window) for window in late), kept)
    return tuple(islice(counted, n))[::-1]


def _counted_back(newest: Window, every: timedelta) -> Iterator[Window]:
    for number in count():
        yield Window(start=newest.end - (number + 1) * every, end=newest.end - number * every)


def _apart(newest: Window, seen: Iterable[Window]) -> Iterator[Window]:
    """Newest first, each ending before the one after it began; of two with one end the longer, as scheduled."""
    taken = newest
    yield taken
    for window in sorted(set(seen), key=lambda window: (window.end, window.end - window.start), reverse=True):
        if window.end <= taken.start:
            taken = window
            yield taken


def holds(place: Window, window: Window) -> bool:
    """Whether a window has its place here: its middle lies in it, so that it has one place and no other. Pure."""
    middle = window.start + (window.end - window.start) / 2
    return place.start <= middle < place.end


def in_places(places: Sequence[Window], signals: Iterable[Signal]) -> tuple[Signal | None, ...]:
    """The one signal of each place, or None: that of the scheduled window before that of a run by hand. Pure."""
    measured = list(signals)
    here = ([one for one in measured if holds(place, one.window)] for place in places)
    return tuple(max(found, key=_of(place), default=None) for place, found in zip(places, here, strict=True))


def _of(place: Window) -> Callable[[Signal], tuple[bool, timedelta, str]]:
    def rank(signal: Signal) -> tuple[bool, timedelta, str]:
        window = signal.window
        return window == place, min(window.end, place.end) - max(window.start, place.start), window.key

    return rank


def status_of(signal: Signal | None) -> SignalStatus:
    """A place where nothing was measured is unknown. Pure."""
    return "unknown" if signal is None else signal.status


def breached_often(statuses: Sequence[SignalStatus], *, k: int, n: int) -> bool:
    """At least ``k`` of the last ``n`` windows breached, and the newest measured one of them; oldest first.

    An unknown window takes its place among the ``n``, and is neither a breach nor a pass: evidence grows old even when
    nothing follows it.

    >>> breached_often(["breached", "ok", "breached"], k=2, n=3)
    True
    >>> breached_often(["breached", "breached", "ok"], k=2, n=3)
    False
    >>> breached_often(["breached", "breached", "unknown"], k=2, n=3)
    True
    >>> breached_often(["unknown", "unknown", "unknown"], k=1, n=3)
    False
    >>> breached_often([], k=1, n=1)
    False
    """
    last = statuses[-n:]
    measured = [status for status in last if status != "unknown"]
    return bool(measured) and measured[-1] == "breached" and measured.count("breached") >= k


def lasting(statuses: Sequence[SignalStatus]) -> list[SignalStatus]:
    """Each status as it counts where a breach lasts until the figure is surely back; oldest first. Pure.

    >>> lasting(["breached", "undecided", "unknown", "undecided", "ok", "undecided"])
    ['breached', 'breached', 'unknown', 'breached', 'ok', 'undecided']
    """
    found: list[SignalStatus] = []
    known: SignalStatus = "ok"
    for status in statuses:
        known = status if status in ("breached", "ok") else known
        found.append(known if status == "undecided" and known == "breached" else status)
    return found


def by_name(signals: Iterable[Signal]) -> Mapping[str, list[Signal]]:
    """The signals of each name, sorted by it. Pure."""
    found: dict[str, list[Signal]] = {}
    for signal in sorted(signals, key=lambda signal: signal.name):
        found.setdefault(signal.name, []).append(signal)
    return found
