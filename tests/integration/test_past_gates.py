"""Two people promote what failed its gates: what their word is worth, what it never goes past, where it is shown."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from logs import day
from perennial import ledger
from perennial.cli import app
from perennial.config import ModelConfig
from perennial.contracts import (
    Evaluation,
    Gate,
    LedgerEntry,
    PastGates,
    Review,
    Signoff,
    digest_of,
    from_record,
    to_record,
)
from perennial.decision.facts import Facts
from perennial.decision.policy import decide
from perennial.errors import ReleaseError, SignoffError
from perennial.pipeline import Case
from perennial.pipeline.timeline import status, timeline
from perennial.registry import Registry, alias_version, set_alias
from perennial.registry.versions import describe_version, find_version_tags, get_version, set_version_tags, version_tags
from perennial.release.promote import _refuse_unapproved, challenge, promote
from perennial.release.reconcile import follow_bake, reconcile
from perennial.release.rollback import roll_back
from perennial.settings import load_settings
from perennial.signoff.answering.past_gates import go_past_gates
from perennial.signoff.record.hindsight import look_back
from perennial.signoff.review import read_review
from perennial.signoff.signing import signoff_entry
from perennial.store import Store
from releases import approval, in_ledger, made_stable, make_version, signed

LOST = Gate(name="slice/cellar", passed=False, value=-0.2, bound=-0.05, detail="cellar=north loses 0.2")
SLOW = Gate(name="serving/single_p99_ms", passed=False, value=40.0, bound=10.0, detail="40 ms; 10 ms allowed")
WORD = ("ada", "Bob  Marley")
WHY = "the north cellar is closed until May"


@pytest.fixture
def registry(mlflow_uri: str) -> Registry:
    return Registry(mlflow_uri)


@pytest.fixture
def first(wine: ModelConfig, store: Store, registry: Registry) -> str:
    """Version 1, stable."""
    version = make_version(wine, registry, "one")
    made_stable(wine, version, None, 6, store=store, registry=registry)
    return version


def refused(
    config: ModelConfig, registry: Registry, store: Store, seen: str | None, *gates: Gate, **other: Any
) -> Signoff:
    """A version that failed gates, signed off on day 16."""
    version = make_version(config, registry, digest_of(*(gate.name for gate in gates)))
    clear = signed(config, registry, version, seen, 16)
    made = replace(
        clear, gates=(*clear.gates, *gates), passed=False, config_digest=config.digest, requested_by="carol", **other
    )
    evaluation = Evaluation(
        model=config.model,
        mlflow_run_id=str(get_version(registry, config.model, version).run_id),
        n_rows=200,
        label_coverage=1.0,
        candidate={"accuracy": 0.9},
        baseline=seen or "constant",
        baseline_metrics={"accuracy": 0.8},
        n_paired_rows=200,
    )
    ledger.append(store, signoff_entry(config, made, evaluation))
    describe_version(registry, config.model, version, "### Signoff: 1 of 2 gates failed")
    set_version_tags(registry, config.model, version, {"signoff": "failed", "version.signoff_entry": made.signoff_id})
    return made


def word(
    config: ModelConfig,
    signoff: Signoff,
    store: Store,
    registry: Registry,
    by: tuple[str, ...] = WORD,
    reason: str = WHY,
) -> Signoff:
    return go_past_gates(
        config, signoff.version, by=by, reason=reason, entered_by="root", store=store, registry=registry
    )


def promoted(config: ModelConfig, signoff: Signoff, store: Store, registry: Registry) -> None:
    promote(config, word(config, signoff, store, registry).signoff_id, store=store, registry=registry)


def forged(signoff: Signoff, store: Store, review: Review) -> None:
    """An answer that somebody wrote into the ledger past the code that asks what it is worth."""
    entry = LedgerEntry(
        entry_id=signoff.review_id,
        model=signoff.model,
        kind="review",
        at=signoff.as_of,
        actor=review.reviewer,
        reason=review.reason,
        version=signoff.version,
        payload={"review": to_record(review), "signoff": signoff.signoff_id},
    )
    ledger.append(store, entry)


def nothing_happened(config: ModelConfig, store: Store, registry: Registry, champion: str | None) -> bool:
    kinds = {entry.kind for entry in ledger.entries(store, config.model) if entry.at == day(16).end}
    return kinds <= {"signoff", "review"} and alias_version(registry, config.model, "champion") == champion


def bake_passed(config: ModelConfig, version: str, store: Store, registry: Registry) -> None:
    entry = LedgerEntry(
        entry_id=digest_of("bake", config.model, version),
        model=config.model,
        kind="bake",
        at=day(18).end,
        actor="policy",
        reason="bake passed",
        version=version,
        payload={"outcome": "passed", "windows": []},
    )
    ledger.append(store, entry)
    follow_bake(config, store=store, registry=registry)


def test_two_people_promote_past_a_gate_and_every_page_says_so_until_the_bake_has_passed(
    wine: ModelConfig, store: Store, registry: Registry, first: str, tmp_path: Path
) -> None:
    failed = refused(wine, registry, store, first, LOST)
    promoted(wine, failed, store, registry)
    promoted(wine, failed, store, registry)
    told = f"past its failed gates slice/cellar, by ada and Bob Marley: {WHY}"
    assert alias_version(registry, wine.model, "champion") == failed.version
    (review, intent, completion) = ledger.entries(store, wine.model, last=3)
    assert [entry.kind for entry in (review, intent, completion)] == ["review", "promotion_intent", "promotion"]
    assert (review.actor, review.reason) == ("ada and Bob Marley", f"{told} (entered by root)")
    assert (completion.actor, completion.reason) == ("ada and Bob Marley", told)
    assert from_record(PastGates, completion.payload["past_gates"]).by == ("ada", "Bob Marley")

    tags = version_tags(registry, wine.model, failed.version)
    assert tags["version.past_gates"] == told
    assert (tags["signoff"], tags["reviewer"], tags["second_reviewer"]) == ("approved", "ada", "Bob Marley")
    page = get_version(registry, wine.model, failed.version).description
    assert page.startswith(f"> **Promoted {told}.** Its bake has not passed yet.\n\n### Signoff")
    run = get_version(registry, wine.model, failed.version).run_id
    for name, said in (("report.html", f"Approved {told}."), ("model_card.md", f"- approved {told}\n")):
        report = registry.client.download_artifacts(run, f"signoff/{name}", str(tmp_path))
        assert said in Path(report).read_text(encoding="utf-8")
    assert status(wine, store=store).past_gates == told
    state = ledger.release_state(store, wine.model)
    decided = decide(wine, Facts(window=day(17), state=state, champion_alias=failed.version, batch_ids=("b",)))
    assert decided.reasons[0].startswith(f"version {failed.version}, promoted {told}, is in its bake since")
    assert reconcile(wine, store=store, registry=registry) == ()
    assert "version.past_gates" in version_tags(registry, wine.model, failed.version)

    bake_passed(wine, failed.version, store, registry)
    assert version_tags(registry, wine.model, failed.version)["version.past_gates"] == ""
    assert get_version(registry, wine.model, failed.version).description == "### Signoff: 1 of 2 gates failed"
    assert status(wine, store=store).past_gates is None
    assert alias_version(registry, wine.model, "stable") == failed.version


def test_the_mark_goes_when_the_bakes_end_was_cut_off_and_with_a_rollback_the_word(
    wine: ModelConfig, store: Store, registry: Registry, first: str
) -> None:
    failed = refused(wine, registry, store, first, LOST)
    promoted(wine, failed, store, registry)
    roll_back(wine, store=store, registry=registry, actor="ada", reason="it errs", at=day(17).end)
    assert status(wine, store=store).past_gates is None
    again = refused(wine, registry, store, first, replace(LOST, name="slice/organic"))
    promoted(wine, again, store, registry)
    ledger.append(
        store,
        LedgerEntry(
            entry_id=f"bake-{wine.model}",
            model=wine.model,
            kind="bake",
            at=day(19).end,
            actor="policy",
            reason="bake passed",
            version=again.version,
            payload={"outcome": "passed", "windows": []},
        ),
    )
    set_alias(registry, wine.model, "stable", again.version)
    (said,) = reconcile(wine, store=store, registry=registry)
    assert said.endswith(f"version {again.version}, promoted past its gates, has passed its bake")
    assert reconcile(wine, store=store, registry=registry) == ()


WORTHLESS = [
    (("ada",), WHY, "on the word of two people, and 1 gave theirs"),
    (("ada", "bob", "dan"), WHY, "on the word of two people, and 3 gave theirs"),
    (("ada", " ADA"), WHY, "is the first reviewer again"),
    (("ada", "Policy"), WHY, "is not a person's name"),
    (("deadline", "ada"), WHY, "is not a person's name"),
    (("ada", "  "), WHY, "is empty"),
    (("ada", "Carol"), WHY, "asked for this retrain"),
    (("ada", "bob"), " \n", "for a reason, and none is given"),
]


def test_a_word_that_is_not_that_of_two_other_people_with_a_reason_is_none(
    wine: ModelConfig, store: Store, registry: Registry
) -> None:
    failed = refused(wine, registry, store, None, LOST)
    for by, reason, told in WORTHLESS:
        with pytest.raises(SignoffError, match=told):
            word(wine, failed, store, registry, by, reason)
        past = PastGates(gates=("slice/cellar",), by=by, reason=reason)
        with pytest.raises(ReleaseError, match=told):
            _refuse_unapproved(failed, replace(approval(failed), past_gates=past))
    assert not ledger.entries(store, wine.model, kinds=["review"])
    forged(failed, store, replace(approval(failed), past_gates=past))
    with pytest.raises(ReleaseError, match=told):
        promote(wine, failed.signoff_id, store=store, registry=registry)
    assert nothing_happened(wine, store, registry, None)


CLOSED = [
    Gate(name="parity", passed=False, value=None, bound=1e-9, detail="the fresh process ended with code 1: killed"),
    Gate(name="parity", passed=False, value=0.2, bound=1e-9, detail="largest score difference 0.2"),
    Gate(name="serving/signature", passed=False, value=0.0, bound=1.0, detail="it carries no signature"),
    replace(SLOW, value=None, detail="not measured: no fresh process answered"),
]


def test_what_can_not_be_loaded_or_is_not_what_was_judged_goes_past_its_gates_on_nobodys_word(
    wine: ModelConfig, store: Store, registry: Registry
) -> None:
    failed = refused(wine, registry, store, None, LOST, CLOSED[0])
    with pytest.raises(SignoffError, match="can not be promoted past parity, whoever says so"):
        word(wine, failed, store, registry)
    for gate in CLOSED:
        stopped = replace(failed, gates=(*failed.gates[:2], gate))
        past = PastGates(gates=("slice/cellar", gate.name), by=WORD, reason=WHY)
        with pytest.raises(ReleaseError, match=f"can not be promoted past {gate.name}, whoever says so"):
            _refuse_unapproved(stopped, replace(approval(stopped), past_gates=past))
    forged(failed, store, replace(approval(failed), past_gates=replace(past, gates=("slice/cellar", "parity"))))
    with pytest.raises(ReleaseError, match="can not be promoted past parity, whoever says so"):
        promote(wine, failed.signoff_id, store=store, registry=registry)
    assert nothing_happened(wine, store, registry, None)


def test_what_is_too_slow_goes_past_its_gate_on_their_word(wine: ModelConfig, store: Store, registry: Registry) -> None:
    failed = refused(wine, registry, store, None, SLOW)
    promoted(wine, failed, store, registry)
    assert alias_version(registry, wine.model, "champion") == failed.version


def test_files_that_were_changed_are_promoted_on_nobodys_word(
    wine: ModelConfig, store: Store, registry: Registry, tmp_path: Path
) -> None:
    failed = refused(wine, registry, store, None, LOST)
    word(wine, failed, store, registry)
    (tmp_path / "model.skops").write_text("forged", encoding="utf-8")
    source = str(get_version(registry, wine.model, failed.version).source)
    registry.client.log_model_artifact(source.removeprefix("models:/"), str(tmp_path / "model.skops"))
    with pytest.raises(ReleaseError, match="approval expired: its files have the digest"):
        promote(wine, failed.signoff_id, store=store, registry=registry)
    other = refused(wine, registry, store, None, LOST, SLOW)
    source = str(get_version(registry, wine.model, other.version).source)
    registry.client.log_model_artifact(source.removeprefix("models:/"), str(tmp_path / "model.skops"))
    with pytest.raises(SignoffError, match="the files changed from digest"):
        word(wine, other, store, registry)
    assert nothing_happened(wine, store, registry, None)


def test_their_word_is_about_this_champion_these_rules_and_a_version_that_failed(
    wine: ModelConfig, store: Store, registry: Registry, first: str
) -> None:
    failed = refused(wine, registry, store, None, LOST)
    with pytest.raises(SignoffError, match=f"the champion changed from version None to version {first} since"):
        word(wine, failed, store, registry)
    against_first = refused(wine, registry, store, first, SLOW)
    tighter = wine.model_copy(update={"signoff": wine.signoff.model_copy(update={"min_label_coverage": 0.99})})
    with pytest.raises(SignoffError, match=r"the rules in model\.yaml changed"):
        word(tighter, against_first, store, registry)
    with pytest.raises(SignoffError, match="holds no signoff of a version 99"):
        word(wine, replace(failed, version="99"), store, registry)
    clear = in_ledger(signed(wine, registry, make_version(wine, registry, "good"), first, 15), store)
    with pytest.raises(SignoffError, match="failed no gate, so there is none to go past"):
        word(wine, clear, store, registry)
    with pytest.raises(ReleaseError, match="failed its gates and can not be the challenger"):
        challenge(wine, against_first, store=store, registry=registry)


def test_what_only_a_tag_or_another_answer_says_promotes_nothing(
    wine: ModelConfig, store: Store, registry: Registry, first: str
) -> None:
    failed = refused(wine, registry, store, first, LOST)
    tags = {
        "signoff": "approved",
        "reviewer": "ada",
        "second_reviewer": "bob",
        "version.past_gates": "by ada and bob",
    }
    set_version_tags(registry, wine.model, failed.version, tags)
    answer = read_review(wine, failed, registry=registry, store=store)
    assert answer is not None
    assert answer.verdict == "rejected"
    with pytest.raises(ReleaseError, match=r"did not pass its gates \(slice/cellar\)"):
        promote(wine, failed.signoff_id, store=store, registry=registry)
    assert status(wine, store=store).past_gates is None
    forged(failed, store, replace(approval(failed), reviewer="ada and bob"))
    with pytest.raises(ReleaseError, match=r"did not pass its gates \(slice/cellar\)"):
        promote(wine, failed.signoff_id, store=store, registry=registry)
    assert nothing_happened(wine, store, registry, first)
    other = refused(wine, registry, store, first, LOST, SLOW)
    past = PastGates(gates=("slice/cellar",), by=WORD, reason=WHY)
    forged(other, store, replace(approval(other), verdict="rejected", past_gates=past))
    with pytest.raises(ReleaseError, match="did not pass its gates"):
        promote(wine, other.signoff_id, store=store, registry=registry)


def test_a_word_about_other_gates_than_those_that_failed_is_none(
    wine: ModelConfig, store: Store, registry: Registry
) -> None:
    failed = refused(wine, registry, store, None, LOST, SLOW)
    past = PastGates(gates=("slice/cellar",), by=WORD, reason=WHY)
    forged(failed, store, replace(approval(failed), past_gates=past))
    with pytest.raises(ReleaseError, match=r"failed slice/cellar, serving/single_p99_ms, and the word is about slice"):
        promote(wine, failed.signoff_id, store=store, registry=registry)


def tagged(config: ModelConfig, version: str, registry: Registry, **over: str) -> dict[str, str]:
    """Two people's word in the tags of a version; ``over`` has other words under their names."""
    given = {"reviewer": "ada", "second_reviewer": "Bob  Marley", "reason": WHY, "signoff": "past gates", **over}
    reason = given.pop("reason")
    set_version_tags(registry, config.model, version, {**given, "signoff.reason": reason})
    return version_tags(registry, config.model, version)


@pytest.fixture
def case(wine: ModelConfig, store: Store, registry: Registry, as_pipeline: None) -> Case:
    return Case(config=wine, store=store, registry=registry, settings=load_settings())


def test_two_peoples_tags_promote_it_the_same_way_and_twice_is_once(
    wine: ModelConfig, store: Store, registry: Registry, first: str, case: Case
) -> None:
    failed = refused(wine, registry, store, first, LOST)
    tagged(wine, failed.version, registry, signoff="Past Gates")
    release = case.answer_past_gates(failed.version)
    assert release is not None
    assert (release.version, release.previous) == (failed.version, first)
    (review, *_, completion) = ledger.entries(store, wine.model, last=3)
    told = f"past its failed gates slice/cellar, by ada and Bob Marley: {WHY}"
    by = "entered by tags in MLflow, which do not say whose account wrote them"
    assert (review.kind, review.reason) == ("review", f"{told} ({by})")
    assert from_record(PastGates, completion.payload["past_gates"]).by == ("ada", "Bob Marley")
    assert status(wine, store=store).past_gates == told
    tags = version_tags(registry, wine.model, failed.version)
    assert (tags["signoff"], tags["signoff.note"], tags["version.past_gates"]) == ("approved", "", told)
    n_entries = len(ledger.entries(store, wine.model))
    tagged(wine, failed.version, registry, reviewer="dan")  # somebody's second thought is no second promotion
    assert case.answer_past_gates(failed.version) == release
    assert len(ledger.entries(store, wine.model)) == n_entries
    assert version_tags(registry, wine.model, failed.version)["signoff"] == "approved"


LACKING = [
    ({"second_reviewer": ""}, "tag second_reviewer is empty: write your name"),
    ({"reviewer": " "}, "tag reviewer is empty: write your name"),
    ({"second_reviewer": "ADA "}, "is the first reviewer again"),
    ({"reviewer": "Policy"}, "is not a person's name"),
    ({"second_reviewer": "Carol"}, "asked for this retrain"),
    ({"reason": " "}, "goes past its gates for a reason, and none is given"),
    ({"signoff": "past the gates"}, "tag signoff = 'past the gates' is not understood: write past gates"),
]


def test_tags_that_are_not_two_other_peoples_word_are_refused_with_a_word_on_the_version(
    wine: ModelConfig, store: Store, registry: Registry, first: str, case: Case
) -> None:
    failed = refused(wine, registry, store, first, LOST)
    for over, told in LACKING:
        tagged(wine, failed.version, registry, **over)
        assert case.answer_past_gates(failed.version) is None
        tags = version_tags(registry, wine.model, failed.version)
        assert told in tags["signoff.note"]
        assert tags["signoff.note"].endswith("write past gates into the tag signoff again")
        assert tags["signoff"] == "failed", "the same tags are not judged again and again"
        assert not ledger.entries(store, wine.model, kinds=["review"])[1:]
    assert nothing_happened(wine, store, registry, first)
    tagged(wine, failed.version, registry)
    assert case.answer_past_gates(failed.version) is not None
    assert version_tags(registry, wine.model, failed.version)["signoff.note"] == ""


def test_tags_go_past_no_closed_gate_no_changed_file_and_no_other_champion(
    wine: ModelConfig, store: Store, registry: Registry, first: str, case: Case, tmp_path: Path
) -> None:
    def note(version: str) -> str:
        tagged(wine, version, registry)
        assert case.answer_past_gates(version) is None
        return version_tags(registry, wine.model, version)["signoff.note"]

    assert "can not be promoted past parity" in note(refused(wine, registry, store, first, LOST, CLOSED[0]).version)
    assert "the champion changed from version None" in note(refused(wine, registry, store, None, SLOW).version)
    changed = refused(wine, registry, store, first, LOST, SLOW)
    (tmp_path / "model.skops").write_text("forged", encoding="utf-8")
    source = str(get_version(registry, wine.model, changed.version).source)
    registry.client.log_model_artifact(source.removeprefix("models:/"), str(tmp_path / "model.skops"))
    assert "the files changed from digest" in note(changed.version)
    good = in_ledger(signed(wine, registry, make_version(wine, registry, "good"), first, 15), store)
    assert "failed no gate, so there is none to go past" in note(good.version)
    assert alias_version(registry, wine.model, "champion") == first


def test_a_word_that_was_written_down_and_not_carried_out_still_stands_in_the_tags(
    wine: ModelConfig, store: Store, registry: Registry, first: str, case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = refused(wine, registry, store, first, LOST)
    tagged(wine, failed.version, registry)

    def die(*_: object, **__: object) -> None:
        raise _Killed

    with monkeypatch.context() as patched, pytest.raises(_Killed):
        patched.setattr(Case, "promote", die)
        case.answer_past_gates(failed.version)
    assert version_tags(registry, wine.model, failed.version)["signoff"] == "past gates"
    release = case.answer_past_gates(failed.version)
    assert release is not None
    assert release.version == failed.version
    assert len(ledger.entries(store, wine.model, kinds=["promotion"])) == 2


def test_a_version_of_before_is_read_under_the_names_of_today(wine: ModelConfig, registry: Registry) -> None:
    version = make_version(wine, registry, "old")
    set_version_tags(registry, wine.model, version, {"perennial.signoff_entry": "e", "perennial.gates": "failed"})
    for tags in (version_tags(registry, wine.model, version), find_version_tags(registry, wine.model, version)):
        assert tags is not None
        assert (tags["version.signoff_entry"], tags["version.gates"]) == ("e", "failed")


class _Killed(BaseException):
    """As sudden as a signal."""


@pytest.mark.parametrize("die_at", ["after_intent", "after_alias", "after_tags"])
def test_one_that_was_cut_off_is_finished_with_its_mark(
    wine: ModelConfig, store: Store, registry: Registry, first: str, die_at: str
) -> None:
    failed = word(wine, refused(wine, registry, store, first, LOST), store, registry)

    def die(reached: str) -> None:
        if reached == die_at:
            raise _Killed

    with pytest.raises(_Killed):
        promote(wine, failed.signoff_id, store=store, registry=registry, checkpoint=die)
    assert len(reconcile(wine, store=store, registry=registry)) == 1
    assert status(wine, store=store).past_gates is not None
    page = get_version(registry, wine.model, failed.version).description
    assert page.count("**Promoted past its failed gates") == 1
    assert version_tags(registry, wine.model, failed.version)["version.past_gates"].startswith("past its failed")


def test_the_record_of_the_gates_is_not_about_what_they_refused(
    wine: ModelConfig, store: Store, registry: Registry, first: str
) -> None:
    promoted(wine, refused(wine, registry, store, first, LOST), store, registry)
    assert look_back(wine, as_of=day(60).end, store=store, registry=registry).promotions == ()


@pytest.fixture
def commanded(
    wine: ModelConfig,
    models_dir: Path,
    home: Path,
    database_url: str,
    mlflow_uri: str,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[CliRunner]:
    environment = {"HOME": home, "MODELS_DIR": models_dir, "DATABASE_URL": database_url, "MLFLOW_URI": mlflow_uri}
    for name, value in environment.items():
        monkeypatch.setenv(f"PERENNIAL_{name}", str(value))
    yield CliRunner()


def test_the_command_asks_for_the_flag_two_names_and_a_reason_and_the_status_tells(
    wine: ModelConfig, store: Store, registry: Registry, first: str, commanded: CliRunner
) -> None:
    failed = refused(wine, registry, store, first, LOST)
    call = ["promote", wine.model, failed.version, "--by", "ada", "--by", "bob"]
    assert commanded.invoke(app, [*call, "--past-gates"]).exit_code == 2, "no reason"
    unflagged = commanded.invoke(app, [*call, "--reason", WHY])
    assert (unflagged.exit_code, "--past-gates promotes what failed" in unflagged.stderr) == (1, True)
    alone = commanded.invoke(app, [*call[:5], "--past-gates", "--reason", WHY])
    assert (alone.exit_code, "on the word of two people, and 1 gave theirs" in alone.stderr) == (1, True)
    done = commanded.invoke(app, [*call, "--past-gates", "--reason", WHY])
    assert done.exit_code == 0, done.output
    assert f"champion is version {failed.version} (was {first}), past its gates" in done.output
    shown = commanded.invoke(app, ["status", wine.model], env={"COLUMNS": "200"})
    assert f"promoted past its failed gates slice/cellar, by ada and bob: {WHY}" in " ".join(shown.output.split())
    assert timeline(wine, store=store) == ()
