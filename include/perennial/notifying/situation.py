"""What incidents are derived from."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from perennial.contracts import LedgerEntry, Signal
from perennial.ledger import History
from perennial.notifying.incidents import Incident


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


def serving(seen: Situation) -> str:
    """Who answers meanwhile, in words."""
    champion = seen.history.state.champion
    return f"version {champion} goes on serving" if champion else "no version serves"
