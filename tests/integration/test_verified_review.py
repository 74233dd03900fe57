"""Answers to a signoff under a login, beside those in the tags of MLflow: judged, written and heard as one."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from perennial import ledger
from perennial.config import ModelConfig
from perennial.contracts import LedgerEntry, Signoff, to_record
from perennial.contracts.tags import ENTRY_TAG, NOTE_TAG, REASON_TAG, REVIEWER_TAG, SECOND_TAG, SIGNOFF_TAG
from perennial.errors import SignoffError
from perennial.pipeline import Case
from perennial.pipeline.answers.verified import answer
from perennial.registry import Registry
from perennial.registry.versions import set_version_tags, version_tags
from perennial.settings import load_settings
from perennial.signoff.answering.past_gates import go_past_gates_by_tags
from perennial.signoff.review import IN_AIRFLOW_ALONE, read_review
from perennial.store import Store
from releases import made_stable, make_version, signed


@pytest.fixture
def registry(mlflow_uri: str) -> Registry:
    return Registry(mlflow_uri)


def config_of(wine: ModelConfig, **review: object) -> ModelConfig:
    asked = wine.signoff.review.model_copy(update={"mode": "manual", **review})
    return wine.model_copy(update={"signoff": wine.signoff.model_copy(update={"review": asked})})


def case_of(config: ModelConfig, store: Store, registry: Registry) -> Case:
    return Case(config=config, store=store, registry=registry, settings=load_settings())


def waiting(config: ModelConfig, store: Store, registry: Registry, *, seen: str | None = None) -> Signoff:
    """A signoff by version 1 that waits for a person; carol asked for the retrain."""
    version = make_version(config, registry, "candidate")
    asked = replace(
        signed(config, registry, version, seen), review="manual", requested_by="carol", config_digest=config.digest
    )
    entry = LedgerEntry(
        entry_id=asked.signoff_id, model=config.model, kind="signoff", at=asked.as_of, actor="policy", reason="test",
        version=version, payload={"signoff": to_record(asked)},
    )  # fmt: skip
    ledger.append(store, entry)
    tags = {SIGNOFF_TAG: "pending", ENTRY_TAG: asked.signoff_id, REVIEWER_TAG: "", SECOND_TAG: "", REASON_TAG: ""}
    set_version_tags(registry, config.model, version, tags)
    return asked


def now() -> datetime:
    return datetime.now(UTC)


def test_an_approval_under_a_login_stands_in_the_ledger_and_in_the_tags(
    wine: ModelConfig, store: Store, registry: Registry
) -> None:
    config = config_of(wine, identity="verified")
    asked = waiting(config, store, registry)
    case = case_of(config, store, registry)
    for who, verdict, reason, flaw in (
        ("Carol ", "approved", "mine", "asked for this retrain"),
        ("policy", "rejected", "no", "no person's"),
        ("auto", "approved", "yes", "no person's"),
        ("ada", "approved", "  ", "needs a reason"),
    ):
        with pytest.raises(SignoffError, match=flaw):
            answer(case, asked.signoff_id, verdict, by=who, reason=reason, now=now())  # type: ignore[arg-type]
    for reason in ("it is better", "another word"):
        given = answer(case, asked.signoff_id, "approved", by="ada", reason=reason, now=now())
        assert given is not None
        assert (given.verdict, given.reviewer, given.verified) == ("approved", "ada", True)
        assert given.reason == "approved in Airflow: it is better"
    (entry,) = ledger.entries(store, config.model, kinds=["review"])
    assert (entry.actor, entry.payload["review"]["verified"]) == ("ada", True)
    tags = version_tags(registry, config.model, asked.version)
    assert (tags[SIGNOFF_TAG], tags[REVIEWER_TAG], tags[REASON_TAG]) == ("approved", "ada", "it is better")
    assert case.reviewers(asked).said(tags) == "approved", "the trigger hears of it"
    assert case.review(asked.signoff_id, now=now()) == given
    assert case.promote(asked.signoff_id).version == asked.version


def test_where_names_have_to_be_verified_tags_are_nobodys_word(
    wine: ModelConfig, store: Store, registry: Registry
) -> None:
    config = config_of(wine, identity="verified")
    asked = waiting(config, store, registry)
    for word in ("approved", "rejected"):
        forged = {SIGNOFF_TAG: word, REVIEWER_TAG: "ada", REASON_TAG: "forged"}
        set_version_tags(registry, config.model, asked.version, forged)
        assert read_review(config, asked, registry=registry, store=store, now=now()) is None
        tags = version_tags(registry, config.model, asked.version)
        assert (tags[SIGNOFF_TAG], tags[NOTE_TAG]) == ("pending", IN_AIRFLOW_ALONE)
    with pytest.raises(SignoffError, match="identity is verified"):
        go_past_gates_by_tags(config, asked.version, store=store, registry=registry)
    anybody = config_of(wine)
    other = waiting(anybody, store, registry)
    set_version_tags(registry, config.model, other.version, {SIGNOFF_TAG: "approved", REVIEWER_TAG: "ada"})
    by_tag = read_review(anybody, other, registry=registry, store=store)
    assert by_tag is not None
    assert (by_tag.verdict, by_tag.verified) == ("approved", False)


def test_two_people_approve_under_two_logins_and_one_rejects(
    wine: ModelConfig, store: Store, registry: Registry
) -> None:
    config = config_of(wine, identity="verified", people=2)
    asked = waiting(config, store, registry)
    case = case_of(config, store, registry)
    assert answer(case, asked.signoff_id, "approved", by="ada", reason="first", now=now()) is None
    with pytest.raises(SignoffError, match="first reviewer again"):
        answer(case, asked.signoff_id, "approved", by="ADA", reason="again", now=now())
    assert case.review(asked.signoff_id, now=now()) is None
    given = answer(case, asked.signoff_id, "approved", by="bob", reason="second", now=now())
    assert given is not None
    assert (given.verdict, given.reviewer) == ("approved", "ada and bob")
    tags = version_tags(registry, config.model, asked.version)
    assert (tags[REVIEWER_TAG], tags[SECOND_TAG], tags[SIGNOFF_TAG]) == ("ada", "bob", "approved")
    other = waiting(config, store, registry)
    rejected = answer(case, other.signoff_id, "rejected", by="carol", reason="my own", now=now())
    assert rejected is not None
    assert (rejected.verdict, rejected.reviewer) == ("rejected", "carol")


def test_an_approval_after_the_world_changed_or_too_late_is_the_policys_rejection(
    wine: ModelConfig, store: Store, registry: Registry
) -> None:
    config = config_of(wine)
    late = waiting(config, store, registry)
    case = case_of(config, store, registry)
    after = now() + config.signoff.review.deadline
    told = answer(case, late.signoff_id, "approved", by="ada", reason="at last", now=after)
    assert told is not None
    assert (told.verdict, told.reviewer, told.verified) == ("rejected", "deadline", False)
    overtaken = waiting(config, store, registry)
    made_stable(config, make_version(config, registry, "other"), None, 7, store=store, registry=registry)
    told = answer(case, overtaken.signoff_id, "approved", by="ada", reason="sure", now=now())
    assert told is not None
    assert (told.verdict, told.reviewer) == ("rejected", "policy")
    assert "the champion changed" in told.reason
