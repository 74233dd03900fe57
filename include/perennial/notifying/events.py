"""What was written lately, and is told once: outcomes of retrains, releases, and what was changed by hand."""

from collections.abc import Iterator
from datetime import timedelta

from perennial.config import ModelConfig
from perennial.config.notify import Severity
from perennial.contracts import LedgerEntry, PastGates, from_record
from perennial.ledger.canaries import Outcome, canary_before
from perennial.notifying.incidents import Incident
from perennial.notifying.situation import Situation, serving

TOLD_FOR = timedelta(days=3)
"""An event that was written longer ago is history, and nobody is told of it any more."""
_TAKEN_BACK: dict[Outcome, tuple[Severity, str]] = {
    "breached": ("warning", "look at the figure that it names and mend what made it; the version is barred"),
    "lost": ("info", "nothing: on what its labels show, it is not worth the change"),
    "blind": ("warning", "find out why it could not be judged, as it says, and ask for the retrain again"),
    "expired": ("info", "ask for the retrain again, where a new version is still wanted"),
    "stopped": ("info", "ask for the retrain again, where a new version is still wanted"),
}
"""What ended a share of the requests: how bad it is, and what is asked."""


def events(config: ModelConfig, seen: Situation) -> Iterator[Incident]:
    """What was written lately, told once; a rollback lasts while its hold waits for somebody's word."""
    for entry in seen.history.entries:
        incident_of = _EVENTS.get(entry.kind)
        incident = incident_of(config, entry, seen) if incident_of else None
        late = (entry.recorded_at or seen.now) < seen.now - TOLD_FOR
        if incident is not None and (incident.lasts or not late):
            yield incident


def _outcome(config: ModelConfig, entry: LedgerEntry, seen: Situation) -> Incident | None:
    by_ending: dict[str, tuple[Severity, str]] = {
        "refused": ("warning", "read its gates; nothing, if they are right"),
        "failed": ("warning", "mend what it names, and ask for the retrain again"),
        "rejected": ("info", "nothing"),
    }
    ended = str(entry.payload.get("ended"))
    if ended not in by_ending:
        return None
    canary = canary_before(seen.history, entry)
    severity, asked = _TAKEN_BACK[canary.outcome] if canary and canary.outcome else by_ending[ended]
    return Incident(
        model=config.model,
        kind="taken_back" if canary else "retrain_refused",
        severity=severity,
        subject=str(entry.payload.get("run_id")),
        began=entry.entry_id,
        since=entry.at,
        what=entry.reason,
        done=f"all requests are the champion's again: {serving(seen)}" if canary else serving(seen),
        asked=asked,
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
        done=serving(seen),
        asked="find out who did it, and do what it says",
        lasts=False,
    )


_EVENTS = {
    "retrain_outcome": _outcome,
    "promotion": _promotion,
    "rollback": _rollback,
    "integrity": _integrity,
}
