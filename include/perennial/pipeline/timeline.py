"""What happened to a model, window by window, and where it stands: read from the store alone."""

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import accumulate
from typing import Any

from perennial import ledger
from perennial.config import ModelConfig
from perennial.contracts import Decision, LedgerEntry, PastGates, ReleaseState, SignalName, Window, from_record
from perennial.ledger.canaries import shared_in
from perennial.ledger.decided import Decided, decided
from perennial.store import Store
from perennial.store.batches import BatchAccount, Completeness, accounts, completeness
from perennial.store.signals import measured


@dataclass(frozen=True, slots=True, kw_only=True)
class TimelineRow:
    """One decision about a window. Counts are of prediction rows; ``performance`` is of this window, known once mature.

    ``breached`` names the breached signals of the roles retrain and alert, ``watched`` those that are only watched.
    ``completeness`` is the account of the window's deliveries by now, whichever of them was decided on.
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
    completeness: tuple[Completeness, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """Where a model stands now. ``past_gates`` says how its champion got past its gates, until its bake has passed."""

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
    past_gates: str | None = None
    shared: str | None = None
    """Which version answers a share of the requests; None where none does."""


def timeline(config: ModelConfig, *, store: Store) -> tuple[TimelineRow, ...]:
    """Every decision in the order of its window, as the ledger, the batches and the signals have it.

    A window has two rows when it was decided twice: halted, say, and decided again after a mended delivery. What
    followed (promotions, bakes, holds, the performance) stands with the last of them.
    """
    history = ledger.entries(store, config.model)
    counts, performance = accounts(store, config.model), _performance(store, config)
    complete = completeness(store, config.model)
    states = _States(config.model, history)
    made = [
        (from_record(Decision, entry.payload["decision"]), number)
        for number, entry in enumerate(history)
        if entry.kind == "decision"
    ]
    made.sort(key=lambda item: (item[0].window.start, item[0].window.end, item[1]))
    last_of = {decision.window.key: number for decision, number in made}
    events = _events([decision.window for decision, number in made if last_of[decision.window.key] == number], history)
    rows = []
    for decision, number in made:
        is_last = last_of[decision.window.key] == number
        state = states.known_by(decision.window.end) if is_last else states.after(number)
        watched = _watched(history[number])
        rows.append(
            TimelineRow(
                window=decision.window,
                **_sum(counts, history[number].payload["batch_ids"]),
                action=decision.action,
                reasons=decision.reasons,
                breached=tuple(name for name in decision.breached if name not in watched),
                watched=tuple(name for name in decision.breached if name in watched),
                unknown=decision.unknown,
                performance=performance.get(decision.window.key, {}) if is_last else {},
                events=events.get(decision.window.key, ()) if is_last else (),
                champion=state.champion,
                stable=state.stable[-1] if state.stable else None,
                completeness=complete.get(decision.window.key, ()),
            )
        )
    return tuple(rows)


class _States:
    """The release state after each entry of a history, folded once."""

    def __init__(self, model: str, history: Sequence[LedgerEntry]) -> None:
        states = accumulate(history, ledger.after, initial=ReleaseState(model=model))
        self._states = list(states)
        latest = list(accumulate(reversed([entry.at for entry in history]), min))
        self._earliest_from = latest[::-1]

    def after(self, number: int) -> ReleaseState:
        """The state once entry ``number`` was written."""
        return self._states[number + 1]

    def known_by(self, moment: datetime) -> ReleaseState:
        """The state after the last entry whose event time is not later than ``moment``."""
        return self._states[bisect_right(self._earliest_from, moment)]


def _events(windows: Sequence[Window], history: Sequence[LedgerEntry]) -> dict[str, tuple[str, ...]]:
    """What happened within each of the windows, ``(start, end]``, in words, in the order of the ledger."""
    found: dict[str, list[str]] = {}
    ordered = sorted(windows, key=lambda window: window.end)
    ends = [window.end for window in ordered]
    earliest_from = list(accumulate(reversed([window.start for window in ordered]), min))[::-1]
    for entry in history:
        number = bisect_left(ends, entry.at) if entry.kind in _SENTENCES else len(ordered)
        while number < len(ordered) and earliest_from[number] < entry.at:
            if ordered[number].start < entry.at:
                found.setdefault(ordered[number].key, []).append(sentence_of(entry))
            number += 1
    return {key: tuple(lines) for key, lines in found.items()}


def _watched(entry: LedgerEntry) -> frozenset[str]:
    """Breached signals of a decision, of whatever window, that are only watched: as their run measured them."""
    at = entry.at.isoformat()
    mine = [item for item in entry.payload["signals"] if item["status"] == "breached" and item["as_of"] == at]
    watched = {item["name"] for item in mine if item["role"] == "watch"}
    return frozenset(watched - {item["name"] for item in mine if item["role"] != "watch"})


def status(config: ModelConfig, *, store: Store) -> Status:
    """The model's champion, its bake, a release by shares, open holds and the last decision."""
    newest = decided(store, config.model, last=1)
    history = ledger.histories(store, [config.model], brief=True)[config.model]
    return status_in(history, newest[-1] if newest else None)


def status_in(history: ledger.History, last: Decided | None) -> Status:
    """Where a model stands whose ledger has ``history``, and whose last decision is ``last``. Pure."""
    state = history.state
    return Status(
        model=state.model,
        champion=state.champion,
        champion_since=state.champion_since,
        in_bake=state.in_bake,
        stable=state.stable[-1] if state.stable else None,
        rolled_back=tuple(sorted(state.rolled_back, key=int)),
        open_holds=tuple(f"{hold.entry_id}: {hold.reason}" for hold in state.holds if not hold.acknowledged),
        last_window=last.window if last else None,
        last_action=last.action if last else None,
        last_reasons=last.reasons if last else (),
        past_gates=str(state.past_gates) if state.past_gates else None,
        shared=shared_in(history),
    )


_SENTENCES = {
    "promotion": "version {version} promoted{past}",
    "rollback": "rolled back to version {version} by {actor}",
    "bake": "bake of version {version} {outcome}",
    "hold": "retraining on this stretch is held: {days}",
    "acknowledgement": "hold acknowledged by {actor}: {reason}",
    "review": "version {version} {verdict} by {actor}",
    "signoff": "version {version}: {reason}",
    "integrity": "{reason}",
    "traffic": "{reason}",
    "canary": "{reason}",
    "alert": "{reason}",
}


def sentence_of(entry: LedgerEntry) -> str:
    """An entry of the kinds that people should see, in words. Raises KeyError for another kind."""
    values: dict[str, Any] = {"outcome": "", "verdict": "", **entry.payload}
    word = entry.payload.get("past_gates")
    values["past"] = f" {from_record(PastGates, word)}" if word else ""
    if entry.kind == "hold":
        stretch = from_record(Window, entry.payload["stretch"])
        values["days"] = f"{stretch.start:%Y-%m-%d} to {stretch.end:%Y-%m-%d}"
    return _SENTENCES[entry.kind].format_map(
        {**values, "version": entry.version, "reason": entry.reason, "actor": entry.actor}
    )


_COUNTS = ("n_staged", "n_published", "n_quarantined", "n_duplicate")


def _sum(found: Mapping[str, BatchAccount], batch_ids: Sequence[str]) -> dict[str, int]:
    return {name: sum(getattr(found[key], name) for key in batch_ids if key in found) for name in _COUNTS}


def _performance(store: Store, config: ModelConfig) -> dict[str, dict[str, float]]:
    """By window, in the order in which ``model.yaml`` names the metrics; the newest value of each."""
    metrics = {str(SignalName.performance(metric)): metric for metric in config.signals.performance}
    found: dict[str, dict[str, float]] = {}
    for signal in measured(store, config.model, names=[SignalName.performance(m) for m in metrics.values()]):
        if signal.value is not None:
            found.setdefault(signal.window.key, {})[metrics[signal.name]] = signal.value
    return {key: {m: values[m] for m in metrics.values() if m in values} for key, values in found.items()}
