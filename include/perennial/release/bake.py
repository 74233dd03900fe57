"""The bake: the probation of a new champion, judged window by window on labels that are in."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import distinct_on

from perennial.config import ModelConfig
from perennial.contracts import BakeState, LedgerEntry, ReleaseState, Window, digest_of
from perennial.registry import Registry
from perennial.registry.versions import set_alias
from perennial.release.promote import LOCK
from perennial.store import Store, ledger, schema
from perennial.store.locks import model_lock

Verdict = Literal["passed", "failed", "unknown"]


@dataclass(frozen=True, slots=True, kw_only=True)
class BakeWindow:
    """The verdict over one window of a bake, and the figures it rests on."""

    window: Window
    verdict: Verdict
    detail: str


def verdict_of(statuses: dict[str, str], required: Iterable[str]) -> Verdict:
    """Failed when anything measured is breached; passed when all that is required was measured; else unknown.

    >>> verdict_of({"bake/roc_auc": "ok", "bake/roc_auc_vs_stable": "ok"}, ["bake/roc_auc", "bake/roc_auc_vs_stable"])
    'passed'
    >>> verdict_of({"bake/roc_auc": "ok", "bake/roc_auc_vs_stable": "breached"}, ["bake/roc_auc"])
    'failed'
    >>> verdict_of({"bake/roc_auc": "ok"}, ["bake/roc_auc", "bake/roc_auc_vs_stable"])
    'unknown'
    """
    if "breached" in statuses.values():
        return "failed"
    return "passed" if all(statuses.get(name) == "ok" for name in required) else "unknown"


def outcome_of(verdicts: Iterable[Verdict], *, windows: int, allowed_failures: int) -> BakeState:
    """The end of a bake, reached at the first window that decides it; oldest first. Unknown windows prolong it.

    >>> outcome_of(["passed", "unknown", "passed"], windows=2, allowed_failures=0)
    'passed'
    >>> outcome_of(["passed", "failed", "passed"], windows=2, allowed_failures=0)
    'failed'
    >>> outcome_of(["passed", "unknown", "unknown"], windows=2, allowed_failures=0)
    'running'
    """
    n_seen = Counter[Verdict]()
    for verdict in verdicts:
        n_seen[verdict] += 1
        if n_seen["failed"] > allowed_failures:
            return "failed"
        if n_seen["passed"] >= windows:
            return "passed"
    return "running"


def settle(config: ModelConfig, *, state: ReleaseState, store: Store, registry: Registry, at: datetime) -> BakeState:
    """Whether the champion's bake passed, failed or goes on, on the signals measured by ``at``; an end is recorded.

    A bake that passed makes the champion the stable version, in the ledger and then as alias ``stable``. A failed one
    is only recorded: what follows is decided by the policy. A bake has no deadline: windows without evidence prolong
    it, since neither trust nor a rollback may rest on missing labels. A champion that was baked before answers
    ``none``, or its outcome where that was reached at this very ``at``. Raises LockTimeout, RegistryUnavailable,
    StoreUnavailable.
    """
    if state.bake_failed:
        return "failed"
    if not state.in_bake:
        return _reached_now(config.model, at, store)
    with model_lock(store, config.model, LOCK):
        state = ledger.release_state(store, config.model)
        if not state.in_bake or state.champion is None:
            return _reached_now(config.model, at, store)
        found = bake_windows(config, state, at=at, store=store)
        outcome = outcome_of(
            (window.verdict for window in found),
            windows=config.bake.windows,
            allowed_failures=config.bake.allowed_failures,
        )
        if outcome in ("passed", "failed"):
            ledger.append(store, _entry(config, state, outcome, found, at))
        if outcome == "passed":
            set_alias(registry, config.model, "stable", state.champion)
    return outcome


def bake_windows(config: ModelConfig, state: ReleaseState, *, at: datetime, store: Store) -> tuple[BakeWindow, ...]:
    """The windows of the present bake so far, oldest first; the newest measurement by ``at`` counts."""
    table = schema.signals
    absolute = f"bake/{config.bake.metric}"
    paired = f"{absolute}_vs_stable"
    key = (table.c.window_start, table.c.window_end, table.c.name)
    query = (
        select(table)
        .where(
            table.c.model == config.model,
            table.c.version == state.champion,
            table.c.name.in_([absolute, paired]),
            table.c.window_start >= state.champion_since,
            table.c.as_of <= at,
        )
        .ext(distinct_on(*key))
        .order_by(*key, table.c.as_of.desc())
    )
    required = (absolute, paired) if set(state.stable) - {state.champion} else (absolute,)
    with store.begin() as connection:
        rows = connection.execute(query).all()
    windows: dict[Window, dict[str, str]] = {}
    details: dict[Window, list[str]] = {}
    for row in rows:
        window = Window(start=row.window_start, end=row.window_end)
        windows.setdefault(window, {})[row.name] = row.status
        measured = "unknown" if row.value is None else f"{row.value:.4g} against {row.threshold:.4g}"
        details.setdefault(window, []).append(f"{row.name} {measured} {row.detail}".rstrip())
    return apart(
        BakeWindow(window=window, verdict=verdict_of(statuses, required), detail="; ".join(details[window]))
        for window, statuses in windows.items()
    )


def apart(found: Iterable[BakeWindow]) -> tuple[BakeWindow, ...]:
    """Windows that share no moment, oldest first: a run by hand over other bounds brings no second evidence.

    Of windows that overlap a failed one is kept before any other, then one that passed, then the older one. Pure.
    """
    ranks: dict[Verdict, int] = {"failed": 0, "passed": 1, "unknown": 2}
    kept: list[Window] = []
    by_window = {item.window: item for item in found}
    for window in sorted(by_window, key=lambda window: (ranks[by_window[window].verdict], window.start, window.end)):
        if all(window.end <= other.start or other.end <= window.start for other in kept):
            kept.append(window)
    return tuple(by_window[window] for window in sorted(kept, key=lambda window: window.start))


def _entry(
    config: ModelConfig, state: ReleaseState, outcome: BakeState, windows: tuple[BakeWindow, ...], at: datetime
) -> LedgerEntry:
    """The end of this promotion's bake. A champion has one bake per day it took office, and so one such entry. Pure."""
    n_seen = Counter(window.verdict for window in windows)
    since = state.champion_since.isoformat() if state.champion_since else None
    return LedgerEntry(
        entry_id=digest_of("bake", config.model, state.champion, since),
        model=config.model,
        kind="bake",
        at=at,
        actor="policy",
        reason=(
            f"bake {outcome}: {n_seen['passed']} windows passed ({config.bake.windows} needed), {n_seen['failed']} "
            f"failed ({config.bake.allowed_failures} allowed), {n_seen['unknown']} unknown"
        ),
        version=state.champion,
        payload={
            "outcome": outcome,
            "windows": [
                {"window": window.window.key, "verdict": window.verdict, "detail": window.detail} for window in windows
            ],
        },
    )


def _reached_now(model: str, at: datetime, store: Store) -> BakeState:
    """The outcome of a bake that an earlier try of the same run recorded; ``none`` otherwise."""
    last = ledger.entries(store, model, kinds=["promotion", "rollback", "bake"], last=1)
    if not last or last[0].kind != "bake" or last[0].at != at:
        return "none"
    return "passed" if last[0].payload["outcome"] == "passed" else "failed"
