"""Signoff and review against the real registry and the real ledger."""

import asyncio
import json
import os
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pyarrow as pa
import pytest
import skops.io as sio

from conftest import free_port
from logs import day, wine_rows
from perennial import ledger
from perennial.config import ModelConfig, load_model
from perennial.contracts import (
    Candidate,
    DataFacts,
    Estimate,
    Evaluation,
    Gate,
    Hold,
    LedgerEntry,
    ReleaseState,
    Review,
    SignalName,
    Signoff,
    Snapshot,
    Subject,
    Window,
    to_record,
)
from perennial.errors import PermanentError, RegistryRefused, RegistryUnavailable, ReleaseError, SignoffError
from perennial.registry import Registry, alias_version, artifact_digest, features_frame, score
from perennial.registry.reference import save_reference
from perennial.registry.versions import register_version, set_version_tags, version_tags
from perennial.release.promote import promote
from perennial.signoff import signing
from perennial.signoff.answering.polling import Watched
from perennial.signoff.gates import judge
from perennial.signoff.parity import compare, parity_gap
from perennial.signoff.review import expire_stale, pending_signoffs, read_review, record_review
from perennial.signoff.signing import sign_off
from perennial.statistics.intervals import around
from perennial.store import Store, signals
from servers import logged_in
from stack.environment import ADMIN

NO_CHAMPION = ReleaseState(model="unused")
N_ROWS = 80
SOUND = DataFacts(n_same_ids=0, shared_entities=None, gap_s=60.0, least_class={"train": 90, "holdout": 20})


@pytest.fixture
def registry(mlflow_uri: str) -> Registry:
    return Registry(mlflow_uri)


@pytest.fixture
def manual(wine: ModelConfig, models_dir: Path) -> ModelConfig:
    path = models_dir / wine.model / "model.yaml"
    path.write_text(path.read_text(encoding="utf-8").replace("mode: auto", "mode: manual"), encoding="utf-8")
    return load_model(path.parent)


def holdout(config: ModelConfig, models_dir: Path, folder: Path) -> pa.Table:
    """Fit the recipe, write its skops file, and give its holdout rows with their scores."""
    scope: dict[str, Any] = {}
    exec((models_dir / config.model / "recipe.py").read_text(encoding="utf-8"), scope)  # noqa: S102 - our own recipe
    rows = wine_rows(400, seed=5)
    table = pa.Table.from_pandas(rows, preserve_index=False)
    model = scope["build"](seed=7).fit(features_frame(config, table.slice(N_ROWS)), rows["label"].to_numpy()[N_ROWS:])
    sio.dump(model, folder / "model.skops")
    judged = table.slice(0, N_ROWS)
    scores, predicted = score(config, model, judged)
    return judged.append_column("score", pa.array(scores)).append_column("predicted", pa.array(predicted.tolist()))


def registered(config: ModelConfig, models_dir: Path, registry: Registry, *, shift: float = 0.0) -> Candidate:
    """A version with a skops file and a reference whose logged scores are off by ``shift``."""
    client = registry.client
    experiment = client.create_experiment(config.model)
    run_id = client.create_run(experiment).info.run_id
    with tempfile.TemporaryDirectory() as folder:
        judged = holdout(config, models_dir, Path(folder))
        logged = client.create_logged_model(experiment, name="model", source_run_id=run_id)
        client.log_model_artifacts(logged.model_id, folder)
        client.finalize_logged_model(logged.model_id, "READY")
    scores = judged["score"].to_numpy() + shift
    reference = judged.set_column(judged.column_names.index("score"), "score", pa.array(scores))
    save_reference(registry, run_id, reference.append_column("part", pa.array(["holdout"] * N_ROWS)), {})
    version = register_version(
        registry, config.model, model_uri=f"models:/{logged.model_id}", run_id=run_id, tags={"perennial.owner": "test"}
    )
    digest = artifact_digest(registry, config.model, version)
    return Candidate(
        model=config.model, version=version, mlflow_run_id=run_id, artifact_digest=digest, snapshot_id="snapshot"
    )


def frozen(config: ModelConfig) -> Snapshot:
    return Snapshot(
        snapshot_id="snapshot",
        model=config.model,
        as_of=day(6).end,
        train_uri="snapshots/train.parquet",
        holdout_uri="snapshots/holdout.parquet",
        digest="0" * 64,
        train=Window(start=day(0).start, end=day(3).end),
        holdout=Window(start=day(4).start, end=day(5).end),
        n_train=320,
        n_holdout=N_ROWS,
        holdout_label_coverage=1.0,
    )


def evaluated(candidate: Candidate, *, accuracy: float = 0.95, baseline: str = "constant") -> Evaluation:
    gain = accuracy - 0.4
    return Evaluation(
        model=candidate.model,
        mlflow_run_id=candidate.mlflow_run_id,
        n_rows=N_ROWS,
        data=SOUND,
        label_coverage=1.0,
        candidate={"accuracy": accuracy},
        candidate_paired={"accuracy": accuracy},
        baseline=baseline,
        baseline_metrics={"accuracy": 0.4},
        n_paired_rows=N_ROWS,
        gains={"accuracy": Estimate(value=gain, interval=around(gain, 0.02, N_ROWS, 12, 0.95))},
    )


def took_office(config: ModelConfig, version: str, store: Store) -> ReleaseState:
    """The state after a promotion of ``version`` was written to the ledger."""
    made_from = {"train": to_record(frozen(config).train), "holdout": to_record(frozen(config).holdout)}
    entry = LedgerEntry(
        entry_id=f"promotion-{config.model}-{version}",
        model=config.model,
        kind="promotion",
        at=day(6).end,
        actor="policy",
        reason="test",
        version=version,
        payload={"previous": None, "intent": "none", **made_from},
    )
    ledger.append(store, entry)
    return ledger.release_state(store, config.model)


def signed(
    config: ModelConfig,
    candidate: Candidate,
    *,
    store: Store,
    registry: Registry,
    state: ReleaseState = NO_CHAMPION,
    further: tuple[Gate, ...] = (),
    **other: Any,
) -> Signoff:
    judged = evaluated(candidate, **other)
    gates = judge(config, judged, parity_gap=0.0, parity_detail=f"{N_ROWS} rows scored", further=further)
    return sign_off(
        config,
        candidate,
        judged,
        frozen(config),
        gates,
        state=state,
        registry=registry,
        store=store,
        as_of=day(6).end,
    )


@pytest.mark.usefixtures("fresh_processes")
def test_the_registered_version_scores_the_same_in_a_fresh_process(
    wine: ModelConfig, models_dir: Path, registry: Registry
) -> None:
    candidate = registered(wine, models_dir, registry)
    gap, detail, serving = parity_gap(wine, candidate, frozen(wine), registry_uri=registry.uri, models_dir=models_dir)
    assert gap is not None, detail
    assert gap <= wine.signoff.max_parity_gap
    assert detail == f"{N_ROWS} holdout rows scored in a fresh process"
    assert serving is not None
    assert 0 < serving.single_p50_ms <= serving.single_p99_ms
    assert serving.batch_p50_ms <= serving.batch_p99_ms
    assert (serving.n_single, serving.n_batches, serving.batch_rows) <= (200, 20, 1000)
    assert 0.001 < serving.model_mb < 10
    assert 50 < serving.memory_mb < 2000
    assert serving.signature == "the version carries no signature: anything would be taken for a request"


def test_scores_other_than_those_that_were_judged_are_found(
    wine: ModelConfig, models_dir: Path, registry: Registry
) -> None:
    candidate = registered(wine, models_dir, registry, shift=0.125)
    gap, _, _ = parity_gap(wine, candidate, frozen(wine), registry_uri=registry.uri, models_dir=models_dir)
    assert gap == pytest.approx(0.125)


def test_what_keeps_the_fresh_process_from_answering_is_told_and_is_no_gap(
    wine: ModelConfig, models_dir: Path, registry: Registry, tmp_path: Path
) -> None:
    candidate = registered(wine, models_dir, registry)
    given: dict[str, Any] = {"registry_uri": registry.uri, "models_dir": models_dir}

    swapped = replace(candidate, artifact_digest="f" * 64)
    gap, detail, _ = parity_gap(wine, swapped, frozen(wine), **given)
    assert gap is None
    assert "digest" in detail

    (tmp_path / "broken" / "perennial").mkdir(parents=True)
    (tmp_path / "broken" / "perennial" / "__init__.py").touch()
    elsewhere = {"PYTHONPATH": str(tmp_path / "broken")}
    gap, detail, _ = parity_gap(wine, candidate, frozen(wine), **given, environment=elsewhere)
    assert gap is None
    assert detail.startswith("the fresh process ended with code 1: ")
    assert "No module named 'perennial.signoff'" in detail

    with pytest.raises(RegistryRefused, match=r"fresh process: .* refuses the login of 'admin' \(401\)"):
        parity_gap(wine, candidate, frozen(wine), **given, environment={"MLFLOW_TRACKING_PASSWORD": "wrong"})

    changed = models_dir / wine.model / "model.yaml"
    changed.write_text(changed.read_text(encoding="utf-8").replace("owner: cellar", "owner: attic"), encoding="utf-8")
    gap, detail, _ = parity_gap(wine, candidate, frozen(wine), **given)
    assert gap is None
    assert "model.yaml changed" in detail


def test_a_version_without_reference_rows_has_no_gap(wine: ModelConfig, registry: Registry, models_dir: Path) -> None:
    candidate = registered(wine, models_dir, registry)
    rows = pa.table({"score": [0.5], "part": ["holdout"], "predicted": ["barolo"]})
    save_reference(registry, candidate.mlflow_run_id, rows, {})
    gap, detail, _ = parity_gap(wine, candidate, frozen(wine), registry_uri=registry.uri, models_dir=models_dir)
    assert (gap, detail) == (None, "the reference has 1 holdout rows; 50 are needed")


def test_an_unreachable_registry_is_tried_again_and_fails_no_gate(wine: ModelConfig, models_dir: Path) -> None:
    candidate = Candidate(model=wine.model, version="1", mlflow_run_id="r", artifact_digest="d", snapshot_id="snapshot")
    uri = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(RegistryUnavailable, match="127"):
        parity_gap(wine, candidate, frozen(wine), registry_uri=uri, models_dir=models_dir)


def test_other_classes_of_the_fresh_process_are_no_parity() -> None:
    judged = pa.table({"score": [0.5, 0.75], "predicted": ["a", "b"]})
    answer = {"scores": [0.5, 0.75], "predicted": ["a", "a"]}
    assert compare(judged, answer) == (None, "1 of 2 predicted classes differ in the fresh process")
    assert compare(judged, {**answer, "predicted": None})[0] is None
    assert compare(judged, {"predicted": ["a", "b"]})[0] is None
    assert compare(judged.slice(0, 0), {"scores": [], "predicted": []})[0] is None
    assert compare(judged, {**answer, "scores": [0.5, np.inf]})[0] is None


def test_a_passed_verdict_stands_on_the_version_and_in_the_ledger(
    wine: ModelConfig, models_dir: Path, registry: Registry, store: Store
) -> None:
    candidate = registered(wine, models_dir, registry)
    verdict = signed(wine, candidate, store=store, registry=registry)
    assert verdict.passed
    assert verdict.review == "auto"
    tags = version_tags(registry, wine.model, candidate.version)
    assert (tags["version.gates"], tags["signoff"]) == ("passed", "not required")
    told = registry.client.get_model_version(wine.model, candidate.version).description
    assert "all gates passed" in told
    assert "| versus_champion/accuracy | passed | 0.55 (" in told
    (entry,) = ledger.entries(store, wine.model, kinds=["signoff"])
    assert entry.entry_id == verdict.signoff_id
    assert entry.payload["signoff"]["artifact_digest"] == candidate.artifact_digest
    answer = read_review(wine, verdict, registry=registry, store=store)
    assert answer is not None
    assert (answer.verdict, answer.reviewer) == ("approved", "policy")


def flag(
    config: ModelConfig, store: Store, *, status: str = "breached", measured_on: int = 5, version: str = "1"
) -> None:
    """What a run said of the label rate of day 4, which lies in the holdout."""
    subject = Subject(model=config.model, window=day(4), as_of=day(measured_on).end, version=version)
    name = SignalName.flag("label_rate")
    if status == "unknown":
        found = subject.unknown(name, "alert", "the reference is gone")
    else:
        found = subject.known(
            name, "alert", 0.73, threshold=0.37, breached=status == "breached", detail="label rate 0.73"
        )
    signals.save(store, [found])


def test_flagged_data_goes_to_a_person_whose_approval_says_so(
    wine: ModelConfig, models_dir: Path, registry: Registry, store: Store
) -> None:
    flag(wine, store)
    candidate = registered(wine, models_dir, registry)
    verdict = signed(wine, candidate, store=store, registry=registry)
    assert (verdict.passed, verdict.review) == (True, "manual")
    assert [(found.name, found.window) for found in verdict.flags] == [("flag/label_rate", day(4))]
    told = registry.client.get_model_version(wine.model, candidate.version).description
    assert "**The data it was made from is flagged.**" in told
    assert "flag/label_rate of 2024-01-05 to 2024-01-06: label rate 0.73" in told
    assert version_tags(registry, wine.model, candidate.version)["signoff"] == "pending"
    assert read_review(wine, verdict, registry=registry, store=store) is None, "nobody has answered"
    (entry,) = ledger.entries(store, wine.model, kinds=["signoff"])
    assert "a person decides: flag/label_rate of 2024-01-05" in entry.reason

    set_version_tags(registry, wine.model, candidate.version, {"signoff": "approved", "reviewer": "ada"})
    answer = read_review(wine, verdict, registry=registry, store=store)
    assert answer is not None
    assert (answer.verdict, answer.reviewer) == ("approved", "ada")
    record_review(wine, verdict, answer, store=store, registry=registry)
    (entry,) = ledger.entries(store, wine.model, kinds=["review"])
    assert "in spite of flag/label_rate of 2024-01-05 to 2024-01-06: label rate 0.73" in entry.reason
    assert entry.payload["flags"] == [to_record(verdict.flags[0])]


def test_a_flag_lasts_until_it_is_measured_as_ok_and_no_version_matters(
    wine: ModelConfig, models_dir: Path, registry: Registry, store: Store
) -> None:
    candidate = registered(wine, models_dir, registry)
    unflagged = signed(wine, candidate, store=store, registry=registry)
    assert (unflagged.review, unflagged.flags) == ("auto", ())
    flag(wine, store, version="another")
    flagged = signed(wine, candidate, store=store, registry=registry)
    assert (flagged.review, len(flagged.flags)) == ("manual", 1)
    assert flagged.signoff_id != unflagged.signoff_id
    flag(wine, store, status="unknown", measured_on=6)
    assert signed(wine, candidate, store=store, registry=registry) == flagged
    flag(wine, store, status="ok", measured_on=7)
    assert signed(wine, candidate, store=store, registry=registry) == unflagged


def test_a_flagged_window_that_is_excluded_from_training_asks_nobody(
    wine: ModelConfig, models_dir: Path, registry: Registry, store: Store
) -> None:
    flag(wine, store)
    candidate = registered(wine, models_dir, registry)
    faulty = Hold(entry_id="h", stretch=day(4), reason="wrong labels", acknowledged=True, excluded=True)
    state = replace(NO_CHAMPION, holds=(faulty,))
    verdict = signed(wine, candidate, store=store, registry=registry, state=state)
    assert (verdict.review, verdict.flags) == ("auto", ())
    kept = replace(NO_CHAMPION, holds=(replace(faulty, excluded=False),))
    assert signed(wine, candidate, store=store, registry=registry, state=kept).review == "manual"


def test_a_failed_verdict_says_which_gate_and_no_tag_approves_it(
    manual: ModelConfig, models_dir: Path, registry: Registry, store: Store
) -> None:
    candidate = registered(manual, models_dir, registry)
    older = {"reviewer": "ada", "second_reviewer": "bob", "signoff.reason": "under an older signoff"}
    set_version_tags(registry, manual.model, candidate.version, older)
    verdict = signed(manual, candidate, store=store, registry=registry, accuracy=0.5)
    assert not verdict.passed
    left = version_tags(registry, manual.model, candidate.version)
    assert {left[tag] for tag in older} == {""}, "no name goes past a gate that it was not written for"
    told = registry.client.get_model_version(manual.model, candidate.version).description
    assert "1 of 8 gates failed" in told
    assert "accuracy 0.5 is below the minimum 0.7" in told
    set_version_tags(registry, manual.model, candidate.version, {"signoff": "approved"})
    answer = read_review(manual, verdict, registry=registry, store=store)
    assert answer is not None
    assert (answer.verdict, answer.reason) == ("rejected", "gates failed: metric/accuracy")
    assert pending_signoffs(manual.model, store=store) == ()


def test_signing_off_twice_on_the_same_figures_keeps_the_first_verdict_and_the_reviewers_tag(
    manual: ModelConfig, models_dir: Path, registry: Registry, store: Store
) -> None:
    candidate = registered(manual, models_dir, registry)
    first = signed(manual, candidate, store=store, registry=registry)
    set_version_tags(registry, manual.model, candidate.version, {"signoff": "approved", "reviewer": "ada"})
    again = signed(manual, candidate, store=store, registry=registry)
    assert again == first
    assert version_tags(registry, manual.model, candidate.version)["signoff"] == "approved"
    assert len(ledger.entries(store, manual.model, kinds=["signoff"])) == 1


@pytest.mark.parametrize("cut_off_at", ["log_page", "describe_version", "set_version_tags"])
def test_a_signoff_cut_off_before_any_of_its_writes_in_mlflow_is_whole_after_the_next_try(
    manual: ModelConfig,
    models_dir: Path,
    registry: Registry,
    store: Store,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    cut_off_at: str,
) -> None:
    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    candidate = registered(manual, models_dir, registry)
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(signing, cut_off_at, killed)
        signed(manual, candidate, store=store, registry=registry)
    assert "signoff" not in version_tags(registry, manual.model, candidate.version)
    whole = signed(manual, candidate, store=store, registry=registry)
    assert len(ledger.entries(store, manual.model, kinds=["signoff"])) == 1
    told = registry.client.get_model_version(manual.model, candidate.version)
    assert (told.tags["signoff"], told.tags["version.signoff_entry"]) == ("pending", whole.signoff_id)
    assert "all gates passed" in told.description
    report = registry.client.download_artifacts(candidate.mlflow_run_id, "signoff/report.html", str(tmp_path))
    assert "all gates passed" in Path(report).read_text(encoding="utf-8")


def test_two_signoffs_of_one_candidate_at_once_are_one(
    manual: ModelConfig, models_dir: Path, registry: Registry, store: Store
) -> None:
    candidate = registered(manual, models_dir, registry)
    with ThreadPoolExecutor(2) as pool:
        both = list(pool.map(lambda _: signed(manual, candidate, store=store, registry=registry), range(2)))
    assert both[0] == both[1]
    assert len(ledger.entries(store, manual.model, kinds=["signoff"])) == 1
    assert version_tags(registry, manual.model, candidate.version)["signoff"] == "pending"


def test_other_figures_or_other_rules_are_another_signoff_with_a_review_of_its_own(
    manual: ModelConfig, models_dir: Path, registry: Registry, store: Store
) -> None:
    candidate = registered(manual, models_dir, registry)
    first = signed(manual, candidate, store=store, registry=registry)
    set_version_tags(registry, manual.model, candidate.version, {"signoff": "approved", "reviewer": "ada"})
    better = signed(manual, candidate, store=store, registry=registry, accuracy=0.97)
    assert better.signoff_id != first.signoff_id
    assert version_tags(registry, manual.model, candidate.version)["signoff"] == "pending"

    tighter = manual.signoff.model_copy(update={"min_holdout_rows": N_ROWS + 1})
    strict = manual.model_copy(update={"signoff": tighter})
    judged = signed(strict, candidate, store=store, registry=registry)
    assert not judged.passed
    assert len(ledger.entries(store, manual.model, kinds=["signoff"])) == 3


def test_an_approval_by_other_rules_than_those_in_force_expires(
    manual: ModelConfig, models_dir: Path, registry: Registry, store: Store
) -> None:
    candidate = registered(manual, models_dir, registry)
    verdict = signed(manual, candidate, store=store, registry=registry)
    set_version_tags(registry, manual.model, candidate.version, {"signoff": "approved", "reviewer": "ada"})
    tighter = manual.signoff.model_copy(update={"min_label_coverage": 0.99})
    answer = read_review(manual.model_copy(update={"signoff": tighter}), verdict, registry=registry, store=store)
    assert answer is not None
    assert (answer.verdict, answer.reviewer) == ("rejected", "policy")
    assert "the rules in model.yaml changed" in answer.reason


VOID = {
    "champion": ("champion changed from version None to version 7", "promotion to version 7 happened since"),
    "files": ("the files changed from digest", "its files have the digest"),
    "rules": ("the rules in model.yaml changed", "the rules in model.yaml changed"),
    "gates": ("which is another signoff", "it was judged anew since, with other gates or figures"),
    "evidence": ("which is another signoff", "it was judged anew since, with other gates or figures"),
}


@pytest.mark.parametrize(("changed", "mode"), [*((changed, "manual") for changed in VOID), ("evidence", "auto")])
def test_an_approval_is_void_once_what_it_rests_on_changed_and_the_next_signoff_asks_again(
    manual: ModelConfig, models_dir: Path, registry: Registry, store: Store, tmp_path: Path, changed: str, mode: str
) -> None:
    review = manual.signoff.review.model_copy(update={"mode": mode})
    config = manual.model_copy(update={"signoff": manual.signoff.model_copy(update={"review": review})})
    candidate = registered(config, models_dir, registry)
    given: dict[str, Any] = {"store": store, "registry": registry}
    old = signed(config, candidate, **given)
    set_version_tags(registry, config.model, candidate.version, {"signoff": "approved", "reviewer": "ada"})
    approved = read_review(config, old, **given)
    assert approved is not None
    assert approved.verdict == "approved"

    after, again = config, {}
    if changed == "champion":
        again = {"state": took_office(config, "7", store), "baseline": "7"}
    elif changed == "files":
        (tmp_path / "model.skops").write_text("forged", encoding="utf-8")
        source = str(registry.client.get_model_version(config.model, candidate.version).source)
        registry.client.log_model_artifact(source.removeprefix("models:/"), str(tmp_path / "model.skops"))
    elif changed == "rules":
        after = config.model_copy(update={"owner": "someone else"})
    elif changed == "gates":
        again = {"further": (Gate(name="slice/cellar", passed=True, value=0.1, bound=-0.05, detail="kept"),)}
    else:
        again = {"accuracy": 0.97}
    new = old if changed == "files" else signed(after, candidate, **given, **again)

    void = read_review(after, old, **given)
    assert void is not None
    assert (void.verdict, void.reviewer) == ("rejected", "policy")
    assert VOID[changed][0] in void.reason
    if changed != "files":
        assert new.signoff_id != old.signoff_id
        answer = read_review(after, new, **given)
        assert (answer and answer.reviewer) == (None if mode == "manual" else "policy"), "it asks again"
        tags = version_tags(registry, config.model, candidate.version)
        assert tags["signoff"] == ("pending" if mode == "manual" else "not required")
    record_review(config, old, approved, **given)
    with pytest.raises(ReleaseError, match=f"approval expired: .*{VOID[changed][1]}"):
        promote(after, old.signoff_id, **given)
    assert alias_version(registry, config.model, "champion") is None


@pytest.mark.parametrize("name", ["policy", "Auto", " deadline "])
def test_nobody_answers_under_a_name_of_the_policys(
    manual: ModelConfig, models_dir: Path, registry: Registry, store: Store, name: str
) -> None:
    candidate = registered(manual, models_dir, registry)
    verdict = signed(manual, candidate, store=store, registry=registry)
    set_version_tags(registry, manual.model, candidate.version, {"signoff": "approved", "reviewer": name})
    assert read_review(manual, verdict, registry=registry, store=store) is None
    note = version_tags(registry, manual.model, candidate.version)["signoff.note"]
    assert "is not a person's name: write your own" in note
    set_version_tags(registry, manual.model, candidate.version, {"reviewer": "ada"})
    answer = read_review(manual, verdict, registry=registry, store=store)
    assert answer is not None
    assert (answer.verdict, answer.reviewer) == ("approved", "ada")


def test_an_approval_of_an_older_signoff_does_not_approve_a_newer_one(
    manual: ModelConfig, models_dir: Path, registry: Registry, store: Store
) -> None:
    candidate = registered(manual, models_dir, registry)
    old = signed(manual, candidate, store=store, registry=registry)
    set_version_tags(registry, manual.model, candidate.version, {"signoff": "approved", "reviewer": "ada"})
    now_served = took_office(manual, "7", store)
    new = signed(manual, candidate, store=store, registry=registry, state=now_served, baseline="7")
    assert read_review(manual, new, registry=registry, store=store) is None
    stale = read_review(manual, old, registry=registry, store=store)
    assert stale is not None
    assert stale.verdict == "rejected"
    assert "champion changed from version None to version 7" in stale.reason
    assert version_tags(registry, manual.model, candidate.version)["reviewer"] == ""


def test_evidence_that_does_not_belong_together_is_refused(
    wine: ModelConfig, models_dir: Path, registry: Registry, store: Store
) -> None:
    candidate = registered(wine, models_dir, registry)
    judged = replace(evaluated(candidate), mlflow_run_id="other")
    gates = judge(wine, judged, parity_gap=0.0, parity_detail="")
    given: dict[str, Any] = {"registry": registry, "store": store, "state": NO_CHAMPION, "as_of": day(6).end}
    with pytest.raises(SignoffError, match="run other"):
        sign_off(wine, candidate, judged, frozen(wine), gates, **given)
    with pytest.raises(SignoffError, match="different models"):
        sign_off(wine, replace(candidate, model="other"), evaluated(candidate), frozen(wine), gates, **given)
    with pytest.raises(SignoffError, match="nothing was judged"):
        sign_off(wine, candidate, evaluated(candidate), frozen(wine), (), **given)


def test_a_champion_that_changed_since_the_evaluation_stops_the_signoff(
    wine: ModelConfig, models_dir: Path, registry: Registry, store: Store
) -> None:
    candidate = registered(wine, models_dir, registry)
    state = ReleaseState(model=wine.model, champion="9")
    with pytest.raises(SignoffError, match="compared with champion None, but the champion is now 9"):
        signed(wine, candidate, store=store, registry=registry, state=state)
    assert ledger.entries(store, wine.model) == ()


def test_the_first_release_after_a_rollback_waits_for_a_reviewer(
    wine: ModelConfig, models_dir: Path, registry: Registry, store: Store
) -> None:
    candidate = registered(wine, models_dir, registry)
    state = ReleaseState(model=wine.model, released_since_rollback=False)
    verdict = signed(wine, candidate, store=store, registry=registry, state=state)
    assert verdict.review == "manual"
    assert version_tags(registry, wine.model, candidate.version)["signoff"] == "pending"
    assert read_review(wine, verdict, registry=registry, store=store) is None


def test_a_reviewers_tag_is_read_recorded_and_final(
    manual: ModelConfig, models_dir: Path, registry: Registry, store: Store
) -> None:
    candidate = registered(manual, models_dir, registry)
    verdict = signed(manual, candidate, store=store, registry=registry)
    given: dict[str, Any] = {"registry": registry, "store": store}
    assert read_review(manual, verdict, **given) is None

    set_version_tags(registry, manual.model, candidate.version, {"signoff": "aproved"})
    assert read_review(manual, verdict, **given) is None
    note = version_tags(registry, manual.model, candidate.version)["signoff.note"]
    assert note == "tag signoff = 'aproved' is not understood: write approved or rejected"

    set_version_tags(registry, manual.model, candidate.version, {"signoff": "approved", "reviewer": "ada"})
    answer = read_review(manual, verdict, **given)
    assert answer is not None
    assert (answer.verdict, answer.reviewer) == ("approved", "ada")
    assert version_tags(registry, manual.model, candidate.version)["signoff.note"] == ""
    assert record_review(manual, verdict, answer, store=store, registry=registry) == answer

    other = Review(model=manual.model, version=verdict.version, verdict="rejected", reviewer="bob", reason="no")
    assert record_review(manual, verdict, other, store=store, registry=registry) == answer
    set_version_tags(registry, manual.model, candidate.version, {"signoff": "rejected"})
    assert read_review(manual, verdict, **given) == answer


def test_an_approval_expires_when_the_files_changed(
    manual: ModelConfig, models_dir: Path, registry: Registry, store: Store
) -> None:
    candidate = registered(manual, models_dir, registry)
    verdict = signed(manual, replace(candidate, artifact_digest="e" * 64), store=store, registry=registry)
    set_version_tags(registry, manual.model, candidate.version, {"signoff": "approved", "reviewer": "ada"})
    answer = read_review(manual, verdict, registry=registry, store=store)
    assert answer is not None
    assert (answer.verdict, answer.reviewer) == ("rejected", "policy")
    assert "files changed" in answer.reason


def test_maintenance_rejects_what_nobody_answered_in_time_and_what_the_world_overtook(
    manual: ModelConfig, models_dir: Path, registry: Registry, store: Store
) -> None:
    candidate = registered(manual, models_dir, registry)
    verdict = signed(manual, candidate, store=store, registry=registry)
    now = datetime.now(UTC)
    given: dict[str, Any] = {"store": store, "registry": registry}
    assert expire_stale(manual, **given, now=now) == ()

    late = now + manual.signoff.review.deadline + timedelta(minutes=1)
    (expired,) = expire_stale(manual, **given, now=late)
    assert (expired.verdict, expired.reviewer) == ("rejected", "deadline")
    assert expire_stale(manual, **given, now=late) == ()
    tags = version_tags(registry, manual.model, candidate.version)
    assert (tags["signoff"], tags["reviewer"]) == ("rejected", "deadline")

    set_version_tags(registry, manual.model, candidate.version, {"signoff": "approved"})
    assert read_review(manual, verdict, registry=registry, store=store) == expired


def test_maintenance_rejects_when_another_champion_serves_or_the_version_is_gone(
    manual: ModelConfig, models_dir: Path, registry: Registry, store: Store
) -> None:
    candidate = registered(manual, models_dir, registry)
    signed(manual, candidate, store=store, registry=registry)
    served = took_office(manual, "7", store)
    now = datetime.now(UTC)
    (overtaken,) = expire_stale(manual, store=store, registry=registry, now=now)
    assert overtaken.reviewer == "policy"

    signed(manual, candidate, store=store, registry=registry, state=served, baseline="7")
    with logged_in(ADMIN):
        registry.client.delete_model_version(manual.model, candidate.version)
    (gone,) = expire_stale(manual, store=store, registry=registry, now=now)
    assert gone.reason == "the version is gone from the registry"


def test_a_review_without_a_signoff_in_the_ledger_is_refused(
    manual: ModelConfig, models_dir: Path, registry: Registry, store: Store
) -> None:
    candidate = registered(manual, models_dir, registry)
    verdict = signed(manual, candidate, store=store, registry=registry)
    unsigned = replace(verdict, champion_seen="4")
    with pytest.raises(SignoffError, match="no signoff in the ledger"):
        read_review(manual, unsigned, registry=registry, store=store)


def test_the_tag_is_polled_without_mlflow(
    manual: ModelConfig, models_dir: Path, registry: Registry, store: Store
) -> None:
    candidate = registered(manual, models_dir, registry)

    async def poll(uri: str, version: str) -> str | None:
        login = (os.environ["MLFLOW_TRACKING_USERNAME"], os.environ["MLFLOW_TRACKING_PASSWORD"])
        async with httpx.AsyncClient(trust_env=False, auth=login) as client:
            return (await Watched(client=client, uri=uri, model=manual.model, version=version).tags()).get("signoff")

    assert asyncio.run(poll(registry.uri, candidate.version)) is None
    signed(manual, candidate, store=store, registry=registry)
    assert asyncio.run(poll(registry.uri, candidate.version)) == "pending"
    with pytest.raises(PermanentError, match="404"):
        asyncio.run(poll(registry.uri, "99"))
    with pytest.raises(RegistryUnavailable):
        asyncio.run(poll(f"http://127.0.0.1:{free_port()}", candidate.version))


def test_the_ledger_entry_holds_the_whole_evidence(
    wine: ModelConfig, models_dir: Path, registry: Registry, store: Store
) -> None:
    candidate = registered(wine, models_dir, registry)
    verdict = signed(wine, candidate, store=store, registry=registry)
    entry = ledger.entry(store, verdict.signoff_id)
    assert isinstance(entry, LedgerEntry)
    assert entry.payload["evaluation"]["candidate"] == {"accuracy": 0.95}
    assert entry.payload["config_digest"] == wine.digest
    assert len(entry.payload["signoff"]["gates"]) == len(verdict.gates)
    assert json.dumps(entry.payload, allow_nan=False)
