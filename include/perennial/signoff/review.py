"""Who answers for a release: the policy, a reviewer through the tag ``signoff`` in the MLflow UI, or the deadline.

An answer holds for exactly what was signed off: the same files, against the same champion. The first answer that stands
in the ledger is the answer, whatever the tag says later.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from perennial import ledger
from perennial.config import ModelConfig
from perennial.contracts import RULES_CHANGED, LedgerEntry, Review, Signoff, to_record
from perennial.contracts.tags import ENTRY_TAG, NOTE_TAG, REASON_TAG, REVIEWER_TAG, SECOND_TAG, SIGNOFF_TAG
from perennial.errors import SignoffError, first_of
from perennial.registry import Registry, artifact_digest
from perennial.registry.versions import find_version_tags, set_version_tags, version_exists
from perennial.signoff.answering.polling import PENDING, Reviewers, answer_in
from perennial.store import Store

_PEOPLES_TAGS = (SIGNOFF_TAG, REVIEWER_TAG, SECOND_TAG, REASON_TAG)
LONGEST_REASON = 2000
IN_AIRFLOW_ALONE = "signoff.review.identity is verified: answer on the page Models in Airflow, under your own login"
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Circumstances:
    """What an answer is held against: tags, champion and files as they are now.

    ``tags`` are those of the version that people write. ``entry`` is the signoff that its tags speak of. ``since`` is
    when the signoff was written; ``now`` is None where the deadline is not asked about. ``digest`` is None when the
    files were not looked at. ``overtaken`` is the version that took office since the signoff, if any did. ``verified``:
    ``tags`` are no tags of MLflow, but what somebody said in Airflow under the login that they name.
    """

    entry: str | None
    tags: Mapping[str, str]
    champion: str | None
    digest: str | None
    since: datetime | None
    config_digest: str = ""
    overtaken: str | None = None
    now: datetime | None = None
    verified: bool = False


def reviewers_of(config: ModelConfig, signoff: Signoff) -> Reviewers:
    """Who may answer a signoff. Pure.

    >>> reviewers_of(flights, signed)
    Reviewers(people=1, not_by='')
    """
    policy = config.signoff.review
    return Reviewers(people=policy.people, not_by="" if policy.by_requester else signoff.requested_by)


def answer_of(
    signoff: Signoff, seen: Circumstances, *, deadline: timedelta, reviewers: Reviewers | None = None
) -> Review | None:
    """The answer to a signoff, or None while a reviewer may still give it. Pure.

    Failed gates, another champion and other files reject, whoever approved. A reviewer's own ``rejected`` always
    counts; an approval that is read after the deadline does not, since a tag does not say when it was set. Nor does one
    without the names that ``reviewers`` ask for.

    >>> from dataclasses import replace
    >>> from datetime import UTC
    >>> from perennial.contracts import Gate, Window
    >>> day = Window(start=datetime(2024, 1, 1, tzinfo=UTC), end=datetime(2024, 1, 2, tzinfo=UTC))
    >>> gate = Gate(name="metric/r2", passed=True, value=0.5, bound=0.3, detail="r2 0.5 keeps the minimum 0.3")
    >>> signed = Signoff(model="m", version="3", artifact_digest="d", champion_seen="2", gates=(gate,), passed=True,
    ...     review="manual", as_of=day.end, train=day, holdout=day)
    >>> tags = {"signoff": "approved", "reviewer": "ada"}
    >>> seen = Circumstances(entry=signed.signoff_id, tags=tags, champion="2", digest="d", since=day.end)
    >>> answer_of(signed, seen, deadline=timedelta(hours=1)).verdict
    'approved'
    >>> answer_of(signed, replace(seen, champion="4"), deadline=timedelta(hours=1)).verdict
    'rejected'
    >>> answer_of(signed, replace(seen, tags={"signoff": "pending"}), deadline=timedelta(hours=1)) is None
    True
    """

    def rejected(reviewer: str, reason: str, *, verified: bool = False) -> Review:
        return Review(
            model=signoff.model,
            version=signoff.version,
            verdict="rejected",
            reviewer=reviewer,
            reason=reason,
            verified=verified,
        )

    if not signoff.passed:
        failed = [gate.name for gate in signoff.gates if not gate.passed]
        return rejected("policy", f"gates failed: {', '.join(failed)}")
    if changed := changes(signoff, seen):
        return rejected("policy", f"{changed} since the signoff; retrain for a candidate that is judged anew")
    manual, who = signoff.review == "manual", reviewers or Reviewers()
    said = who.said(seen.tags) if manual else "approved"
    reviewer = who.names(seen.tags) if manual else "policy"
    if said == "rejected":
        return rejected(reviewer, _in_words(seen), verified=seen.verified)
    if manual and seen.now and seen.since and seen.now > seen.since + deadline:
        return rejected("deadline", f"no answer was read by {(seen.since + deadline).isoformat(timespec='seconds')}")
    if said is None:
        return None
    reason = _in_words(seen) if manual else "all gates passed, review mode auto"
    if signoff.flags:
        reason = f"{reason}, in spite of {first_of(signoff.flags)}"
    return Review(
        model=signoff.model,
        version=signoff.version,
        verdict="approved",
        reviewer=reviewer,
        reason=reason,
        verified=manual and seen.verified,
    )


def _in_words(seen: Circumstances) -> str:
    """What a person said and where, with the reason if one was given."""
    why = " ".join(seen.tags.get(REASON_TAG, "").split())[:LONGEST_REASON]
    said = answer_in(seen.tags.get(SIGNOFF_TAG))
    return (f"{said} in Airflow" if seen.verified else f"tag {SIGNOFF_TAG} = {said}") + (f": {why}" if why else "")


def changes(signoff: Signoff, seen: Circumstances) -> str | None:
    """What differs from what was signed off, in words; None when nothing does. Pure.

    >>> now = Circumstances(entry=None, tags={}, champion="5", digest="d", since=None)
    >>> changes(signed, now)
    'the champion changed from version 3 to version 5'
    """
    if seen.champion != signoff.champion_seen:
        return f"the champion changed from version {signoff.champion_seen} to version {seen.champion}"
    if seen.overtaken is not None:
        return f"another release happened, of version {seen.overtaken},"
    if seen.digest is not None and seen.digest != signoff.artifact_digest:
        return f"the files changed from digest {signoff.artifact_digest[:16]} to {seen.digest[:16]}"
    if signoff.config_digest and seen.config_digest != signoff.config_digest:
        return RULES_CHANGED
    if seen.entry != signoff.signoff_id and (seen.entry or signoff.review == "manual"):
        return f"the tag {ENTRY_TAG} of the version changed to {seen.entry}, which is another signoff,"
    return None


def read_review(
    config: ModelConfig,
    signoff: Signoff,
    *,
    registry: Registry,
    store: Store,
    now: datetime | None = None,
) -> Review | None:
    """The answer as it stands, or None while it is pending; ``now`` judges the deadline too.

    A tag that is neither ``pending``, ``approved`` nor ``rejected``, and an approval without the names that it needs,
    leave the review pending and are answered with a note on the version. Raises SignoffError for a signoff that is not
    in the ledger, RegistryUnavailable.
    """
    history = ledger.read(store, config.model)
    entry = history.entry(signoff.signoff_id)
    if entry is None:
        raise SignoffError(f"{signoff.model} version {signoff.version} has no signoff in the ledger; sign off first")
    if recorded := history.review_of(signoff):
        return recorded
    tags = find_version_tags(registry, signoff.model, signoff.version)
    if tags is None:
        reason = "the version is gone from the registry"
        return Review(
            model=signoff.model, version=signoff.version, verdict="rejected", reviewer="policy", reason=reason
        )
    reviewers = reviewers_of(config, signoff)
    if signoff.review == "manual" and signoff.passed:
        if config.signoff.review.identity == "verified" and answer_in(tags.get(SIGNOFF_TAG)):
            if recorded := ledger.read(store, config.model).review_of(signoff):  # the tag follows the ledger
                return recorded
            _take_back(signoff, tags, registry=registry)
        else:
            _note(signoff, reviewers, tags, registry=registry)
    needs_files = signoff.review == "auto" or reviewers.said(tags) == "approved"
    seen = circumstances(signoff, history, config, tags, registry=registry, needs_files=needs_files)
    return answer_of(signoff, replace(seen, now=now), deadline=config.signoff.review.deadline, reviewers=reviewers)


def circumstances(
    signoff: Signoff,
    history: ledger.History,
    config: ModelConfig,
    tags: Mapping[str, str],
    *,
    registry: Registry,
    needs_files: bool,
) -> Circumstances:
    """What an answer in ``tags`` is held against, as it is now. Raises RegistryUnavailable."""
    entry = history.entry(signoff.signoff_id)
    release = history.released_after(entry) if entry else None
    return Circumstances(
        entry=tags.get(ENTRY_TAG),
        tags={tag: tags[tag] for tag in _PEOPLES_TAGS if tag in tags},
        champion=history.state.champion,
        digest=artifact_digest(registry, signoff.model, signoff.version) if needs_files else None,
        since=entry.recorded_at if entry else None,
        config_digest=config.digest,
        overtaken=release.version if release else None,
    )


def _take_back(signoff: Signoff, tags: dict[str, str], *, registry: Registry) -> None:
    """Tags are nobody's word where names have to be those of a login: the answer in them goes, and they say why."""
    _log.warning("%s version %s: %s; the review stays pending", signoff.model, signoff.version, IN_AIRFLOW_ALONE)
    given = {SIGNOFF_TAG: PENDING, NOTE_TAG: IN_AIRFLOW_ALONE}
    set_version_tags(registry, signoff.model, signoff.version, given)
    tags |= given


def _note(signoff: Signoff, reviewers: Reviewers, tags: dict[str, str], *, registry: Registry) -> None:
    """Tell a reviewer, where he looks, what his answer lacks; take the note back when it lacks nothing."""
    note = reviewers.note(tags)
    if note == tags.get(NOTE_TAG, ""):
        return
    set_version_tags(registry, signoff.model, signoff.version, {NOTE_TAG: note})
    if note:
        _log.warning("%s version %s: %s; the review stays pending", signoff.model, signoff.version, note)


def record_review(config: ModelConfig, signoff: Signoff, review: Review, *, store: Store, registry: Registry) -> Review:
    """Write the answer to the ledger and return the one that stands there: the first, when two were given.

    The tags of the version follow it. Raises SignoffError when the review is of another version.
    """
    if (review.model, review.version) != (config.model, signoff.version) or signoff.model != config.model:
        raise SignoffError(
            f"review of {review.model} version {review.version} for the signoff of {signoff.model} version "
            f"{signoff.version}, model {config.model}"
        )
    entry = LedgerEntry(
        entry_id=signoff.review_id,
        model=signoff.model,
        kind="review",
        at=signoff.as_of,
        actor=review.reviewer,
        reason=review.reason,
        version=signoff.version,
        payload={
            "review": to_record(review),
            "verdict": review.verdict,
            "signoff": signoff.signoff_id,
            "artifact_digest": signoff.artifact_digest,
            "champion_seen": signoff.champion_seen,
            "flags": [to_record(flag) for flag in signoff.flags],
        },
    )
    ledger.append(store, entry)
    standing = ledger.read(store, config.model).review_of(signoff)
    if standing is None:
        raise SignoffError(f"the review of {signoff.model} version {signoff.version} did not reach the ledger")
    # past failed gates they follow the promotion: until then the word in them is still to be carried out
    asked = signoff.review == "manual" and standing.past_gates is None
    if asked and version_exists(registry, signoff.model, signoff.version):
        tags: dict[str, str] = {SIGNOFF_TAG: standing.verdict}
        if " and " not in standing.reviewer:  # of two people each has a tag
            tags[REVIEWER_TAG] = standing.reviewer
        set_version_tags(registry, signoff.model, signoff.version, tags)
    return standing


def pending_signoffs(model: str, *, store: Store) -> tuple[Signoff, ...]:
    """The signoffs that passed and have no answer in the ledger yet, oldest first."""
    return ledger.History(model, ledger.entries(store, model, kinds=("signoff", "review"))).open_reviews()


def expire_stale(config: ModelConfig, *, store: Store, registry: Registry, now: datetime) -> tuple[Review, ...]:
    """Record a rejection for every unanswered signoff whose deadline passed or whose champion or files changed.

    An approval that still holds is left to the run that waits for it.
    """
    answers = (
        (signoff, read_review(config, signoff, registry=registry, store=store, now=now))
        for signoff in pending_signoffs(config.model, store=store)
    )
    return tuple(
        record_review(config, signoff, answer, store=store, registry=registry)
        for signoff, answer in answers
        if answer is not None and answer.verdict == "rejected"
    )
