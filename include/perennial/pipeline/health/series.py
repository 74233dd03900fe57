"""A model over time: what its pages draw, window by window, and what happened between."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from perennial.config import ModelConfig
from perennial.contracts import LedgerEntry, LedgerKind, Signal, SignalName, SignalStatus, Window
from perennial.ledger import History
from perennial.ledger.decided import Decided
from perennial.store import Store
from perennial.store.batches import Completeness, completeness
from perennial.store.recent.signals import newest_since

Kind = Literal["promoted", "by shares", "bake passed", "bake failed", "rolled back", "halted", "blind", "retrain"]
_OF_ACTIONS: dict[str, Kind] = {"halt": "halted", "blind": "blind", "retrain": "retrain"}
_OF_LEDGER: tuple[LedgerKind, ...] = ("promotion", "canary", "bake", "rollback")


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A measured value with its interval and its bound, as far as it has them."""

    value: float | None
    low: float | None
    high: float | None
    bound: float | None
    status: SignalStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowFigures:
    """One window: what was decided, its rows, and what was measured of it, None where nothing was.

    ``quality`` is the realised metric, ``estimate`` the one expected without labels, ``gain`` what a retrain would have
    gained since the last one, ``drift`` the share of importance in drifted features. ``n_expected`` is None where
    nobody promised a number.
    """

    window: Window
    action: str
    reasons: tuple[str, ...]
    n_published: int
    n_quarantined: int
    n_expected: int | None
    quality: Figure | None
    estimate: Figure | None
    gain: Figure | None
    drift: Figure | None


@dataclass(frozen=True, slots=True)
class Happening:
    """Something that a page marks on the axis of time, at a moment of event time."""

    at: datetime
    kind: Kind
    words: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """The windows of a model in their order, what happened, and which metrics ``quality`` and ``gain`` are."""

    metric: str
    gain_metric: str
    windows: tuple[WindowFigures, ...]
    happenings: tuple[Happening, ...]


def read_series(config: ModelConfig, made: Sequence[Decided], history: History, *, store: Store) -> Series:
    """The windows that were decided, in their order, with their figures as measured last. Raises StoreUnavailable."""
    metric = quality_metric(config)
    names = {
        "quality": str(SignalName.performance(metric)),
        "estimate": str(SignalName("estimate", metric)),
        "gain": str(SignalName.gain(config.gain_metric_name)),
        "drift": drift_name(config),
        "reference": str(SignalName.drift("weighted_share")),
    }
    measured = newest_since(store, config.model, start=made[0].window.start, names=set(names.values())) if made else ()
    of_windows: dict[str, dict[str, Figure]] = {}
    for signal in measured:
        of_windows.setdefault(signal.window.key, {})[signal.name] = figure_of(signal)
    rows = completeness(store, config.model)
    windows = tuple(
        _figures(one, of_windows.get(one.window.key, {}), names, rows.get(one.window.key, ())) for one in made
    )
    return Series(
        metric=metric,
        gain_metric=config.gain_metric_name,
        windows=windows,
        happenings=happenings(made, history.of(*_OF_LEDGER)),
    )


def quality_metric(config: ModelConfig) -> str:
    """The metric that stands for a model's quality: the first of ``signals.performance``. Pure.

    >>> quality_metric(flights)
    'roc_auc'
    """
    return next(iter(config.signals.performance))


def drift_name(config: ModelConfig) -> str:
    """The signal that sums up drift: beside the season, where that is what counts. Pure.

    >>> drift_name(flights)
    'drift/weighted_share/vs_season'
    """
    return str(SignalName.drift("weighted_share", config.signals.drift.verdict))


def figure_of(signal: Signal) -> Figure:
    """A signal as a figure. Pure."""
    interval = signal.interval
    return Figure(
        value=signal.value,
        low=interval.low if interval else None,
        high=interval.high if interval else None,
        bound=signal.threshold,
        status=signal.status,
    )


def _figures(
    one: Decided, found: Mapping[str, Figure], names: Mapping[str, str], rows: Sequence[Completeness]
) -> WindowFigures:
    of_predictions = next((row for row in rows if row.source == "predictions"), None)
    drift = found.get(names["drift"])
    if drift is None or drift.value is None:  # no season is known yet
        drift = found.get(names["reference"])
    return WindowFigures(
        window=one.window,
        action=one.action,
        reasons=one.reasons,
        n_published=of_predictions.n_published if of_predictions else 0,
        n_quarantined=of_predictions.n_quarantined if of_predictions else 0,
        n_expected=of_predictions.n_expected if of_predictions else None,
        quality=found.get(names["quality"]),
        estimate=found.get(names["estimate"]),
        gain=found.get(names["gain"]),
        drift=drift,
    )


def happenings(made: Sequence[Decided], history: Sequence[LedgerEntry]) -> tuple[Happening, ...]:
    """What a page marks, in the order of time: releases, shares before them, bakes, decisions that matter. Pure.

    >>> stay = Decided(decision_id="d", window=day(0), action="stay", reasons=(), champion=None, retrain_run_id=None,
    ...     recorded_at=day(0).end)
    >>> happened = happenings([stay], [entry("canary", "4", number=1), entry("promotion", "4", number=2)])
    >>> [(one.kind, one.words) for one in happened]
    [('by shares', 'a reason'), ('promoted', 'version 4 promoted')]
    """
    found = [
        Happening(one.window.end, _OF_ACTIONS[one.action], "; ".join(one.reasons))
        for one in made
        if one.action in _OF_ACTIONS
    ]
    found += [_of_release(entry) for entry in history if made and entry.at >= made[0].window.start]
    return tuple(sorted(found, key=lambda one: one.at))


def _of_release(entry: LedgerEntry) -> Happening:
    if entry.kind == "promotion":
        return Happening(entry.at, "promoted", f"version {entry.version} promoted")
    if entry.kind == "rollback":
        words = f"back to version {entry.version}, by {entry.actor}: {entry.reason}"
        return Happening(entry.at, "rolled back", words)
    if entry.kind == "canary":
        return Happening(entry.at, "by shares", entry.reason)
    passed = entry.payload.get("outcome") == "passed"
    words = f"bake of version {entry.version} {'passed' if passed else 'failed'}"
    return Happening(entry.at, "bake passed" if passed else "bake failed", words)
