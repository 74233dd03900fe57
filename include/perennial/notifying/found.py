"""Which incidents there are: a pure function of the ledger, the newest signals, and what a run saw of its own tasks."""

from collections.abc import Iterable, Iterator

from perennial.config import ModelConfig
from perennial.contracts import Decision, Signal, SignalName, from_record
from perennial.errors import first_of
from perennial.notifying.events import events
from perennial.notifying.incidents import Incident, Kind
from perennial.notifying.situation import Situation, serving


def find(config: ModelConfig, seen: Situation) -> tuple[Incident, ...]:
    """Everything that holds now, and the events of the last ``TOLD_FOR``, in the order of ``Kind``. Pure."""
    return (
        *_alerts(config, seen),
        *_decided(config, seen),
        *_bake_failed(config, seen),
        *_reviews(config, seen),
        *events(config, seen),
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
            done=serving(seen),
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
        done=f"{done}; {serving(seen)}",
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
            done=f"{serving(seen)} until somebody answers",
            asked=f"approve or reject version {signed.version} by {by:%Y-%m-%d %H:%M} UTC; it is rejected then",
            lasts=True,
        )


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


def _figures(signal: Signal) -> str:
    value = "unknown" if signal.value is None else f"{signal.value:.4g}"
    span = f" ({signal.interval})" if signal.interval else ""
    bound = "" if signal.threshold is None else f" against {signal.threshold:.4g}"
    return f"{signal.name} {value}{span}{bound}"
