"""Signal by window: how each signal stood in each of the newest windows, what was breached most first."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from perennial.config import ModelConfig
from perennial.contracts import Signal, SignalRole, SignalStatus, Window
from perennial.ledger.decided import Decided, newest_windows
from perennial.store import Store
from perennial.store.recent.signals import newest_since

MOST_WINDOWS = 30
_SEVERITY: dict[SignalStatus, int] = {"breached": 3, "undecided": 2, "unknown": 1, "ok": 0}


@dataclass(frozen=True, slots=True, kw_only=True)
class SignalRow:
    """One signal in each window, None where it was not measured; ``role`` is that of its newest value."""

    name: str
    role: SignalRole
    statuses: tuple[SignalStatus | None, ...]

    @property
    def quiet(self) -> bool:
        """Whether it was ``ok`` wherever it was measured."""
        return all(status in (None, "ok") for status in self.statuses)


@dataclass(frozen=True, slots=True)
class Grid:
    """The windows, oldest first, and every signal that was measured in one of them."""

    windows: tuple[Window, ...]
    rows: tuple[SignalRow, ...]


@dataclass(frozen=True, slots=True)
class Newest:
    """The newest windows that were decided, oldest first, and every signal of them as measured last."""

    windows: tuple[Window, ...]
    measured: tuple[Signal, ...]


def read_newest(config: ModelConfig, made: Sequence[Decided], *, store: Store, most: int = MOST_WINDOWS) -> Newest:
    """The newest ``most`` windows that were decided, with their signals. Raises StoreUnavailable."""
    windows = tuple(one.window for one in newest_windows(made, most))
    return Newest(windows, newest_since(store, config.model, start=windows[0].start) if windows else ())


def grid_of(windows: Sequence[Window], measured: Iterable[Signal]) -> Grid:
    """The signals of ``windows``, those first that were breached most often, and among them those that act. Pure.

    >>> from perennial.contracts import SignalName
    >>> found = [subject.above(SignalName.drift(name), "watch", value, 0.1) for name, value in (("a", 0), ("b", 1))]
    >>> [(row.name, row.statuses) for row in grid_of([day(0), day(1)], found).rows]
    [('drift/b', (None, 'breached')), ('drift/a', (None, 'ok'))]
    """
    places = {window: number for number, window in enumerate(windows)}
    of_names: dict[str, dict[int, Signal]] = {}
    for signal in measured:
        if signal.window in places:
            of_names.setdefault(signal.name, {})[places[signal.window]] = signal
    rows = [_row(name, found, len(windows)) for name, found in of_names.items()]
    return Grid(tuple(windows), tuple(sorted(rows, key=_urgency)))


def _row(name: str, found: Mapping[int, Signal], n_windows: int) -> SignalRow:
    statuses = tuple(found[number].status if number in found else None for number in range(n_windows))
    return SignalRow(name=name, role=found[max(found)].role, statuses=statuses)


def _urgency(row: SignalRow) -> tuple[bool, int, int, int, str]:
    counts = [row.statuses.count(status) for status in ("breached", "undecided", "unknown")]
    return (row.role == "watch" and not row.quiet and not counts[0], -counts[0], -counts[1], -counts[2], row.name)


def worst(measured: Iterable[Signal]) -> Signal | None:
    """The signal that most wants to be looked at: breached before undecided and unknown, acting before watched. Pure.

    >>> from perennial.contracts import SignalName
    >>> roles = {"a": "watch", "b": "alert"}
    >>> made = [subject.above(SignalName.drift(name), role, 1.0, 0.1) for name, role in roles.items()]
    >>> worst(made).name, worst([]), worst([subject.above(SignalName.drift("a"), "alert", 0.0, 0.1)])
    ('drift/b', None, None)
    """
    acting = {"halt": 0, "retrain": 1, "alert": 2, "watch": 3}
    wanted = [signal for signal in measured if signal.status != "ok"]
    return min(
        wanted, key=lambda one: (one.role == "watch", -_SEVERITY[one.status], acting[one.role], one.name), default=None
    )
