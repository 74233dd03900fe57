"""What one alert starts. The ledger remembers it: however often it is posted, and to whomever, it is one run."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from perennial import ledger
from perennial.contracts import LedgerEntry, RetrainRequest, Window, digest_of
from perennial.store.locks import model_lock

if TYPE_CHECKING:
    from perennial.config import ModelConfig
    from perennial.store import Store

ACTOR, ALERTS = "alertmanager", "alerts"
RETRIED_FOR = timedelta(hours=1)
"""For so long after it was written, the run of a firing is started again when the alert is posted again: whoever
wrote it may have died before Airflow knew of it. Airflow makes no second run of one id."""
_PATIENCE_S = 10
_LONGEST = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """One alert, as Alertmanager posts it."""

    alertname: str
    fingerprint: str
    starts_at: datetime
    firing: bool

    def entry_id(self, model: str) -> str:
        """The id of this firing in the ledger: labels and beginning, and nothing that a repetition changes.

        >>> began = day(0).start
        >>> first, again = (Alert(alertname="A", fingerprint="f", starts_at=began, firing=f) for f in (True, False))
        >>> first.entry_id("m") == again.entry_id("m"), first.entry_id("m") == first.entry_id("other")
        (True, False)
        """
        return digest_of("alert", model, self.fingerprint, self.starts_at.astimezone(UTC).isoformat())


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertAnswer:
    """What became of an alert, in words, and the run that is to be started; None for none."""

    said: str
    dag_id: str | None = None
    run_id: str | None = None
    conf: dict[str, Any] | None = None


def answer(config: ModelConfig, alert: Alert, *, window: Window | None, store: Store, now: datetime) -> AlertAnswer:
    """What ``alert`` starts of a model whose last window that is over is ``window``, written to the ledger.

    Raises StoreUnavailable, and LockTimeout where other alerts of the model are answered for long.
    """
    starts = config.alerts.starts.get(alert.alertname)
    if not alert.firing:
        return AlertAnswer(said="resolved: nothing is started")
    if starts is None:
        return AlertAnswer(said=f"alerts.starts in model.yaml of {config.model} names nothing that it starts")
    if starts == "monitor" and window is None:
        return AlertAnswer(said=f"no window of {config.model} is over yet")
    with model_lock(store, config.model, ALERTS, timeout_s=_PATIENCE_S):
        if standing := ledger.entry(store, alert.entry_id(config.model)):
            return _again(config, standing, store=store, now=now)
        if held_back := _held_back(config, starts, store=store, now=now):
            return AlertAnswer(said=f"held back: {held_back}")
        entry = _entry(config, alert, starts, window, store)
        ledger.append(store, entry)
        return _started(config, entry, entry.reason, store=store)


def _held_back(config: ModelConfig, starts: str, *, store: Store, now: datetime) -> str:
    acted = ledger.entries(store, config.model, kinds=["alert"], last=config.alerts.at_most)
    if limited := too_often(config, (entry.recorded_at or now for entry in acted), now):
        return limited
    if starts == "monitor":
        return ""
    from perennial.decision.alerted import read_against_alerted

    said = "; ".join(read_against_alerted(config, store=store))
    return said if len(said) <= _LONGEST else f"{said[:_LONGEST]}…"


def too_often(config: ModelConfig, acted: Iterable[datetime], now: datetime) -> str:
    """That alerts started as many runs as they may, where they did; empty else. Pure.

    >>> now = day(1).end
    >>> too_often(flights, [day(1).end] * 3, now), too_often(flights, [day(0).start] * 4, now)
    ('', '')
    >>> too_often(flights, [day(1).end] * 4, now)
    'alerts started 4 runs within 24 h, alerts.at_most is 4'
    """
    limit = config.alerts
    n_lately = sum(moment > now - limit.per for moment in acted)
    hours = limit.per.total_seconds() / 3600
    if n_lately < limit.at_most:
        return ""
    return f"alerts started {n_lately} runs within {hours:g} h, alerts.at_most is {limit.at_most}"


def _entry(config: ModelConfig, alert: Alert, starts: str, window: Window | None, store: Store) -> LedgerEntry:
    entry_id = alert.entry_id(config.model)
    run_id = f"alert__{entry_id}"
    conf: dict[str, Any] = {"request": digest_of("retrain_request", config.model, run_id)}
    at = ledger.newest_decided(store, config.model)
    if starts == "monitor" and window is not None:
        conf, at = {"window_start": window.start.isoformat(), "window_end": window.end.isoformat()}, window.end
    return LedgerEntry(
        entry_id=entry_id,
        model=config.model,
        kind="alert",
        at=at or alert.starts_at,
        actor=ACTOR,
        reason=f"{starts} started by the alert {alert.alertname}, which fires since {alert.starts_at.isoformat()}",
        payload={
            "alertname": alert.alertname,
            "fingerprint": alert.fingerprint,
            "starts_at": alert.starts_at.isoformat(),
            "starts": starts,
            "run_id": run_id,
            "conf": conf,
        },
    )


def _again(config: ModelConfig, standing: LedgerEntry, *, store: Store, now: datetime) -> AlertAnswer:
    said = f"{standing.reason}: that was done before"
    if standing.recorded_at is None or now - standing.recorded_at > RETRIED_FOR:
        return AlertAnswer(said=said)
    return _started(config, standing, said, store=store)


def _started(config: ModelConfig, entry: LedgerEntry, said: str, *, store: Store) -> AlertAnswer:
    """The run of a firing, whose request is one like any other: it counts for cooldown and budget."""
    from perennial.decision.record import record_request

    starts, run_id, conf = (entry.payload[key] for key in ("starts", "run_id", "conf"))
    if starts == "retrain":
        state = ledger.release_state(store, config.model)
        request = RetrainRequest(
            model=config.model,
            run_id=run_id,
            as_of=entry.at,
            cause=entry.reason,
            requested_by=ACTOR,
            champion=state.champion,
            bake=state.bake,
        )
        record_request(request, store=store)
    return AlertAnswer(said=said, dag_id=f"{config.model}__{starts}", run_id=run_id, conf=conf)
