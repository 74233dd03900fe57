"""Why something was decided about a window: decisions, signals with their history, deliveries, pages."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from perennial.config import ModelConfig
from perennial.contracts import Signal, Window
from perennial.errors import ConfigError
from perennial.evidence.deliveries.quarantine import BatchQuarantine, read_quarantine
from perennial.ledger.decided import Decided, decided, newest_windows
from perennial.pipeline.readings import Reading, read_signals
from perennial.store import Store
from perennial.store.batches import BatchAccount, completeness, newest
from perennial.store.recent.signals import newest_since

__all__ = [
    "BatchQuarantine",
    "Often",
    "QuarantinedWindow",
    "WindowEvidence",
    "how_often",
    "in_quarantine",
    "name_of",
    "quarantined_windows",
    "read_page",
    "read_window",
    "window_of_key",
]

EVIDENTLY, VALIDATION = "evidently", "validation"
_MOST_EARLIER = 400


@dataclass(frozen=True, slots=True, kw_only=True)
class Often:
    """In how many of the last ``of`` windows, the one that is asked about included, a signal was breached."""

    breached: int
    of: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowEvidence:
    """Everything that a window's page shows. ``decisions`` are in the order they were written, ``often`` is by name of
    the signals that may act. ``pages`` are those that there are in the storage, with their paths.
    """

    window: Window
    decisions: tuple[Decided, ...]
    readings: tuple[Reading, ...]
    often: dict[str, Often]
    batches: tuple[BatchAccount, ...]
    pages: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class QuarantinedWindow:
    """How many rows of a window's newest deliveries are in quarantine, and whether one was halted."""

    window: Window
    n_quarantined: int
    n_arrived: int
    halted: bool


def read_window(config: ModelConfig, window: Window, *, store: Store) -> WindowEvidence:
    """Raises ConfigError for a window that nothing is known of, StoreUnavailable and StorageUnavailable."""
    decisions = decided(store, config.model, last=20, window=window)
    batches = newest(store, config.model, window)
    if not decisions and not batches:
        raise ConfigError(f"{config.model}: nothing is known of the window {window.key}")
    readings = _readings(config, window, store) if decisions else ()
    return WindowEvidence(
        window=window,
        decisions=decisions,
        readings=readings,
        often=_often(config, window, readings, store),
        batches=batches,
        pages=_pages(config, window, batches, store),
    )


def _readings(config: ModelConfig, window: Window, store: Store) -> tuple[Reading, ...]:
    """None of a window whose delivery was halted: it was decided, and never measured."""
    try:
        return read_signals(config, window.start, store=store)
    except ConfigError:
        return ()


def how_often(windows: Sequence[Window], measured: Iterable[Signal]) -> dict[str, Often]:
    """By name, in how many of ``windows`` a signal was breached. Pure.

    >>> from perennial.contracts import SignalName
    >>> how_often([day(0), day(1)], [subject.above(SignalName.drift("a"), "alert", 1.0, 0.1)])
    {'drift/a': Often(breached=1, of=2)}
    """
    names = [(signal.name, signal.status) for signal in measured if signal.window in windows]
    return {
        name: Often(breached=names.count((name, "breached")), of=len(windows)) for name in {name for name, _ in names}
    }


def _often(config: ModelConfig, window: Window, readings: Sequence[Reading], store: Store) -> dict[str, Often]:
    made = newest_windows(decided(store, config.model, last=_MOST_EARLIER), _MOST_EARLIER)
    before = [one.window for one in made if one.window.end <= window.end][-config.policy.breaches.n :]
    if not before:
        return {}
    acting = {name_of(one) for one in readings if one.role != "watch"}
    return how_often(before, newest_since(store, config.model, start=before[0].start, names=acting))


def name_of(one: Reading) -> str:
    """The name of a reading's signal, as the store has it. Pure."""
    return f"{one.family}/{one.subject}" if one.subject else one.family


def _pages(config: ModelConfig, window: Window, batches: Sequence[BatchAccount], store: Store) -> dict[str, str]:
    asked: dict[str, tuple[str, ...]] = {EVIDENTLY: (f"reports/{config.model}/{window.key}.html",)}
    for batch in batches:
        place = f"docs/{config.model}/{batch.batch_id}"
        asked[f"{VALIDATION}-{batch.source}"] = (f"{place}.again.html", f"{place}.html")
    found = {kind: next((path for path in paths if store.storage.exists(path)), None) for kind, paths in asked.items()}
    return {kind: path for kind, path in found.items() if path is not None}


def read_page(config: ModelConfig, window: Window, kind: str, *, store: Store) -> bytes | None:
    """What Great Expectations or Evidently wrote about a window, as it lies in the storage; None where it is not."""
    path = _pages(config, window, newest(store, config.model, window), store).get(kind)
    if path is None:
        return None
    with store.storage.filesystem.open_input_stream(store.storage.path(path)) as source:
        content: bytes = source.read()
    return content


def quarantined_windows(config: ModelConfig, *, store: Store) -> tuple[QuarantinedWindow, ...]:
    """The windows with rows in quarantine or a halted delivery, the newest first. Raises StoreUnavailable."""
    found = []
    for key, rows in completeness(store, config.model).items():
        halted = any(row.status == "halted" for row in rows)
        n_quarantined = sum(row.n_quarantined for row in rows)
        if halted or n_quarantined:
            n_arrived = sum(row.n_arrived for row in rows)
            window = window_of_key(key)
            found.append(
                QuarantinedWindow(window=window, n_quarantined=n_quarantined, n_arrived=n_arrived, halted=halted)
            )
    return tuple(sorted(found, key=lambda one: one.window.start, reverse=True))


def in_quarantine(
    config: ModelConfig, window: Window, *, store: Store, n_examples: int = 5
) -> tuple[BatchQuarantine, ...]:
    """The quarantined rows of one window by cause, with examples. Raises StoreUnavailable."""
    return read_quarantine(config, store=store, window=window, n_examples=n_examples)


def window_of_key(key: str) -> Window:
    """The window of :attr:`Window.key`. Raises ConfigError for a text that is none. Pure.

    >>> window_of_key(day(0).key) == day(0)
    True
    >>> window_of_key("yesterday")
    Traceback (most recent call last):
    perennial.errors.ConfigError: 'yesterday' is no window; write it as 20130101T000000Z-20130115T000000Z
    """
    start, _, end = key.partition("-")
    try:
        return Window(start=_moment(start), end=_moment(end))
    except ValueError:
        raise ConfigError(f"{key[:60]!r} is no window; write it as 20130101T000000Z-20130115T000000Z") from None


def _moment(text: str) -> datetime:
    return datetime.strptime(text, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
