"""Whether what answers requests followed a release: asked of the scoring service, and kept in the ledger."""

import time
from dataclasses import dataclass, replace
from datetime import datetime

import httpx
from sqlalchemy import func, select

from perennial import ledger
from perennial.config import ModelConfig
from perennial.contracts import LedgerEntry, digest_of
from perennial.errors import ReleaseError, ServiceBehind, StoreUnavailable, redacted
from perennial.ledger import History
from perennial.release.agreement import Finding
from perennial.store import Store

_SURE = 5
"""So many answers in a row, each over a connection of its own: a service may be several processes."""
_ASKED_S, _PAUSE_S = 5.0, 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Answering:
    """What a service says of itself: the version that answers, for how many seconds it has; or why nobody knows.

    One that was not ``reached`` said nothing at all.
    """

    version: str | None
    for_s: float
    problem: str | None = None
    reached: bool = True

    def __str__(self) -> str:
        """In words.

        >>> str(Answering(version="3", for_s=1.0)), str(Answering(version=None, for_s=0.0, problem="answers 503"))
        ('answers with version 3', 'answers 503')
        """
        return self.problem or f"answers with {f'version {self.version}' if self.version else 'no version'}"


def ask(url: str, model: str, *, key: str | None = None) -> Answering:
    """Which version of a model the service at ``url`` answers with; never raises for what a service may do."""
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    try:
        answer = httpx.get(f"{url}/model", headers=headers, timeout=_ASKED_S, trust_env=False)
        if answer.status_code != httpx.codes.OK:
            return _unknown(f"answers {answer.status_code}: {answer.text[:200]}")
        body = answer.json()
        if body["model"] != model:
            return _unknown(f"answers for {body['model']}")
        version = None if body["version"] is None else str(body["version"])
        return Answering(version=version, for_s=float(body["for_s"] or 0.0))
    except httpx.HTTPError as error:
        return replace(_unknown(f"can not be asked ({type(error).__name__})"), reached=False)
    except (ValueError, TypeError, LookupError):
        return _unknown("answers /model with something else than a scoring service does")


def _unknown(problem: str) -> Answering:
    return Answering(version=None, for_s=0.0, problem=problem)


def await_traffic(config: ModelConfig, url: str, *, store: Store, key: str | None = None) -> LedgerEntry:
    """Wait until the service at ``url`` answers with the champion of the ledger; the entry that says how long it took.

    Its seconds are those from the decision (of a policy, else the beginning of the release) until the service had the
    version, by the clock of the database. Twice keeps the first entry. Raises ServiceBehind when the service has
    another version after ``serving.follow_within_s``, ReleaseError when nothing was ever released; StoreUnavailable.
    """
    history = ledger.read(store, config.model)
    release = history.last("promotion", "rollback")
    if release is None:
        raise ReleaseError(f"{config.model}: nothing was released yet, so no service has to follow")
    version = str(release.version)
    found = _followed(config, url, version, key)
    if found.version != version:
        raise ServiceBehind(
            f"{config.model}: version {version} is champion, and the service at {redacted(url)} {found}, "
            f"{config.serving.follow_within_s:g} s after it was asked first (serving.follow_within_s): the "
            f"{release.kind} stands, and requests are not answered by that version. /readyz and the log of the service "
            "say why; start it again if need be, and then run this task again"
        )
    decided = _decided(history, release, store)
    passed_s = (_now(store) - decided).total_seconds() - found.for_s
    entry = followed(release, passed_s)
    ledger.append(store, entry)
    return ledger.entry(store, entry.entry_id) or entry


def followed(release: LedgerEntry, seconds: float) -> LedgerEntry:
    """The entry that the service followed a release. Pure.

    >>> followed(entry("rollback", "1", previous="2"), 3.21).reason
    'version 1 answers requests, 3.2 s after the decision'
    """
    seconds = round(max(0.0, seconds), 3)
    return LedgerEntry(
        entry_id=digest_of("traffic", release.entry_id),
        model=release.model,
        kind="traffic",
        at=release.at,
        actor="service",
        reason=f"version {release.version} answers requests, {seconds:.1f} s after the decision",
        version=release.version,
        payload={"release": release.entry_id, "seconds": seconds},
    )


def disagreement(config: ModelConfig, url: str, *, store: Store, key: str | None = None) -> Finding | None:
    """That the service at ``url`` answers with another version than the champion of the ledger, though it had
    ``serving.follow_within_s`` to follow; None where it answers with that one.

    One that can not be reached is told as what nobody knows, and at once. Raises StoreUnavailable.
    """
    version = ledger.read(store, config.model).state.champion
    said = ask(url, config.model, key=key)
    if not said.reached:
        found = f"{config.model}: the service at {redacted(url)} {said}, so nobody knows what answers requests"
        return Finding(said=found, mended=None)
    said = _followed(config, url, version, key)
    if said.problem is None and said.version == version:
        return None
    if ledger.read(store, config.model).state.champion != version:
        return None  # a release meanwhile, which looks for itself
    champion = f"version {version}" if version else "no version"
    found = (
        f"{config.model}: {champion} is champion in the ledger, and the service at {redacted(url)} {said}, "
        f"{config.serving.follow_within_s:g} s after it was asked first: /readyz and the log of the service say why"
    )
    return Finding(said=found, mended=False)


def _followed(config: ModelConfig, url: str, version: str | None, key: str | None) -> Answering:
    """The last of enough answers with the version, of which the one for the shortest time; or what was said at last."""
    end = time.monotonic() + config.serving.follow_within_s
    seen: list[Answering] = []
    while True:
        said = ask(url, config.model, key=key)
        seen = [*seen, said] if said.problem is None and said.version == version else []
        if len(seen) == _SURE:
            return min(seen, key=lambda one: one.for_s)
        if not seen:
            if time.monotonic() >= end:
                return said
            time.sleep(_PAUSE_S)


def _decided(history: History, release: LedgerEntry, store: Store) -> datetime:
    """When the decision behind a release was written down, or else its intent."""
    wanted = release.payload.get("decision_id") or release.payload["intent"]
    found = history.entry(wanted) or ledger.entry(store, wanted)
    if found is None or found.recorded_at is None:
        raise ReleaseError(f"{release.model}: the ledger holds no entry {wanted}, which its {release.kind} names")
    return found.recorded_at


def _now(store: Store) -> datetime:
    with store.begin() as connection:
        moment: datetime | None = connection.scalar(select(func.clock_timestamp()))
    if moment is None:
        raise StoreUnavailable("the database did not say what time it is")
    return moment
