"""What training cost: the CPU seconds of each fit that made a candidate, and what became of that."""

from dataclasses import dataclass
from datetime import datetime

from perennial.config import ModelConfig
from perennial.contracts import LedgerEntry
from perennial.ledger import History


@dataclass(frozen=True, slots=True, kw_only=True)
class FitCost:
    """One fit, by the signoff of its candidate. ``cpu_s`` are CPU seconds of all it tried; None where they were not
    kept. ``ended`` is what became of the version, in a word or two.
    """

    at: datetime
    version: str
    cpu_s: float | None
    ended: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """Every fit, oldest first; and what the newest ``policy.budget.per`` used of the budget: requests, CPU seconds."""

    fits: tuple[FitCost, ...]
    n_requests: int
    cpu_s: float


def fits_of(history: History) -> tuple[FitCost, ...]:
    """Every candidate that was signed off or refused, once, in the order of the ledger. Pure.

    >>> signed_off = entry("signoff", "4", signoff={**to_record(signed), "passed": False}, evaluation={"fit_cpu_s": 2})
    >>> [(fit.version, fit.cpu_s, fit.ended) for fit in fits_of(History("m", (signed_off,)))]
    [('4', 2.0, 'failed its gates')]
    """
    words = _ends(history)
    last = {item.version or "": item for item in history.of("signoff")}
    return tuple(_fit(version, item, words) for version, item in last.items())


def spent_of(config: ModelConfig, history: History) -> Spent:
    """All fits, and what is used of the budget as of the newest entry. Pure.

    >>> spent_of(flights, History("flight_delay", ())).n_requests
    0
    """
    state, fits = history.state, fits_of(history)
    newest = max((item.at for item in history.entries), default=None)
    since = newest - config.policy.budget.per if newest else None
    return Spent(
        fits=fits,
        n_requests=sum(since is not None and at > since for at in state.request_times),
        cpu_s=sum(seconds for at, seconds in state.fits.values() if since is not None and at > since),
    )


def _fit(version: str, item: LedgerEntry, words: dict[str, str]) -> FitCost:
    cost = item.payload.get("evaluation", {}).get("fit_cpu_s")
    passed = item.payload["signoff"]["passed"]
    ended = words.get(version, "waits for its answer" if passed else "failed its gates")
    return FitCost(at=item.at, version=version, cpu_s=float(cost) if cost else None, ended=ended)


def _ends(history: History) -> dict[str, str]:
    found: dict[str, str] = {}
    for item in history.of("review", "promotion", "bake", "rollback"):
        if item.kind == "review":
            found[item.version or ""] = str(item.payload["review"]["verdict"])
        elif item.kind == "promotion":
            found[item.version or ""] = "promoted"
        elif item.kind == "bake":
            found[item.version or ""] = f"promoted; its bake {item.payload['outcome']}"
        elif previous := item.payload.get("previous"):
            found[str(previous)] = "promoted, and rolled back"
    return found
