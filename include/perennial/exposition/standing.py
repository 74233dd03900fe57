"""The figures of one model, read by a fixed number of statements, each within the model's own rows of an index."""

from collections import Counter
from dataclasses import dataclass
from datetime import datetime

from perennial import ledger
from perennial.config import ModelConfig
from perennial.contracts import ReleaseState, Signal, SignalName
from perennial.ledger import History
from perennial.store import Store, batches, signals
from perennial.store.batches import Totals
from perennial.store.notices import kept

AT_MOST = 1000
"""Windows that are counted as not decided; more is as bad."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreFigures:
    """Where a model stands. ``counted`` are its ledger entries by kind and action, ``signals`` those of the newest run.

    ``quality`` are the signals of performance and gain, each as it was measured last. ``decided_until`` is the end of
    the latest window that was decided about, which is the present of everything in event time.
    """

    config: ModelConfig
    state: ReleaseState
    counted: Counter[tuple[str, str]]
    action: str | None
    decided_until: datetime | None
    decided_at: datetime | None
    signals: tuple[Signal, ...]
    quality: tuple[Signal, ...]
    totals: tuple[Totals, ...]
    incidents: dict[str, int]
    n_undelivered: int
    n_reviews: int
    n_windows_due: int


def read_standing(config: ModelConfig, *, store: Store, now: datetime) -> StoreFigures:
    """Everything that is exposed of a model. Raises StoreUnavailable."""
    history, newest = ledger.read(store, config.model), ledger.newest_decision(store, config.model)
    measured = signals.around(store, config.model)
    names = [str(SignalName.performance(metric)) for metric in config.signals.performance]
    names.append(str(SignalName.gain(config.gain_metric_name)))
    since = min((one.window.start for one in measured), default=now) - config.label.max_wait
    return StoreFigures(
        config=config,
        state=history.state,
        counted=ledger.counts(store, config.model),
        action=newest.reason.partition(":")[0] if newest else None,
        decided_until=newest.at if newest else None,
        decided_at=newest.recorded_at if newest else None,
        signals=measured,
        quality=signals.last_known(store, config.model, names=names, since=since),
        totals=batches.totals(store, config.model),
        incidents=kept.counts(store, config.model),
        n_undelivered=len(kept.undelivered(store, config.model)),
        n_reviews=waiting(history),
        n_windows_due=windows_due(config, newest.at if newest else None, now),
    )


def waiting(history: History) -> int:
    """How many versions passed their gates and wait for a person. Pure.

    >>> from dataclasses import replace
    >>> asked = replace(signed, review="manual")
    >>> line = replace(entry("signoff", "4", signoff=to_record(asked)), entry_id=asked.signoff_id)
    >>> waiting(History("m", (line,))), waiting(History("m", ()))
    (1, 0)
    """
    last_of = {item.version: history.signoff(item.entry_id) for item in history.of("signoff")}
    return sum(
        found is not None and found.passed and found.review == "manual" and history.review_of(found) is None
        for found in last_of.values()
    )


def windows_due(config: ModelConfig, decided_until: datetime | None, now: datetime) -> int:
    """How many windows of the schedule are over, with their grace, and not decided about. Pure.

    >>> from datetime import timedelta
    >>> begun = flights.schedule.start
    >>> [windows_due(flights, begun + timedelta(days=14), begun + timedelta(days=n)) for n in (14, 27, 28, 42)]
    [0, 0, 1, 2]
    >>> windows_due(flights, flights.schedule.end, begun + timedelta(days=9000))
    0
    """
    schedule = config.schedule
    since, until = decided_until or schedule.start, min(now - config.grace, schedule.end or now)
    return max(0, min((until - since) // schedule.length(since), AT_MOST))
