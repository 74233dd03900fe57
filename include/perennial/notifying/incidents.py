"""One incident: what befell a model, how bad it is, since when, what was done by itself and what is asked of people."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, get_args

from perennial.config.notify import Severity
from perennial.contracts import digest_of

Kind = Literal[
    "alert",
    "halted",
    "blind",
    "bake_failed",
    "review",
    "retrain_refused",
    "taken_back",
    "promoted",
    "rolled_back",
    "tampered",
    "fault",
]
KINDS: tuple[Kind, ...] = get_args(Kind)
TITLES: dict[Kind, str] = {
    "alert": "alert signals breached",
    "halted": "halted",
    "blind": "blind",
    "bake_failed": "bake failed, and nothing to go back to",
    "review": "a review is waiting",
    "retrain_refused": "a retrain brought no new champion",
    "taken_back": "a version that answered a share was taken back",
    "promoted": "promoted",
    "rolled_back": "rolled back",
    "tampered": "the registry was changed by hand",
    "fault": "a task failed",
}
"""What each kind is called in the title of its message."""
RUNBOOK: dict[Kind, str] = {
    "alert": "signals.md",
    "halted": "runbook.md#a-delivery-was-halted",
    "blind": "runbook.md#a-window-is-blind",
    "bake_failed": "runbook.md#a-version-was-rolled-back",
    "review": "how-to/review-a-version.md",
    "retrain_refused": "runbook.md#no-candidate",
    "taken_back": "runbook.md#a-release-was-refused",
    "promoted": "runbook.md#where-to-look",
    "rolled_back": "runbook.md#a-version-was-rolled-back",
    "tampered": "runbook.md#integrity",
    "fault": "runbook.md#red-tasks",
}
"""Where the documentation says what to do, below ``docs/``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """What befell a model. ``subject`` says which of its kind: a version, a family of signals, a task.

    ``began`` is what it began with: the id of a ledger entry, or the moment at which it was found. ``since`` is event
    time. ``names`` are the signals of an alert. An incident that ``lasts`` is over when it is not found any more; any
    other is an event, told once.
    """

    model: str
    kind: Kind
    severity: Severity
    subject: str
    began: str
    since: datetime
    what: str
    done: str
    asked: str
    lasts: bool
    names: tuple[str, ...] = ()

    @property
    def fingerprint(self) -> str:
        """The same for the same incident, however often it is derived.

        >>> halted = Incident(model="m", kind="halted", severity="critical", subject="", began="d1", since=day(0).start,
        ...     what="late", done="", asked="", lasts=True)
        >>> from dataclasses import replace
        >>> halted.fingerprint == replace(halted, what="later").fingerprint != replace(halted, began="d2").fingerprint
        True
        """
        return digest_of("incident", self.model, self.kind, self.subject, self.began)
