"""Promotion: the alias ``champion`` moves to exactly the version that was signed off and approved, or not at all."""

from datetime import datetime

from perennial.config import ModelConfig
from perennial.contracts import LedgerEntry, Release, Review, Signoff, digest_of, to_record
from perennial.contracts.tags import CHALLENGER, CHAMPION
from perennial.errors import PermanentError, ReleaseError
from perennial.ledger import History
from perennial.registry import Registry
from perennial.registry.versions import alias_version, artifact_digest, delete_alias, set_alias
from perennial.release.intent import Checkpoint, completion_of, finish, finish_pending, go_on, open_intent, released
from perennial.store import Store
from perennial.store.locks import RELEASE, model_lock

NOBODY = frozenset({"auto", "policy", "deadline"})
"""Reviewers that are not a person."""


def promote(
    config: ModelConfig,
    signoff: Signoff,
    review: Review,
    *,
    store: Store,
    registry: Registry,
    actor: str,
    at: datetime,
    checkpoint: Checkpoint = go_on,
) -> Release:
    """Make an approved version the champion, once; its bake begins. The same approval again returns the same release.

    ``at`` is the event time from which the new champion counts. Raises ReleaseError when the approval does not hold
    (gates or review missing, expired because the champion changed, other files than approved, rolled back before),
    IntegrityError when the alias was moved by hand during a release, LockTimeout, RegistryUnavailable,
    StoreUnavailable.
    """
    _refuse_unapproved(signoff, review)
    intent = _intent(signoff, review, actor=actor, at=at)
    with model_lock(store, config.model, RELEASE):
        history, _ = finish_pending(config, store=store, registry=registry, checkpoint=checkpoint)
        if done := history.entry(completion_of(intent.entry_id)):
            return released(done)
        _refuse_changed(signoff, history, registry)
        open_intent(store, intent)
        checkpoint("after_intent")
        return finish(intent, store=store, registry=registry, checkpoint=checkpoint)


def challenge(config: ModelConfig, signoff: Signoff, *, store: Store, registry: Registry) -> None:
    """Let the alias ``challenger`` name a version that passed its gates; a version that serves already stays as it is.

    Raises ReleaseError for a version that failed a gate or was rolled back.
    """
    if not signoff.passed:
        raise ReleaseError(f"{signoff.model} version {signoff.version} failed its gates and can not be the challenger")
    with model_lock(store, config.model, RELEASE):
        history, _ = finish_pending(config, store=store, registry=registry)
        state = history.state
        if signoff.version in state.rolled_back:
            raise ReleaseError(str(state.refusal_of(signoff)))
        if state.champion != signoff.version:
            set_alias(registry, config.model, CHALLENGER, signoff.version)


def withdraw(config: ModelConfig, version: str, *, store: Store, registry: Registry) -> None:
    """Take the alias ``challenger`` from a version whose review ended without a release; others keep theirs."""
    with model_lock(store, config.model, RELEASE):
        if alias_version(registry, config.model, CHALLENGER) == version:
            delete_alias(registry, config.model, CHALLENGER)


def _intent(signoff: Signoff, review: Review, *, actor: str, at: datetime) -> LedgerEntry:
    """Its id is that of the approval, whoever executes it and when. Pure."""
    approval = (signoff.version, signoff.artifact_digest, signoff.champion_seen, signoff.as_of.isoformat())
    return LedgerEntry(
        entry_id=digest_of("promotion_intent", signoff.model, *approval),
        model=signoff.model,
        kind="promotion_intent",
        at=at,
        actor=actor,
        reason=f"{len(signoff.gates)} gates passed; approved by {review.reviewer}: {review.reason}",
        version=signoff.version,
        payload={
            "previous": signoff.champion_seen,
            "artifact_digest": signoff.artifact_digest,
            "train": to_record(signoff.train),
            "holdout": to_record(signoff.holdout),
        },
    )


def _refuse_unapproved(signoff: Signoff, review: Review) -> None:
    """Raises ReleaseError unless the gates passed and the review asked for approved this very version. Pure."""
    what = f"{signoff.model} version {signoff.version}"
    failed = [gate.name for gate in signoff.gates if not gate.passed]
    if not signoff.passed or failed or not signoff.gates:
        raise ReleaseError(
            f"{what} did not pass its gates ({', '.join(failed) or 'none recorded'}); nothing was promoted"
        )
    if (review.model, review.version) != (signoff.model, signoff.version):
        raise ReleaseError(f"{what}: the review is about {review.model} version {review.version}; nothing was promoted")
    if review.verdict != "approved":
        raise ReleaseError(f"{what} was rejected by {review.reviewer} ({review.reason}); nothing was promoted")
    if signoff.review == "manual" and review.reviewer in NOBODY:
        raise ReleaseError(f"{what} asks for a person's review, and only the policy approved it; nothing was promoted")


def _refuse_changed(signoff: Signoff, history: History, registry: Registry) -> None:
    """Raises ReleaseError when the world is not the one that was approved.

    An approval given against a champion does not revive when that one comes back after another: much was learnt.
    """
    what, state = f"{signoff.model} version {signoff.version}", history.state
    signed = [item for item in history.of("signoff") if item.version == signoff.version]
    if signed and (release := history.released_after(signed[-1])):
        raise ReleaseError(
            f"{what}: approval expired: {release.kind} to version {release.version} happened since it was signed off; "
            "request a retrain"
        )
    if refusal := state.refusal_of(signoff):
        raise ReleaseError(refusal)
    if moved := state.divergence(alias_version(registry, signoff.model, CHAMPION)):
        raise ReleaseError(f"{what}: approval expired: {moved}")
    try:
        found = artifact_digest(registry, signoff.model, signoff.version)
    except PermanentError as error:
        raise ReleaseError(
            f"{what}: approval expired: its files can not be read ({error}); request a retrain"
        ) from error
    if found != signoff.artifact_digest:
        raise ReleaseError(
            f"{what}: approval expired: its files have the digest {found[:16]}..., approved were "
            f"{signoff.artifact_digest[:16]}...; find out who changed them, and request a retrain"
        )
