"""What befell the flights, one example of every kind of incident, for tests and for docs/notifications.md."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from json import loads
from threading import Thread
from typing import Any

from perennial.config import load_model
from perennial.contracts import (
    Action,
    Decision,
    Interval,
    LedgerEntry,
    LedgerKind,
    Review,
    Signal,
    Signoff,
    Window,
    from_record,
    to_record,
)
from perennial.contracts.signoffs import Gate
from perennial.ledger import History
from perennial.ledger.canaries import canary_of
from perennial.notifying.found import find, resolved
from perennial.notifying.incidents import Incident
from perennial.notifying.situation import Situation
from perennial.pipeline.retrain_steps import outcome_of
from perennial.settings import ROOT

FLIGHTS = load_model(ROOT / "include" / "models" / "flight_delay")
ORIGIN = datetime(2013, 1, 1, tzinfo=UTC)
NOW = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)
CONSOLE = "https://airflow.example.com/perennial"


def fortnight(number: int) -> Window:
    return Window(start=ORIGIN + number * timedelta(days=14), end=ORIGIN + (number + 1) * timedelta(days=14))


def entry(kind: LedgerKind, number: int, *, version: str | None = None, reason: str = "", actor: str = "policy",
          name: str = "", of: str = "flight_delay", **payload: Any) -> LedgerEntry:  # fmt: skip
    return LedgerEntry(
        entry_id=f"{of}-{kind}-{number}{name}",
        model=of,
        kind=kind,
        at=fortnight(number).end,
        actor=actor,
        reason=reason,
        version=version,
        payload=payload,
        seq=number,
        recorded_at=NOW - timedelta(hours=1),
    )


def decided(number: int, action: Action, *reasons: str, model: str = "flight_delay", name: str = "") -> LedgerEntry:
    made = Decision(
        decision_id=f"{model}-decision-{number}{name}", model=model, window=fortnight(number), action=action,
        reasons=reasons, champion="3", bake="passed",
    )  # fmt: skip
    reason = f"{action}: {'; '.join(reasons)}"
    return entry("decision", number, reason=reason, decision=to_record(made), signals=[], name=name, of=model)


def promoted(version: str, previous: str | None, number: int = 1, **other: Any) -> LedgerEntry:
    made = {"train": to_record(fortnight(number - 1)), "holdout": to_record(fortnight(number))}
    payload = {**made, "previous": previous, "intent": "i", **other}
    return entry("promotion", number, version=version, reason="all gates passed", name=version, **payload)


def baked(version: str, outcome: str, number: int, reason: str = "2 of 2 windows") -> LedgerEntry:
    return entry("bake", number, version=version, reason=reason, outcome=outcome, windows=[], name=version)


LONG_AGO = {"recorded_at": NOW - timedelta(days=90)}
SERVES = (replace(promoted("3", None), **LONG_AGO), replace(baked("3", "passed", 2), **LONG_AGO))


def signed(version: str = "4", number: int = 3) -> Signoff:
    gate = Gate(name="metric/roc_auc", passed=True, value=0.7, bound=0.6, detail="roc_auc 0.7 keeps the minimum 0.6")
    return Signoff(
        model="flight_delay", version=version, artifact_digest="d", champion_seen="3", gates=(gate,), passed=True,
        review="manual", as_of=fortnight(number).end, train=fortnight(number - 1), holdout=fortnight(number),
    )  # fmt: skip


def signoff_entry(signoff: Signoff) -> LedgerEntry:
    found = entry("signoff", 3, version=signoff.version, reason="all gates passed", signoff=to_record(signoff))
    return replace(found, entry_id=signoff.signoff_id)


def answer_entry(signoff: Signoff, verdict: Any = "approved") -> LedgerEntry:
    said = Review(model=signoff.model, version=signoff.version, verdict=verdict, reviewer="ada", reason="looks right")
    found = entry("review", 4, version=signoff.version, actor="ada", review=to_record(said), verdict=verdict)
    return replace(found, entry_id=signoff.review_id)


def measured(name: str, number: int, status: Any = "breached", value: float | None = 0.31, model: str = "flight_delay",
             role: Any = "alert") -> Signal:  # fmt: skip
    interval = Interval(low=0.24, high=0.38, standard_error=0.035, n_rows=9000, n_blocks=14, confidence=0.95)
    return Signal(
        model=model, window=fortnight(number), as_of=fortnight(number).end, name=name, role=role, status=status,
        value=value, threshold=0.1, version="3", detail="", interval=interval if value is not None else None,
    )  # fmt: skip


def seen(*history: LedgerEntry, **other: Any) -> Situation:
    return Situation(now=NOW, history=History("flight_delay", (*SERVES, *history)), **other)


WAS_PROMOTED = replace(promoted("4", "3", number=3), **LONG_AGO)
HALTED = decided(5, "halt", "the predictions of 9,871 rows were not published: broken schema: missing carrier")
BLIND = decided(
    5, "blind", "blind since 2013-02-12: nothing is measured of that window or a later one, after 42d "
    "(label.max_wait): 0 of 9,871 predictions of 2013-02-12 to 2013-02-26 have a label; find out why labels do not "
    "come, and have them delivered, then run this window again",
)  # fmt: skip
HELD = replace(
    entry("hold", 4, reason="made version 4, which was rolled back", version="4"),
    payload={"stretch": to_record(fortnight(3)), "version": "4"},
)
ROLLED_BACK = entry(
    "rollback", 4, version="3", reason="version 4 failed its bake (bake/roc_auc 0.541 against 0.55)", previous="4",
    intent="i",
)  # fmt: skip
ACKNOWLEDGED = entry(
    "acknowledgement", 5, actor="ada", reason="local time was logged", hold=HELD.entry_id, exclude=True
)
REQUEST = {"model": "flight_delay", "run_id": "retrain__d7", "as_of": "2013-03-12T00:00:00Z", "cause": "decay",
           "requested_by": "policy"}  # fmt: skip
ASKED = entry("retrain_request", 4, **REQUEST)
REFUSED = entry(
    "retrain_outcome", 4, reason="version 4 refused: versus_champion/roc_auc: 0.002 better, at least 0.005 asked for",
    ended="refused", **REQUEST,
)  # fmt: skip
NEVER_JUDGED = "blind: 212 rows with 5 % of the requests, 2000 are asked for"


def taken_back(outcome: str = "blind", why: str = NEVER_JUDGED) -> tuple[LedgerEntry, ...]:
    """A retrain whose candidate answered a share of the requests, how that ended, and what the product writes then."""
    share = {"signoff": "s", "step": 0, "n_rows": 212, "strategy": "canary"}
    begun = entry("canary_intent", 5, version="4", share=0.05, outcome=None, **share)
    named = canary_of(History("flight_delay", (begun,)), "s")
    assert named is not None
    reason = f"{named.named}, was taken back: {why}"
    last = entry("canary_intent", 6, version="4", share=0.0, outcome=outcome, name=outcome, reason=reason, **share)
    answer = from_record(Review, answer_entry(signed()).payload["review"])
    ending, words = outcome_of(signed(), answer, canary_of(History("flight_delay", (begun, last)), "s"))
    return (ASKED, begun, last, entry("retrain_outcome", 7, reason=words, ended=ending, **REQUEST))


MOVED = entry("integrity", 4, reason="MLflow's alias champion was moved from version 3 to version 7 by hand",
              alias="champion", found="7", ledger="3")  # fmt: skip
DRIFT = (measured("drift/score", 5), measured("drift/weighted_share", 5, value=0.62))

EXAMPLES: dict[str, Situation] = {
    "alert": seen(measured=DRIFT),
    "halted": seen(newest=HALTED),
    "blind": seen(newest=BLIND),
    "bake_failed": Situation(
        now=NOW,
        history=History("flight_delay", (SERVES[0], baked("3", "failed", 2, "roc_auc 0.541 against 0.55"))),
    ),
    "review": seen(signoff_entry(signed())),
    "retrain_refused": seen(ASKED, REFUSED),
    "taken_back": seen(*taken_back()),
    "promoted": seen(promoted("4", "3", number=4)),
    "rolled_back": seen(WAS_PROMOTED, ROLLED_BACK, HELD),
    "tampered": seen(MOVED),
    "fault": seen(tasks={"monitor: stage_labels": "StorageUnavailable: s3://bucket/labels: connection refused"}),
}
OVER: dict[str, Situation] = {
    "alert": seen(measured=(measured("drift/score", 6, "ok", 0.02),), known=(
        measured("drift/score", 6, "ok", 0.02), measured("drift/weighted_share", 6, "ok", 0.1))),
    "halted": seen(newest=decided(5, "stay", "none of 3 retrain signals breached", name="again")),
    "review": seen(signoff_entry(signed()), answer_entry(signed())),
    "rolled_back": seen(WAS_PROMOTED, ROLLED_BACK, HELD, ACKNOWLEDGED),
    "fault": seen(tasks={"monitor: stage_labels": None}),
}  # fmt: skip
"""How five of them end."""


def of_kind(kind: str) -> Incident:
    (found,) = [one for one in find(FLIGHTS, EXAMPLES[kind]) if one.kind == kind]
    return found


def ended(kind: str) -> str:
    """What ended it, where :data:`OVER` follows on the example."""
    after = replace(OVER[kind], lasting=(of_kind(kind),))
    return resolved(after, find(FLIGHTS, after))[of_kind(kind).fingerprint]


class Sink:
    """What an HTTP server was posted; it answers with ``status``."""

    def __init__(self) -> None:
        self.posted: list[dict[str, Any]] = []
        self.status = 200
        self.port = 0

    @property
    def url(self) -> str:
        """As Apprise writes it; the path stands for the secret of a real channel."""
        return f"json://127.0.0.1:{self.port}/S3CR3T-T0K3N/"

    @property
    def titles(self) -> list[str]:
        return [one["title"] for one in self.posted]


@contextmanager
def sink() -> Iterator[Sink]:
    """A real server on loopback that keeps what it is posted."""
    kept = Sink()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = loads(self.rfile.read(int(self.headers["Content-Length"])))
            if kept.status == 200:
                kept.posted.append(body)
            self.send_response(kept.status)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    kept.port = server.server_address[1]
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield kept
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
