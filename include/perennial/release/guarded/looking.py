"""One look at a version in its bake: figures asked for, judged, and what they say kept in the ledger."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal

from perennial import ledger
from perennial.config import ModelConfig
from perennial.contracts import Decision, LedgerEntry, ReleaseState, Signal, Window, digest_of, to_record
from perennial.contracts.tags import CHAMPION
from perennial.errors import ServiceBehind, ServiceSilent, first_of
from perennial.guards.judging import breaches, judge
from perennial.registry import Registry
from perennial.release.guarded.asking import Counted, ask, holdout_of
from perennial.store import Store

LookStatus = Literal["idle", "unseen", "undecided", "ok", "breached", "unreachable"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What one look found; ``decision_id`` is there where the version is to be rolled back.

    ``idle``: no version is in its bake. ``unseen``: it was asked nothing yet. ``undecided``: some figure could not have
    shown a breach, or is unknown; that is no pass.
    """

    model: str
    status: LookStatus
    reason: str
    version: str | None = None
    signals: tuple[Signal, ...] = ()
    decision_id: str | None = None


def look(config: ModelConfig, url: str, *, key: str | None, store: Store, registry: Registry, now: datetime) -> Look:
    """Judge the champion, where it is in its bake, by what the service at ``url`` counted; the first of each status in
    a bake is an entry in the ledger, with its signals.

    Raises ServiceSilent where the service gives no figures, which is kept as well, ServiceBehind where it answers with
    another version; StoreUnavailable, RegistryUnavailable.
    """
    history = ledger.read(store, config.model)
    state, release = history.state, history.last("promotion")
    if state.pending is not None or not state.in_bake or state.champion is None or release is None:
        return Look(model=config.model, status="idle", reason="no version is in its bake", version=state.champion)
    at = _event_time(config, state, store, now)
    try:
        counted = ask(url, config, key=key)
    except ServiceSilent as error:
        silent = Look(model=config.model, status="unreachable", reason=str(error), version=state.champion)
        ledger.append(store, entry_of(config, silent, state, release, at=at))
        raise
    _refuse_behind(config, counted, release, now)
    found = seen(config, state.champion, release.payload.get("previous"), counted, registry=registry)
    entry = entry_of(config, found, state, release, at=at)
    ledger.append(store, entry)
    if entry.payload["decision"]["action"] == "rollback":
        found = replace(found, decision_id=entry.entry_id)
    return found


def seen(config: ModelConfig, version: str, previous: str | None, counted: Counted, *, registry: Registry) -> Look:
    """What the figures of a version say beside those of the one before, and beside its holdout."""
    own = counted.of(version, CHAMPION)
    if own is None:
        return Look(model=config.model, status="unseen", reason=f"version {version} was asked nothing", version=version)
    beside = [counted.of(previous, CHAMPION), holdout_of(config, version, own, registry=registry)]
    signals = judge(own, [one for one in beside if one is not None], config.release.guards, model=config.model)
    return told_by(config.model, version, signals)


def told_by(model: str, version: str, signals: Sequence[Signal]) -> Look:
    """The status of a look from its signals, and the sentence about it. Pure.

    >>> from perennial.contracts import SignalName
    >>> far = subject.known(SignalName.guard("score"), "alert", 0.5, threshold=0.2, breached=True, detail="900 rows")
    >>> none = subject.unknown(SignalName.guard("error_rate"), "alert", "no requests")
    >>> told_by("m", "3", [far, none]).reason
    'version 3 in its bake, without labels: guard/score 0.5 against 0.2 (900 rows)'
    >>> told_by("m", "3", [none]).status, told_by("m", "3", []).status
    ('undecided', 'undecided')
    """
    broken = breaches(signals)
    if broken:
        reason = f"version {version} in its bake, without labels: {first_of(map(_figures, broken))}"
        return Look(model=model, status="breached", reason=reason, version=version, signals=tuple(signals))
    n_of = Counter(signal.status for signal in signals)
    status: LookStatus = "ok" if signals and n_of["ok"] == len(signals) else "undecided"
    others = [signal.name for signal in signals if signal.status != "ok"]
    reason = f"version {version} in its bake: {n_of['ok']} of {len(signals)} guards are kept"
    reason += f"; not to be told from a breach yet: {first_of(others)}" if others else ""
    return Look(model=model, status=status, reason=reason, version=version, signals=tuple(signals))


def entry_of(config: ModelConfig, found: Look, state: ReleaseState, release: LedgerEntry, *, at: Window) -> LedgerEntry:
    """What the ledger keeps of a look: once for each status in a bake, and for what is done about each set of breached
    guards. Pure."""
    broken = breaches(found.signals)
    names = tuple(signal.name for signal in broken)
    act = bool(broken) and config.release.guards.on_breach == "rollback"
    entry_id = digest_of("guard", config.model, release.entry_id, found.status, names, act)
    decision = Decision(
        decision_id=entry_id,
        model=config.model,
        window=at,
        action="rollback" if act else "stay",
        reasons=(found.reason,),
        champion=state.champion,
        bake=state.bake,
        breached=names,
        unknown=tuple(one.name for one in found.signals if one.status == "unknown"),
        undecided=tuple(one.name for one in found.signals if one.status == "undecided"),
    )
    return LedgerEntry(
        entry_id=entry_id,
        model=config.model,
        kind="guard",
        at=at.end,
        actor="policy",
        reason=f"{found.status}: {found.reason}",
        version=state.champion,
        payload={
            "decision": to_record(decision),
            "status": found.status,
            "release": release.entry_id,
            "signals": [signal.compact() for signal in found.signals],
            "config_digest": config.digest,
        },
    )


def _event_time(config: ModelConfig, state: ReleaseState, store: Store, now: datetime) -> Window:
    """The stretch of event time that a look is about: until now, or, in a replay, until what was decided last."""
    since = state.champion_since or now
    until = now
    if config.serving.event_time == "given":
        until = max(since, ledger.newest_decided(store, config.model) or since)
    return Window(start=min(since, until - timedelta(seconds=1)), end=until)


def _refuse_behind(config: ModelConfig, counted: Counted, release: LedgerEntry, now: datetime) -> None:
    """A service that has had the time to follow a promotion, and did not, tells nothing of its version."""
    within = timedelta(seconds=config.serving.follow_within_s)
    if counted.version == release.version or (release.recorded_at and now < release.recorded_at + within):
        return
    raise ServiceBehind(
        f"{config.model}: version {release.version} is in its bake, and the service answers with "
        f"{f'version {counted.version}' if counted.version else 'no version'}: nobody guards the bake; /readyz and the "
        "log of the service say why"
    )


def _figures(signal: Signal) -> str:
    span = f" ({signal.interval})" if signal.interval else ""
    return f"{signal.name} {signal.value:.4g}{span} against {signal.threshold:.4g} ({signal.detail})"
