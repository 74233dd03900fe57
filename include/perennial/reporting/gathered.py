"""All that the report of a model tells: from the readings of ``perennial status``, ``timeline`` and ``signals``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from perennial import ledger
from perennial.config import ModelConfig
from perennial.contracts import LedgerKind, Signal, SignalName, Window
from perennial.errors import ConfigError
from perennial.pipeline.readings import Reading, read_signals
from perennial.pipeline.timeline import Status, TimelineRow, sentence_of, status, timeline
from perennial.store.signals import measured

if TYPE_CHECKING:
    from perennial.evidence.deliveries.quarantine import BatchQuarantine
    from perennial.pipeline import Case

QUARANTINED_WINDOWS = 10
"""Of so many windows with rows in quarantine, the newest, the report says why."""
_HISTORY: tuple[LedgerKind, ...] = (
    "signoff", "review", "canary", "promotion", "bake", "rollback", "hold", "acknowledgement", "integrity"
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Happened:
    """One line of the release history: an entry of the ledger in words. ``at`` is its event time."""

    at: datetime
    kind: LedgerKind
    actor: str
    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Gathered:
    """A model as it is told of: ``window`` is the one whose decision and signals are shown, None before the first.

    ``rows`` is every decision, in the order of windows; ``series`` the values of a signal by its name, window by window
    as each was measured last; ``quarantine`` that of the newest windows that have rows in it; ``n_reviews`` how many
    candidates wait for a person.
    """

    config: ModelConfig
    status: Status
    window: Window | None
    rows: tuple[TimelineRow, ...]
    readings: tuple[Reading, ...]
    series: dict[str, tuple[Signal, ...]]
    history: tuple[Happened, ...]
    quarantine: tuple[BatchQuarantine, ...]
    n_reviews: int

    @property
    def decided(self) -> TimelineRow | None:
        """The last decision about ``window``; None where it was measured and not decided."""
        return next((row for row in reversed(self.rows) if row.window == self.window), None)


def gather(case: Case, start: datetime | None = None) -> Gathered:
    """What is known of a model, with the decision about the window that begins at ``start``: the newest unless given.

    Raises ConfigError for a window that was neither decided nor measured, StoreUnavailable.
    """
    config, store = case.config, case.store
    rows = timeline(config, store=store)
    decided = next((row.window for row in reversed(rows) if start is None or row.window.start == start), None)
    # a window whose delivery was halted was decided, and never measured
    try:
        readings = read_signals(config, start or (decided.start if decided else None), store=store)
    except ConfigError:
        if decided is None:
            raise
        readings = ()
    history = ledger.History(config.model, ledger.entries(store, config.model, kinds=_HISTORY))
    return Gathered(
        config=config,
        status=status(config, store=store),
        window=decided or next((reading.window for reading in readings), None),
        rows=rows,
        readings=readings,
        series=_series(case, [*quality_names(config), *drift_names(config)]),
        history=tuple(
            Happened(at=entry.at, kind=entry.kind, actor=entry.actor, sentence=sentence_of(entry))
            for entry in history.entries
        ),
        quarantine=_quarantine(case, rows),
        n_reviews=sum(one.review == "manual" for one in history.open_reviews()),
    )


def quality_names(config: ModelConfig) -> tuple[SignalName, ...]:
    """The signals that say how good the model is: its metrics, and what a retrain would gain.

    >>> [str(name) for name in quality_names(flights)]
    ['performance/roc_auc', 'performance/accuracy', 'gain/roc_auc']
    """
    gain = () if config.signals.gain.probe == "none" else (SignalName.gain(config.gain_metric_name),)
    return (*(SignalName.performance(metric) for metric in config.signals.performance), *gain)


def drift_names(config: ModelConfig) -> tuple[SignalName, ...]:
    """The signals that say how far what is asked lies from what the model learnt: score, all it uses, every feature.

    >>> [str(name) for name in drift_names(flights)][:3]
    ['drift/score', 'drift/weighted_share', 'drift/scheduled_hour']
    """
    return tuple(SignalName.drift(column) for column in ("score", "weighted_share", *config.features))


def _series(case: Case, names: Sequence[SignalName]) -> dict[str, tuple[Signal, ...]]:
    """The newest value of each window, by name and in the order of windows."""
    found: dict[str, dict[Window, Signal]] = {str(name): {} for name in names}
    for signal in measured(case.store, case.model, names=names):
        found[signal.name][signal.window] = signal
    return {
        name: tuple(sorted(of_windows.values(), key=lambda one: one.window.end)) for name, of_windows in found.items()
    }


def _quarantine(case: Case, rows: Sequence[TimelineRow]) -> tuple[BatchQuarantine, ...]:
    bad = [row.window for row in reversed(rows) if row.n_quarantined or row.action == "halt"]
    newest = list(dict.fromkeys(bad))[:QUARANTINED_WINDOWS]
    return tuple(batch for window in newest for batch in case.quarantine(window))
