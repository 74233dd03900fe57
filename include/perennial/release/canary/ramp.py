"""One look at a canary: it waits, answers a larger share, has passed, or is taken back. The caller looks again."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, cast

from perennial import ledger
from perennial.config import ModelConfig
from perennial.contracts import Signoff
from perennial.contracts.tags import CANARY
from perennial.errors import ReleaseError
from perennial.guards.figures import ArmFigures
from perennial.ledger import History
from perennial.ledger.canaries import AS, Canary, Outcome, canary_of, last_canary, live_canary
from perennial.registry import Registry
from perennial.registry.versions import alias_version
from perennial.release.canary.judging import Analysis, deadline_of, is_late, judged
from perennial.release.canary.labelled import heard
from perennial.release.canary.telling import carry_out, end_of, intent_of, tell
from perennial.release.intent import Checkpoint, finish_pending, go_on
from perennial.release.promote import refuse_unapproved
from perennial.store import Store
from perennial.store.locks import RELEASE, HeldLock, model_lock

AB = "ab"
State = Literal["none", "waiting", "passed", "taken_back"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """Where a canary stands: ``none`` where none is asked for. ``reason`` says why, in words."""

    state: State
    reason: str


def asks_for_canary(config: ModelConfig, signoff: Signoff) -> bool:
    """Whether a version is released by shares; the first champion has nobody to be compared with. Pure.

    >>> asks_for_canary(flights, signed)
    False
    """
    return config.release.by_shares and signoff.champion_seen is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Looking:
    """What a look works with, under the lock."""

    config: ModelConfig
    signoff: Signoff
    history: History
    now: datetime
    lock: HeldLock
    store: Store
    registry: Registry
    checkpoint: Checkpoint

    def tell(self, step: int, share: float, *, n_rows: int, reason: str, outcome: Outcome | None = None) -> None:
        strategy = self.config.release.strategy
        intent = intent_of(self.signoff, step, share, n_rows=n_rows, reason=reason, outcome=outcome, strategy=strategy)
        tell(
            intent,
            self.history,
            lock=self.lock,
            store=self.store,
            registry=self.registry,
            checkpoint=self.checkpoint,
        )

    def refusal(self) -> str | None:
        """Why its approval holds no longer, in words; None while it does."""
        try:
            refuse_unapproved(self.config, self.signoff, self.history, self.registry)
        except ReleaseError as error:
            return str(error)
        return None


def look(
    config: ModelConfig,
    signoff_id: str,
    figures: Sequence[ArmFigures],
    *,
    now: datetime,
    store: Store,
    registry: Registry,
    checkpoint: Checkpoint = go_on,
) -> Look:
    """Judge the canary of an approved signoff by what the service counted of it, and act on that.

    Raises ReleaseError when the ledger does not hold the signoff or another process acted meanwhile, LockTimeout,
    RegistryUnavailable, StoreUnavailable.
    """
    with model_lock(store, config.model, RELEASE) as lock:
        history, _ = finish_pending(config, lock=lock, store=store, registry=registry)
        if mend_cut_off(history, lock=lock, store=store, registry=registry):
            history = ledger.read(store, config.model)
        signoff = history.signoff(signoff_id)
        if signoff is None:
            raise ReleaseError(f"{config.model}: the ledger holds no signoff {signoff_id}; nothing was done")
        review = history.review_of(signoff)
        if not asks_for_canary(config, signoff) or review is None or review.verdict != "approved":
            return Look(state="none", reason="no share of the requests is asked for")
        looking = _Looking(
            config=config,
            signoff=signoff,
            history=history,
            now=now,
            lock=lock,
            store=store,
            registry=registry,
            checkpoint=checkpoint,
        )
        found = canary_of(history, signoff_id)
        return _begun(looking) if found is None else _gone_on(looking, found, figures)


def expire(config: ModelConfig, *, now: datetime, store: Store, registry: Registry) -> str | None:
    """Take back a canary that is past its deadline, since nobody looks at it any more; why, None where there is none.

    Raises as :func:`look`.
    """
    found = live_canary(ledger.read(store, config.model))
    if found is None or not is_late(config, found, now):
        return None
    with model_lock(store, config.model, RELEASE) as lock:
        history, _ = finish_pending(config, lock=lock, store=store, registry=registry)
        still, signoff = live_canary(history), history.signoff(found.signoff)
        if still != found or signoff is None:
            return None
        within = f"release.{found.strategy}.deadline, {deadline_of(config, found)}"
        reason = f"{found.named}, was taken back: blind: it has not come to its end within {within}"
        tell(end_of(signoff, found, "blind", reason), history, lock=lock, store=store, registry=registry)
    return reason


def mend_cut_off(history: History, *, lock: HeldLock, store: Store, registry: Registry) -> Canary | None:
    """Finish what a crash cut off between an intent and its completion; the canary it was about, None for none."""
    found = last_canary(history)
    if found is None or found.since is not None:
        return None
    return carry_out(found.intent, lock=lock, store=store, registry=registry)


def _begun(looking: _Looking) -> Look:
    other = live_canary(looking.history)
    if other is not None:
        return Look(state="waiting", reason=f"version {other.version} is {AS[other.strategy]}: one after the other")
    if why := looking.refusal():
        return Look(state="taken_back", reason=why)
    return _next(looking, 0, 0, "approved")


def _next(looking: _Looking, step: int, n_rows: int, why: str) -> Look:
    share = looking.config.release.shares[step]
    reason = f"version {looking.signoff.version} answers {share:g} % of the requests: {why}"
    looking.tell(step, share / 100, n_rows=n_rows, reason=reason)
    return Look(state="waiting", reason=reason)


def _gone_on(looking: _Looking, found: Canary, figures: Sequence[ArmFigures]) -> Look:
    if found.outcome is not None:
        return Look(state="passed" if found.outcome == "passed" else "taken_back", reason=found.intent.reason)
    if alias_version(looking.registry, looking.config.model, CANARY) != found.version:
        return _ended(looking, found, "stopped", "a hand took the alias canary away in MLflow")
    said = None
    if looking.config.release.strategy == AB:
        state, store = looking.history.state, looking.store
        said = heard(looking.config, looking.signoff, state, share=found.share, store=store)
    seen = judged(looking.config, found, figures, now=looking.now, labels=said)
    if seen.verdict in ("breached", "lost", "blind"):
        return _ended(looking, found, cast("Outcome", seen.verdict), seen.reason)
    why = looking.history.state.refusal_of(looking.signoff) if seen.verdict == "waiting" else looking.refusal()
    if why is not None:
        return _ended(looking, found, "expired", why)
    if seen.verdict == "waiting":
        return Look(state="waiting", reason=seen.reason)
    is_last = found.step + 1 == len(looking.config.release.shares)
    return _passed(looking, found, seen) if is_last else _next(looking, found.step + 1, seen.n_rows, seen.reason)


def _passed(looking: _Looking, found: Canary, seen: Analysis) -> Look:
    """Its share stays until it is champion, at once afterwards."""
    reason = f"version {found.version} has passed as {AS[found.strategy]}: {seen.reason}"
    looking.tell(found.step, found.share, n_rows=seen.n_rows, reason=reason, outcome="passed")
    return Look(state="passed", reason=reason)


def _ended(looking: _Looking, found: Canary, outcome: Outcome, why: str) -> Look:
    reason = f"{found.named}, was taken back: {why}"
    looking.tell(found.step, 0.0, n_rows=found.n_rows, reason=reason, outcome=outcome)
    return Look(state="taken_back", reason=reason)
