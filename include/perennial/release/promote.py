"""Promotion: the alias ``champion`` moves to exactly the version that was signed off and approved, or not at all."""

from perennial.config import ModelConfig
from perennial.contracts import LedgerEntry, Release, ReleaseState, Review, Signoff, digest_of, is_nobody, to_record
from perennial.contracts.tags import CHALLENGER, CHAMPION, ENTRY_TAG
from perennial.errors import PermanentError, ReleaseError
from perennial.ledger import History
from perennial.ledger.canaries import AS, canary_of
from perennial.registry import Registry
from perennial.registry.versions import alias_version, artifact_digest, delete_alias, set_alias, version_tags
from perennial.release.canary.telling import take_back
from perennial.release.intent import Checkpoint, completion_of, finish, finish_pending, go_on, open_intent, released
from perennial.store import Store
from perennial.store.locks import RELEASE, model_lock


def promote(
    config: ModelConfig,
    signoff_id: str,
    *,
    store: Store,
    registry: Registry,
    request_id: str | None = None,
    checkpoint: Checkpoint = go_on,
) -> Release:
    """Make an approved version the champion, once; its bake begins. The same approval again returns the same release.

    What was signed off and approved is read in the ledger, whatever the caller believes; the new champion counts from
    the event time of its signoff. A refused version is challenger no longer. Raises ReleaseError when the approval
    does not hold (signoff, gates or review missing, expired because the champion changed, other files than approved,
    rolled back before), IntegrityError when the alias was moved by hand during a release, LockTimeout,
    RegistryUnavailable, StoreUnavailable.
    """
    with model_lock(store, config.model, RELEASE) as lock:
        history, _ = finish_pending(config, lock=lock, store=store, registry=registry, checkpoint=checkpoint)
        signoff = history.signoff(signoff_id)
        if signoff is None or signoff.model != config.model:
            raise ReleaseError(f"{config.model}: the ledger holds no signoff {signoff_id}; nothing was promoted")
        gone = _replaces_the_gone(signoff, history.state)
        intent = promotion_intent(signoff, history.review_of(signoff), request_id, nothing_serves=gone)
        done = history.entry(completion_of(intent.entry_id))
        if done and signoff.version not in history.state.rolled_back:
            return released(done)
        _refuse_unseen(config, signoff, history)
        try:
            refuse_unapproved(config, signoff, history, registry)
        except ReleaseError as error:
            take_back(signoff, history, str(error), lock=lock, store=store, registry=registry)
            if alias_version(registry, config.model, CHALLENGER) == signoff.version:
                delete_alias(registry, config.model, CHALLENGER)
            raise
        open_intent(store, intent, history)
        checkpoint("after_intent")
        return finish(intent, lock=lock, store=store, registry=registry, checkpoint=checkpoint)


def challenge(config: ModelConfig, signoff: Signoff, *, store: Store, registry: Registry) -> None:
    """Let the alias ``challenger`` name a version that passed its gates; a version that serves already stays as it is.

    Raises ReleaseError for a version that failed a gate or was rolled back.
    """
    if not signoff.passed:
        raise ReleaseError(f"{signoff.model} version {signoff.version} failed its gates and can not be the challenger")
    with model_lock(store, config.model, RELEASE) as lock:
        history, _ = finish_pending(config, lock=lock, store=store, registry=registry)
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


def refuse_unapproved(config: ModelConfig, signoff: Signoff, history: History, registry: Registry) -> None:
    """Raises ReleaseError, saying why, unless a signoff was approved and its approval holds."""
    _refuse_unapproved(signoff, history.review_of(signoff))
    _refuse_changed(config, signoff, history, registry)


def _refuse_unseen(config: ModelConfig, signoff: Signoff, history: History) -> None:
    """Raises ReleaseError for one that was to answer shares of the requests first; past its gates it goes without."""
    review = history.review_of(signoff)
    rules = config.release
    if not rules.by_shares or signoff.champion_seen is None or review is None or review.past_gates:
        return
    found = canary_of(history, signoff.signoff_id)
    if review.verdict == "approved" and (found is None or found.outcome != "passed"):
        why = found.intent.reason if found else "it has answered no requests yet"
        raise ReleaseError(
            f"{signoff.model} version {signoff.version} has not passed as {AS[rules.strategy]} ({why}); nothing was "
            "promoted"
        )


def promotion_intent(
    signoff: Signoff, review: Review | None, request_id: str | None, *, nothing_serves: bool
) -> LedgerEntry:
    """Its id is that of the approval, whoever executes it and when. Pure."""
    approval = (signoff.version, signoff.artifact_digest, signoff.champion_seen, signoff.as_of.isoformat())
    judged = (signoff.signoff_id,) if signoff.config_digest else ()  # signoffs from before that have the old id
    return LedgerEntry(
        entry_id=digest_of("promotion_intent", signoff.model, *approval, *judged),
        model=signoff.model,
        kind="promotion_intent",
        at=signoff.as_of,
        actor=review.reviewer if review else "nobody",
        reason=_why(signoff, review),
        version=signoff.version,
        payload={
            "previous": signoff.champion_seen,
            "artifact_digest": signoff.artifact_digest,
            "train": to_record(signoff.train),
            "holdout": to_record(signoff.holdout),
            "threshold": signoff.threshold,
            "signoff": signoff.signoff_id,
            "past_gates": to_record(word) if (word := review.past_gates if review else None) else None,
            "nothing_serves": nothing_serves,
            "request": request_id,
        },
    )


def _why(signoff: Signoff, review: Review | None) -> str:
    if review is None:
        return ""
    judged = review.past_gates or f"{len(signoff.gates)} gates passed; approved by {review.reviewer}: {review.reason}"
    return str(judged)


def _refuse_unapproved(signoff: Signoff, review: Review | None) -> None:
    """Raises ReleaseError unless the gates passed and the review asked for approved this very version. Pure.

    Past failed gates goes the word of two people alone, and past some of them nobody's.
    """
    what = f"{signoff.model} version {signoff.version}"
    if review is not None and review.past_gates is not None and review.verdict == "approved":
        if flaw := signoff.flaw_of(review.past_gates):
            raise ReleaseError(f"{flaw}; nothing was promoted")
        return
    if not signoff.passed or signoff.failed or not signoff.gates:
        failed = ", ".join(gate.name for gate in signoff.failed) or "none recorded"
        raise ReleaseError(f"{what} did not pass its gates ({failed}); nothing was promoted")
    if review is None:
        raise ReleaseError(f"{what}: the ledger holds no answer to its signoff; nothing was promoted")
    if review.verdict != "approved":
        raise ReleaseError(f"{what} was rejected by {review.reviewer} ({review.reason}); nothing was promoted")
    if signoff.review == "manual" and is_nobody(review.reviewer):
        raise ReleaseError(f"{what} asks for a person's review, and only the policy approved it; nothing was promoted")


def _replaces_the_gone(signoff: Signoff, state: ReleaseState) -> bool:
    """Whether a person takes it upon himself to put a new version where the champion was deleted. Pure."""
    return state.champion in state.gone and any(gate.waived for gate in signoff.gates)


def _refuse_changed(config: ModelConfig, signoff: Signoff, history: History, registry: Registry) -> None:
    """Raises ReleaseError when the world is not the one that was approved: champion, files, rules, gates and figures.

    An approval given against a champion does not revive when that one comes back after another: much was learnt.
    """
    what, state = f"{signoff.model} version {signoff.version}", history.state
    if signoff.version in state.rolled_back:
        raise ReleaseError(f"{what} was rolled back and is not released again; request a retrain")
    signed = history.entry(signoff.signoff_id)
    if signed and (release := history.released_after(signed)):
        raise ReleaseError(
            f"{what}: approval expired: {release.kind} to version {release.version} happened since it was signed off; "
            "request a retrain"
        )
    if refusal := state.refusal_of(signoff):
        raise ReleaseError(refusal)
    if signoff.config_digest and signoff.config_digest != config.digest:
        raise ReleaseError(
            f"{what}: approval expired: the rules in model.yaml changed since it was signed off; clear sign_off, and "
            "it is judged by the new ones and asks for its review again"
        )
    moved = state.divergence(alias_version(registry, signoff.model, CHAMPION))
    if moved and not _replaces_the_gone(signoff, state):
        raise ReleaseError(f"{what}: approval expired: {moved}")
    try:
        entry = version_tags(registry, signoff.model, signoff.version).get(ENTRY_TAG)
        found = artifact_digest(registry, signoff.model, signoff.version)
    except PermanentError as error:
        raise ReleaseError(
            f"{what}: approval expired: its files can not be read ({error}); request a retrain"
        ) from error
    if entry and entry != signoff.signoff_id:
        raise ReleaseError(
            f"{what}: approval expired: it was judged anew since, with other gates or figures (signoff "
            f"{entry[:16]}...): that one is to be reviewed"
        )
    if found != signoff.artifact_digest:
        raise ReleaseError(
            f"{what}: approval expired: its files have the digest {found[:16]}..., approved were "
            f"{signoff.artifact_digest[:16]}...; find out who changed them, and request a retrain"
        )
