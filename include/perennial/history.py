"""What happened to a model, window by window, and where it stands: read from the store alone."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select

from perennial.config import ModelConfig
from perennial.contracts import Decision as DecisionRecord
from perennial.contracts import LedgerEntry, ReleaseState, Window, from_record
from perennial.store import Store, ledger
from perennial.store.schema import batches, signals


@dataclass(frozen=True, slots=True, kw_only=True)
class TimelineRow:
    """One decision about a window. Counts are of prediction rows; ``performance`` is of this window, known once mature.

    ``breached`` names the breached signals of the roles retrain and alert, ``watched`` those that are only watched.
    """

    window: Window
    n_staged: int
    n_published: int
    n_quarantined: int
    n_duplicate: int
    action: str
    reasons: tuple[str, ...]
    breached: tuple[str, ...]
    watched: tuple[str, ...]
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
    """Every decision in the order of its window, as the ledger, the batches and the signals have it.

    A window has two rows when it was decided twice: halted, say, and decided again after a mended delivery. What
    followed (promotions, bakes, holds, the performance) stands with the last of them.
    """
    history = ledger.entries(store, config.model)
    roles = _roles(store, config.model)
    counts, measured = _counts(store, config.model), _performance(store, config)
    made = [
        (from_record(DecisionRecord, entry.payload["decision"]), entry) for entry in history if entry.kind == "decision"
    ]
    made.sort(key=lambda item: (item[0].window.start, item[0].window.end, item[1].seq or 0))
    last_of = {decision.window.key: decision.decision_id for decision, _ in made}
    rows = []
    for decision, entry in made:
        is_last = last_of[decision.window.key] == decision.decision_id
        known = [other for other in history if _is_known(other, decision, entry, is_last)]
        state = ledger.fold(config.model, known)
        told = [other for other in known if is_last and _concerns(other, decision.window)]
        watched = [name for name in decision.breached if roles.get((decision.window.key, name)) == "watch"]
        rows.append(
            TimelineRow(
                window=decision.window,
                **_sum(counts, entry.payload["batch_ids"]),
                action=decision.action,
                reasons=decision.reasons,
                breached=tuple(name for name in decision.breached if name not in watched),
                watched=tuple(watched),
                unknown=decision.unknown,
                performance=measured.get(decision.window.key, {}) if is_last else {},
                events=tuple(_tell(other) for other in told),
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
    "rollback": "rolled back to version {version} by {actor}",
    "bake": "bake of version {version} {outcome}",
    "hold": "retraining on this stretch is held: {days}",
    "acknowledgement": "hold acknowledged by {actor}: {reason}",
    "review": "version {version} {verdict} by {actor}",
    "signoff": "version {version}: {reason}",
    "integrity": "{reason}",
}


def _is_known(other: LedgerEntry, decision: DecisionRecord, entry: LedgerEntry, is_last: bool) -> bool:
    """True for what stood in the ledger after this decision and before the next window's."""
    return other.at <= decision.window.end and (is_last or (other.seq or 0) <= (entry.seq or 0))


def _concerns(entry: LedgerEntry, window: Window) -> bool:
    return entry.kind in _TOLD and window.start < entry.at <= window.end


def _tell(entry: LedgerEntry) -> str:
    values: dict[str, Any] = {"outcome": "", "verdict": "", **entry.payload}
    if entry.kind == "hold":
        stretch = from_record(Window, entry.payload["stretch"])
        values["days"] = f"{stretch.start:%Y-%m-%d} to {stretch.end:%Y-%m-%d}"
    return _TOLD[entry.kind].format_map(
        {**values, "version": entry.version, "reason": entry.reason, "actor": entry.actor}
    )


_COUNTS = ("n_staged", "n_published", "n_quarantined", "n_duplicate")


def _counts(store: Store, model: str) -> dict[str, dict[str, int]]:
    """The accounts of every batch of predictions, by its id."""
    query = select(batches).where(batches.c.model == model, batches.c.source == "predictions")
    with store.begin() as connection:
        return {row.batch_id: {name: getattr(row, name) for name in _COUNTS} for row in connection.execute(query)}


def _sum(counts: dict[str, dict[str, int]], batch_ids: list[str]) -> dict[str, int]:
    return {name: sum(counts[key][name] for key in batch_ids if key in counts) for name in _COUNTS}


def _roles(store: Store, model: str) -> dict[tuple[str, str], str]:
    """The role of every breached signal, by the key of its window and its name."""
    query = select(signals.c.as_of, signals.c.name, signals.c.role, signals.c.window_start, signals.c.window_end).where(
        signals.c.model == model, signals.c.status == "breached"
    )
    with store.begin() as connection:
        return {
            (Window(start=row.window_start, end=row.window_end).key, row.name): row.role
            for row in connection.execute(query)
        }


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
