"""Which incidents there are: a pure function of the ledger, the newest signals, and what a run saw of its own tasks."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from perennial.config import ModelConfig
from perennial.config.notify import Severity
from perennial.contracts import Decision, LedgerEntry, PastGates, Signal, SignalName, from_record
from perennial.errors import first_of
from perennial.ledger import History
from perennial.notifying.incidents import Incident, Kind

TOLD_FOR = timedelta(days=3)
"""An event that was written longer ago is history, and nobody is told of it any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """What incidents are derived from.

    ``history`` holds all entries of the ledger but the decisions, ``newest`` is the decision about the latest window.
    ``measured`` are the signals of the newest measured window and of its run, ``known`` those that an open alert
    named, as they were measured last. ``lasting`` are the incidents that are not over. ``tasks`` are those of the run
    that asks, with what failed in them, or None for one that went well.
    """

    now: datetime
    history: History
    newest: LedgerEntry | None = None
    measured: tuple[Signal, ...] = ()
    known: tuple[Signal, ...] = ()
    lasting: tuple[Incident, ...] = ()
    tasks: Mapping[str, str | None] = field(default_factory=dict)


def find(config: ModelConfig, seen: Situation) -> tuple[Incident, ...]:
    """Everything that holds now, and the events of the last ``TOLD_FOR``, in the order of ``Kind``. Pure."""
    return (
        *_alerts(config, seen),
        *_decided(config, seen),
        *_bake_failed(config, seen),
        *_reviews(config, seen),
        *_events(config, seen),
        *faults(config.model, seen),
    )


def _alerts(config: ModelConfig, seen: Situation) -> Iterator[Incident]:
    """One incident a family of signals. It lasts until every signal that it named was measured, and found in order."""
    newest = max((signal.as_of for signal in seen.measured), default=None)
    now_breached = [one for one in seen.measured if one.status == "breached" and one.as_of == newest]
    not_in_order = {one.name: one for one in seen.known if one.status in ("breached", "undecided")}
    found = {**not_in_order, **{one.name: one for one in now_breached}}
    families: dict[str, list[Signal]] = {}
    for name in sorted(found):
        if found[name].role == "alert":
            families.setdefault(SignalName.family_of(name), []).append(found[name])
    for family, signals in families.items():
        yield Incident(
            model=config.model,
            kind="alert",
            severity="warning",
            subject=family,
            began=seen.now.isoformat(),
            since=min(signal.window.start for signal in signals),
            what=first_of(map(_figures, signals)),
            done=_serving(seen),
            asked="look at what changed, and at whether it is the world or the data; nothing is retrained for it",
            lasts=True,
            names=tuple(signal.name for signal in signals),
        )


def _decided(config: ModelConfig, seen: Situation) -> Iterator[Incident]:
    """The newest decision, where it is red."""
    if seen.newest is None:
        return
    decision = from_record(Decision, seen.newest.payload["decision"])
    by_action: dict[str, tuple[Kind, str, str]] = {
        "halt": (
            "halted",
            "nothing is decided about this window",
            "mend what it names and run the window again",
        ),
        "blind": (
            "blind",
            "nothing is decided on what can not be seen",
            "bring what is missing, or decide by hand, as it says",
        ),
    }
    if decision.action not in by_action:
        return
    kind, done, asked = by_action[decision.action]
    yield Incident(
        model=config.model,
        kind=kind,
        severity="critical",
        subject="",
        began=seen.newest.entry_id,
        since=decision.window.start,
        what="; ".join(decision.reasons),
        done=f"{done}; {_serving(seen)}",
        asked=asked,
        lasts=True,
    )


def _bake_failed(config: ModelConfig, seen: Situation) -> Iterator[Incident]:
    """A champion that is known to disappoint, and nothing to go back to; with a fallback it is rolled back instead."""
    state, bake = seen.history.state, seen.history.last("bake")
    if state.bake != "failed" or state.fallback or bake is None:
        return
    yield Incident(
        model=config.model,
        kind="bake_failed",
        severity="critical",
        subject=str(state.champion),
        began=bake.entry_id,
        since=bake.at,
        what=f"version {state.champion} failed its bake: {bake.reason}",
        done="it goes on serving, since no other version ever passed its bake; a retrain is asked for when it can be",
        asked="see whether it shall go on serving meanwhile",
        lasts=True,
    )


def _reviews(config: ModelConfig, seen: Situation) -> Iterator[Incident]:
    """Signoffs that passed and wait for a person."""
    last_of = {str(entry.version): entry for entry in seen.history.of("signoff")}
    for entry in last_of.values():
        signed = seen.history.signoff(entry.entry_id)
        if signed is None or not signed.passed or signed.review != "manual" or seen.history.review_of(signed):
            continue
        by = (entry.recorded_at or seen.now) + config.signoff.review.deadline
        flags = f"; flags on its data: {first_of(signed.flags)}" if signed.flags else ""
        yield Incident(
            model=config.model,
            kind="review",
            severity="warning",
            subject=signed.version,
            began=entry.entry_id,
            since=entry.recorded_at or entry.at,
            what=f"version {signed.version} passed its gates ({len(signed.gates)}) against champion "
            f"{signed.champion_seen or 'none'}{flags}",
            done=f"{_serving(seen)} until somebody answers",
            asked=f"approve or reject version {signed.version} by {by:%Y-%m-%d %H:%M} UTC; it is rejected then",
            lasts=True,
        )


def _events(config: ModelConfig, seen: Situation) -> Iterator[Incident]:
    """What was written lately, told once; a rollback lasts while its hold waits for somebody's word."""
    for entry in seen.history.entries:
        incident_of = _EVENTS.get(entry.kind)
        incident = incident_of(config, entry, seen) if incident_of else None
        late = (entry.recorded_at or seen.now) < seen.now - TOLD_FOR
        if incident is not None and (incident.lasts or not late):
            yield incident


def _outcome(config: ModelConfig, entry: LedgerEntry, seen: Situation) -> Incident | None:
    severities: dict[str, Severity] = {"refused": "warning", "failed": "warning", "rejected": "info"}
    ended = str(entry.payload.get("ended"))
    if ended not in severities:
        return None
    asked = {
        "refused": "read its gates; nothing, if they are right",
        "failed": "mend what it names, and ask for the retrain again",
        "rejected": "nothing",
    }
    return Incident(
        model=config.model,
        kind="retrain_refused",
        severity=severities[ended],
        subject=str(entry.payload.get("run_id")),
        began=entry.entry_id,
        since=entry.at,
        what=entry.reason,
        done=_serving(seen),
        asked=asked[ended],
        lasts=False,
    )


def _promotion(config: ModelConfig, entry: LedgerEntry, seen: Situation) -> Incident:  # noqa: ARG001 - as the others
    word = entry.payload.get("past_gates")
    past = f" {from_record(PastGates, word)}" if word else ""
    instead = f"instead of version {entry.payload['previous']}" if entry.payload.get("previous") else "as the first"
    return Incident(
        model=config.model,
        kind="promoted",
        severity="warning" if word else "info",
        subject=str(entry.version),
        began=entry.entry_id,
        since=entry.at,
        what=f"version {entry.version} serves {instead}{past}",
        done=f"its bake has begun: {config.bake.windows} windows of {config.bake.metric}",
        asked="nothing",
        lasts=False,
    )


def _rollback(config: ModelConfig, entry: LedgerEntry, seen: Situation) -> Incident:
    gone, by_policy = str(entry.payload["previous"]), entry.actor == "policy"
    holds = {item.entry_id for item in seen.history.of("hold") if item.version == gone}
    waits = [hold for hold in seen.history.state.holds if hold.entry_id in holds and not hold.acknowledged]
    return Incident(
        model=config.model,
        kind="rolled_back",
        severity="critical" if by_policy else "warning",
        subject=gone,
        began=entry.entry_id,
        since=entry.at,
        what=f"version {gone} was rolled back by {entry.actor}: {entry.reason}",
        done=f"version {entry.version} serves again; "
        + ("retraining on the data of the other one is held" if waits else "nothing is held"),
        asked="find the cause, and acknowledge the hold, with its rows or without them" if waits else "nothing",
        lasts=bool(waits),
    )


def _integrity(config: ModelConfig, entry: LedgerEntry, seen: Situation) -> Incident:
    return Incident(
        model=config.model,
        kind="tampered",
        severity="critical",
        subject=entry.entry_id,
        began=entry.entry_id,
        since=entry.at,
        what=entry.reason,
        done=_serving(seen),
        asked="find out who did it, and do what it says",
        lasts=False,
    )


_EVENTS = {
    "retrain_outcome": _outcome,
    "promotion": _promotion,
    "rollback": _rollback,
    "integrity": _integrity,
}


def faults(model: str, seen: Situation) -> Iterator[Incident]:
    """Tasks of this run that failed, and those of other runs that did and have not gone well since. Pure.

    >>> from perennial.ledger import History
    >>> seen = Situation(now=day(0).end, history=History("m", ()), tasks={"monitor: decide": "StoreUnavailable: gone"})
    >>> [found.what for found in faults("m", seen)]
    ['monitor: decide: StoreUnavailable: gone']
    """
    yield from (one for one in seen.lasting if one.kind == "fault" and one.subject not in seen.tasks)
    for task, problem in seen.tasks.items():
        if problem is not None:
            yield Incident(
                model=model,
                kind="fault",
                severity="critical",
                subject=task,
                began=seen.now.isoformat(),
                since=seen.now,
                what=f"{task}: {problem}",
                done="it was tried again as often as can help, and the run ended red",
                asked="do what the error says, and clear the task",
                lasts=True,
            )


def resolved(seen: Situation, found: Iterable[Incident]) -> dict[str, str]:
    """The incidents that lasted until now and are not found any more: fingerprint to what ended it. Pure."""
    still = {(one.kind, one.subject) for one in found if one.lasts}
    return {one.fingerprint: _ended(one, seen) for one in seen.lasting if (one.kind, one.subject) not in still}


def _ended(incident: Incident, seen: Situation) -> str:
    if incident.kind in ("halted", "blind") and seen.newest is not None:
        return f"decided anew: {seen.newest.reason}"
    if incident.kind == "review":
        signed = seen.history.signoff(incident.began)
        answer = seen.history.review_of(signed) if signed else None
        return f"{answer.verdict} by {answer.reviewer}: {answer.reason}" if answer else "it asks for no answer any more"
    if incident.kind == "rolled_back":
        word = seen.history.last("acknowledgement")
        return f"the hold was acknowledged by {word.actor}: {word.reason}" if word else "nothing is held any more"
    known = {"alert": "every signal that it named is in order again", "fault": "the task went well"}
    return known.get(incident.kind, f"version {seen.history.state.champion} serves now")


def _serving(seen: Situation) -> str:
    champion = seen.history.state.champion
    return f"version {champion} goes on serving" if champion else "no version serves"


def _figures(signal: Signal) -> str:
    value = "unknown" if signal.value is None else f"{signal.value:.4g}"
    span = f" ({signal.interval})" if signal.interval else ""
    bound = "" if signal.threshold is None else f" against {signal.threshold:.4g}"
    return f"{signal.name} {value}{span}{bound}"
