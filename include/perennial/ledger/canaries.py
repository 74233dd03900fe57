"""What the ledger says of canaries: pure functions over a history."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from perennial.contracts import LedgerEntry
from perennial.ledger.fold import History

Outcome = Literal["passed", "breached", "lost", "blind", "expired", "stopped"]
AS: dict[str, str] = {"canary": "canary", "ab": "challenger in an A/B"}
"""What a version is called by ``release.strategy`` while it answers a share of the requests."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Canary:
    """How far a version is on its way to all requests.

    ``share`` (0 to 1) is what the last intent asked for, at ``step`` of the shares, when the canary had answered
    ``n_rows``; ``since`` is when MLflow told it, None while ``intent`` is not completed. ``began_at`` is when the first
    share was asked for. ``strategy`` is the ``release.strategy`` by which it did.
    """

    intent: LedgerEntry
    signoff: str
    version: str
    share: float
    step: int
    n_rows: int
    outcome: Outcome | None
    began_at: datetime | None
    since: datetime | None
    strategy: str = "canary"

    @property
    def named(self) -> str:
        """What it is called, and how much it answers."""
        return f"version {self.version}, {AS[self.strategy]} with {100 * self.share:g} % of the requests"


def canary_of(history: History, signoff_id: str) -> Canary | None:
    """The canary of a signoff, whether it goes on or has ended; None where none began.

    >>> begun = entry("canary_intent", "4", signoff="s", step=0, share=0.01, n_rows=0, outcome=None)
    >>> found = canary_of(History("m", (begun,)), "s")
    >>> found.version, found.share, found.since, found.strategy
    ('4', 0.01, None, 'canary')
    >>> canary_of(History("m", (begun,)), "another")
    """
    intents = [item for item in history.of("canary_intent") if item.payload["signoff"] == signoff_id]
    if not intents:
        return None
    last, payload = intents[-1], intents[-1].payload
    done = [item for item in history.of("canary") if item.payload["intent"] == last.entry_id]
    return Canary(
        intent=last,
        signoff=signoff_id,
        version=str(last.version),
        share=payload["share"],
        step=payload["step"],
        n_rows=payload["n_rows"],
        outcome=payload["outcome"],
        began_at=intents[0].recorded_at,
        since=done[-1].recorded_at if done else None,
        strategy=payload.get("strategy", "canary"),  # entries of before there was another one
    )


def last_canary(history: History) -> Canary | None:
    """The canary that was written about last, unless something was released since; None else.

    >>> begun = entry("canary_intent", "4", 1, signoff="s", step=0, share=0.01, n_rows=0, outcome=None)
    >>> last_canary(History("m", (begun,))).version
    '4'
    >>> last_canary(History("m", (begun, entry("rollback", "1", 2, previous="3"))))
    """
    last = history.last("canary_intent")
    return None if last is None or history.released_after(last) else canary_of(history, last.payload["signoff"])


def canary_before(history: History, outcome: LedgerEntry) -> Canary | None:
    """The canary that ended a retrain without a release, given the outcome of the retrain; None where none did. Pure.

    The outcome of such a retrain is told in the words of the intent that ended its canary, and no other is.

    >>> share = {"signoff": "s", "step": 0, "n_rows": 9}
    >>> begun = entry("canary_intent", "4", 1, share=0.01, outcome=None, **share)
    >>> ended = entry("canary_intent", "4", 2, share=0.0, outcome="blind", **share)
    >>> rejected = entry("retrain_outcome", number=3)
    >>> canary_before(History("m", (begun, ended, rejected)), rejected).outcome
    'blind'
    >>> from dataclasses import replace
    >>> canary_before(History("m", (begun, ended, rejected)), replace(rejected, reason="version 5 refused: a gate"))
    >>> canary_before(History("m", (begun, rejected)), rejected)
    """
    told_so = (item for item in reversed(history.of("canary_intent")) if item.reason == outcome.reason)
    found = next((item for item in told_so if item.payload["outcome"] not in (None, "passed")), None)
    return canary_of(history, found.payload["signoff"]) if found else None


def live_canary(history: History) -> Canary | None:
    """The canary that answers requests now: whom the alias names, with the share that its tag has.

    >>> ended = entry("canary_intent", "4", 1, signoff="s", step=0, share=0.0, n_rows=0, outcome="breached")
    >>> live_canary(History("m", (ended,)))
    """
    found = last_canary(history)
    return found if found is not None and found.share > 0 else None


def shared_in(history: History) -> str | None:
    """Which version answers a share of the requests, how much, and since when; None where none does. Pure.

    >>> from dataclasses import replace
    >>> share = {"signoff": "s", "step": 0, "n_rows": 0}
    >>> asked = entry("canary_intent", "4", 1, share=0.05, outcome=None, **share)
    >>> told = replace(entry("canary", "4", 1, intent=asked.entry_id, outcome=None), recorded_at=day(2).end)
    >>> shared_in(History("m", (asked,)))
    'version 4, canary with 5 % of the requests, which MLflow was not told yet'
    >>> shared_in(History("m", (asked, told)))
    'version 4, canary with 5 % of the requests, since 2013-01-04 00:00 UTC'
    >>> shared_in(History("m", (asked, told, entry("canary_intent", "4", 2, share=1.0, outcome="passed", **share))))
    'version 4, canary with 100 % of the requests, which MLflow was not told yet; it has passed'
    >>> shared_in(History("m", (asked, told, entry("canary_intent", "4", 2, share=0.0, outcome="lost", **share))))
    >>> shared_in(History("m", (asked, told, entry("rollback", "1", 2, previous="3"))))
    """
    found = live_canary(history)
    if found is None:
        return None
    since = f"since {found.since:%Y-%m-%d %H:%M} UTC" if found.since else "which MLflow was not told yet"
    rows = f", after {found.n_rows:,} rows with less" if found.step else ""
    return f"{found.named}, {since}{rows}{'; it has passed' if found.outcome == 'passed' else ''}"
