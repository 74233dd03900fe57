"""What happened to a model, window by window, and where it stands: read from the store alone."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select

from perennial.config import ModelConfig
from perennial.contracts import LedgerEntry, ReleaseState, Window, from_record
from perennial.contracts import Decision as DecisionRecord
from perennial.store import Store, ledger
from perennial.store.schema import batches, signals


@dataclass(frozen=True, slots=True, kw_only=True)
class TimelineRow:
    """One monitored window. Counts are of prediction rows; ``performance`` is of this window, known once mature."""

    window: Window
    n_published: int
    n_quarantined: int
    n_duplicate: int
    action: str
    reasons: tuple[str, ...]
    breached: tuple[str, ...]
    unknown: tuple[str, ...]
    performance: dict[str, float]
    events: tuple[str, ...]
    champion: str | None
    stable: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """Where a model stands now."""

    model: str
    champion: str | None
    champion_since: datetime | None
    in_bake: bool
    stable: str | None
    rolled_back: tuple[str, ...]
    open_holds: tuple[str, ...]
    last_window: Window | None
    last_action: str | None
    last_reasons: tuple[str, ...]


def timeline(config: ModelConfig, *, store: Store) -> tuple[TimelineRow, ...]:
    """Every decided window in the order of event time, as the ledger, the batches and the signals have it."""
    history = ledger.entries(store, config.model)
    latest: dict[str, LedgerEntry] = {}
    for entry in history:
        if entry.kind == "decision":
            latest[from_record(DecisionRecord, entry.payload["decision"]).window.key] = entry
    counts, measured = _counts(store, config.model), _performance(store, config)
    rows = []
    for key in sorted(latest):
        decision = from_record(DecisionRecord, latest[key].payload["decision"])
        state = ledger.fold(config.model, [entry for entry in history if entry.at <= decision.window.end])
        events = [entry for entry in history if _concerns(entry, decision.window)]
        rows.append(
            TimelineRow(
                window=decision.window,
                **counts.get(key, dict.fromkeys(("n_published", "n_quarantined", "n_duplicate"), 0)),
                action=decision.action,
                reasons=decision.reasons,
                breached=decision.breached,
                unknown=decision.unknown,
                performance=measured.get(key, {}),
                events=tuple(_tell(entry) for entry in events),
                champion=state.champion,
                stable=state.stable[-1] if state.stable else None,
            )
        )
    return tuple(rows)


def status(config: ModelConfig, *, store: Store) -> Status:
    """The model's champion, its bake, open holds and the last decision."""
    state: ReleaseState = ledger.release_state(store, config.model)
    decisions = ledger.entries(store, config.model, kinds=["decision"], last=1)
    last = from_record(DecisionRecord, decisions[-1].payload["decision"]) if decisions else None
    return Status(
        model=config.model,
        champion=state.champion,
        champion_since=state.champion_since,
        in_bake=state.in_bake,
        stable=state.stable[-1] if state.stable else None,
        rolled_back=tuple(sorted(state.rolled_back, key=int)),
        open_holds=tuple(f"{hold.entry_id}: {hold.reason}" for hold in state.holds if not hold.acknowledged),
        last_window=last.window if last else None,
        last_action=last.action if last else None,
        last_reasons=last.reasons if last else (),
    )


_TOLD = {
    "promotion": "version {version} promoted",
    "rollback": "rolled back to version {version}: {reason}",
    "bake": "bake of version {version} {outcome}",
    "hold": "retraining held: {reason}",
    "acknowledgement": "hold acknowledged: {reason}",
    "retrain_outcome": "retraining: {reason}",
    "review": "review of version {version}: {verdict} by {actor}",
    "signoff": "version {version}: {reason}",
    "integrity": "{reason}",
}


def _concerns(entry: LedgerEntry, window: Window) -> bool:
    return entry.kind in _TOLD and window.start < entry.at <= window.end


def _tell(entry: LedgerEntry) -> str:
    values: dict[str, Any] = {"outcome": "", "verdict": "", **entry.payload}
    return _TOLD[entry.kind].format_map(
        {**values, "version": entry.version, "reason": entry.reason, "actor": entry.actor}
    )


def _counts(store: Store, model: str) -> dict[str, dict[str, int]]:
    query = select(batches).where(batches.c.model == model, batches.c.source == "predictions").order_by(batches.c.seq)
    found: dict[str, dict[str, int]] = {}
    with store.begin() as connection:
        for row in connection.execute(query):
            window = Window(start=row.window_start, end=row.window_end)
            counts = {name: getattr(row, name) for name in ("n_published", "n_quarantined", "n_duplicate")}
            before = found.setdefault(window.key, dict.fromkeys(counts, 0))
            found[window.key] = {name: before[name] + counts[name] for name in counts}
    return found


def _performance(store: Store, config: ModelConfig) -> dict[str, dict[str, float]]:
    names = {f"performance/{metric}": metric for metric in config.signals.performance}
    query = (
        select(signals)
        .where(signals.c.model == config.model, signals.c.name.in_(names), signals.c.value.is_not(None))
        .order_by(signals.c.as_of)
    )
    found: dict[str, dict[str, float]] = {}
    with store.begin() as connection:
        for row in connection.execute(query):
            window = Window(start=row.window_start, end=row.window_end)
            found.setdefault(window.key, {})[names[row.name]] = row.value
    return found
