"""A person's answer to a signoff under the login that named them: judged and written as one in the tags of MLflow.

The ledger gets it first, and the tags follow it: whoever polls them hears of it, whoever forges them changes nothing.
"""

from dataclasses import replace
from datetime import datetime
from typing import Literal

from perennial import ledger
from perennial.config import ModelConfig
from perennial.contracts import LedgerEntry, Review, Signoff, digest_of, flaw_of_names, is_nobody
from perennial.contracts.tags import ENTRY_TAG, REASON_TAG, REVIEWER_TAG, SECOND_TAG, SIGNOFF_TAG
from perennial.errors import SignoffError
from perennial.ledger import History
from perennial.registry import Registry
from perennial.registry.versions import set_version_tags
from perennial.signoff.review import LONGEST_REASON, answer_of, circumstances, record_review, reviewers_of
from perennial.store import Store

Verdict = Literal["approved", "rejected"]
ACCOUNT = "your account"


def answer_signoff(
    config: ModelConfig,
    signoff: Signoff,
    verdict: Verdict,
    *,
    by: str,
    reason: str,
    now: datetime,
    store: Store,
    registry: Registry,
) -> Review | None:
    """The answer that stands in the ledger afterwards; None while an approval waits for a second person.

    ``by`` is the name of the login. Once answered, always answered: the first answer is returned, and its tags are set
    again. Where champion, files or rules changed since, or the deadline passed, the answer is the policy's rejection.
    Raises SignoffError for a signoff that asks nobody, for a name that does not count, and without a reason.
    """
    history = ledger.read(store, config.model)
    if recorded := history.review_of(signoff):
        return record_review(config, signoff, recorded, store=store, registry=registry)
    why = " ".join(reason.split())[:LONGEST_REASON]
    if flaw := flaw_of_answer(config, signoff, verdict, by=by, why=why, before=approvals(history, signoff)):
        raise SignoffError(f"{config.model} version {signoff.version}: {flaw}")
    people = [*approvals(history, signoff), by] if verdict == "approved" else [by]
    named = dict(zip((REVIEWER_TAG, SECOND_TAG), people, strict=False)) | {REASON_TAG: why}
    if verdict == "approved" and len(people) < config.signoff.review.people:
        ledger.append(store, _approval(signoff, by, why))
        set_version_tags(registry, signoff.model, signoff.version, named)
        return None
    said = {SIGNOFF_TAG: verdict, ENTRY_TAG: signoff.signoff_id, **named}
    seen = circumstances(signoff, history, config, said, registry=registry, needs_files=verdict == "approved")
    answer = answer_of(
        signoff,
        replace(seen, now=now, verified=True),
        deadline=config.signoff.review.deadline,
        reviewers=reviewers_of(config, signoff),
    )
    if answer is None:
        raise SignoffError(
            f"{config.model} version {signoff.version}: {' and '.join(people)} do not do for an approval"
        )
    set_version_tags(registry, signoff.model, signoff.version, named)
    return record_review(config, signoff, answer, store=store, registry=registry)


def flaw_of_answer(
    config: ModelConfig, signoff: Signoff, verdict: Verdict, *, by: str, why: str, before: tuple[str, ...]
) -> str:
    """Why an answer is none, in words for whoever gave it; empty for one. ``before`` approved it already. Pure.

    >>> from dataclasses import replace
    >>> asked = replace(signed, review="manual", requested_by="ada")
    >>> def flaw(verdict, by, why="better", before=()):
    ...     return flaw_of_answer(flights, asked, verdict, by=by, why=why, before=before)
    >>> flaw("approved", "bob"), flaw("rejected", "Ada"), flaw("approved", "bob", "")
    ('', '', 'an answer needs a reason')
    >>> flaw("approved", "Ada")
    "your account = 'Ada' asked for this retrain: somebody else has to approve it"
    >>> flaw("rejected", "policy")
    "your account = 'policy' is a name that the policy answers under, and no person's"
    >>> flaw("approved", "bob", before=("Bob",))
    "your account = 'bob' is the first reviewer again: somebody else has to agree"
    """
    if signoff.review != "manual" or not signoff.passed:
        return "no person is asked about it"
    if not why:
        return "an answer needs a reason"
    if is_nobody(by) or not by.strip():
        return f"{ACCOUNT} = {by!r} is a name that the policy answers under, and no person's"
    if verdict == "rejected":
        return ""
    named = [*(("the first approval", name) for name in before), (ACCOUNT, by)]
    return flaw_of_names(named, not_by=reviewers_of(config, signoff).not_by)


def approvals(history: History, signoff: Signoff) -> tuple[str, ...]:
    """Who approved it so far, where it takes two. Pure."""
    given = [item for item in history.of("approval") if item.payload["signoff"] == signoff.signoff_id]
    return tuple(item.actor for item in given)


def _approval(signoff: Signoff, by: str, why: str) -> LedgerEntry:
    return LedgerEntry(
        entry_id=digest_of("approval", signoff.signoff_id, by),
        model=signoff.model,
        kind="approval",
        at=signoff.as_of,
        actor=by,
        reason=why,
        version=signoff.version,
        payload={"signoff": signoff.signoff_id},
    )
