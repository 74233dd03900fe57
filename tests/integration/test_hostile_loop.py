"""The loop without Airflow while somebody, or something, works against it."""

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import func, select
from sqlalchemy.engine import URL
from typer.testing import CliRunner

from conftest import unique_model
from logs import day, deliver, delivery
from perennial import ledger
from perennial.cli import app
from perennial.config import ModelConfig, load_model
from perennial.contracts import LedgerEntry, Window, to_record
from perennial.errors import IntegrityError, ParityTimeout, TrainingError
from perennial.pipeline import Case, Runtime, loops
from perennial.pipeline.loops import Retrained
from perennial.registry.versions import set_alias, set_version_tags, version_tags
from perennial.settings import ROOT
from perennial.signoff import parity
from perennial.store.schema import predictions_table
from releases import make_version
from servers import logged_in
from stack.environment import ADMIN
from trained import Trained, asked, copied, play, train

pytestmark = pytest.mark.xdist_group("trained")  # which is made once

INCLUDE = ROOT / "include"


@pytest.fixture(scope="module")
def trained(
    postgres_server: URL, migrated_template: str, mlflow_uri: str, tmp_path_factory: pytest.TempPathFactory
) -> Trained:
    """A model with a first champion, promoted as of the end of day 2."""
    return train(postgres_server, migrated_template, mlflow_uri, tmp_path_factory.mktemp("trained"))


@pytest.fixture
def runtime(trained: Trained, postgres_server: URL, mlflow_uri: str, tmp_path: Path) -> Iterator[Runtime]:
    """A copy of that model's world."""
    runtime = copied(trained, postgres_server, mlflow_uri, tmp_path / "world")
    yield runtime
    runtime.close()


@pytest.fixture
def models_dir(runtime: Runtime) -> Path:
    return runtime.settings.models_dir


@pytest.fixture
def served(runtime: Runtime, trained: Trained) -> ModelConfig:
    return runtime.config(trained.config.model)


def n_rows(config: ModelConfig, runtime: Runtime) -> int:
    with runtime.store.begin() as connection:
        return connection.scalar(select(func.count()).select_from(predictions_table(config))) or 0


def test_a_retrain_that_runs_again_after_its_promotion_leaves_the_champion_as_it_is(
    runtime: Runtime, served: ModelConfig
) -> None:
    before = runtime.case(served).verify()
    tags = version_tags(runtime.registry, served.model, "1")
    again = loops.retrain(runtime.case(served), asked(served, "first", 2))
    assert again.ended == "promoted"
    assert runtime.case(served).verify() == before
    assert version_tags(runtime.registry, served.model, "1") == tags


def test_two_retrains_at_once_make_one_champion(runtime: Runtime, models_dir: Path) -> None:
    config = unique_model(models_dir, "wine_cultivar")
    for number in range(3):
        play(config, number, runtime)

    def go(run_id: str) -> object:
        try:
            return loops.retrain(runtime.case(config), asked(config, run_id, 2))
        except Exception as error:
            return error

    with ThreadPoolExecutor(2) as pool:
        ended = list(pool.map(go, ["left", "right"]))
    state = runtime.case(config).verify()
    releases = [item for item in ended if isinstance(item, Retrained) and item.release]
    assert len(ledger.entries(runtime.store, config.model, kinds=["promotion"])) == len(releases) == 1
    assert state.champion == releases[0].version


def test_a_good_delivery_sent_again_after_a_broken_one_counts_as_the_newest(runtime: Runtime, models_dir: Path) -> None:
    config = unique_model(models_dir, "wine_cultivar")
    assert play(config, 0, runtime) == "stay"
    good = delivery("wine_cultivar", day(0), seed=0).assign(model_version="legacy")
    deliver(runtime.settings.home, "wine_cultivar", day(0), good.rename(columns={"hue": "shade"}))
    assert loops.monitor(runtime.case(config), day(0)).action == "halt"
    deliver(runtime.settings.home, "wine_cultivar", day(0), good)
    assert loops.monitor(runtime.case(config), day(0)).action == "stay"
    assert n_rows(config, runtime) == 120


def test_a_backfill_over_windows_before_the_promotion_neither_retrains_nor_rolls_back(
    runtime: Runtime, served: ModelConfig
) -> None:
    before = runtime.case(served).verify()
    for number in (0, 1, 2):
        frame = delivery("wine_cultivar", day(number), seed=number + 50).assign(model_version="1", score=0.5)
        frame["predicted"] = "barbera"
        deliver(runtime.settings.home, "wine_cultivar", day(number), frame)
        assert loops.monitor(runtime.case(served), day(number)).action == "stay"
    after = runtime.case(served).verify()
    assert (after.champion, after.in_bake, after.request_times) == (before.champion, True, before.request_times)


def test_a_retrain_by_hand_does_not_pass_by_a_hold(runtime: Runtime, served: ModelConfig) -> None:
    held = Window(start=day(0).start, end=day(1).end)
    entry = LedgerEntry(
        entry_id=f"hold-{served.model}", model=served.model, kind="hold", at=day(2).end, actor="policy",
        reason="rolled back", version="7", payload={"stretch": to_record(held), "version": "7"},
    )  # fmt: skip
    ledger.append(runtime.store, entry)
    with pytest.raises(TrainingError, match=f"acknowledge hold {entry.entry_id}"):
        loops.retrain(runtime.case(served), asked(served, "by hand", 2))


def test_a_request_that_waited_does_not_act_on_a_world_that_is_gone(runtime: Runtime, served: ModelConfig) -> None:
    """Decided under version 1; version 2 took office while it waited: it ends as overtaken, and nothing is promoted."""
    case = runtime.case(served)
    queued = case.ask(asked(served, "queued", 2))
    release_by_hand(case, "2")
    ended = loops.retrain(case, asked(served, "queued", 2))
    assert ended.ended == "overtaken"
    assert "requested while version 1 was champion, and version 2 is champion now" in ended.outcome
    assert case.state().champion == "2"
    (outcome,) = [item for item in ledger.entries(runtime.store, served.model, kinds=["retrain_outcome"])][-1:]
    assert (outcome.payload["run_id"], outcome.payload["ended"]) == ("queued", "overtaken")
    assert case.request(queued).champion == "1"


def lenient(runtime: Runtime, config: ModelConfig) -> ModelConfig:
    """A gate that a candidate passes though it is no better: made from nearly the same rows, it can not be."""
    folder = runtime.settings.models_dir / config.model
    declared = (folder / "model.yaml").read_text(encoding="utf-8")
    strict, eased = "min_gain: 0.0}", "min_gain: 0.0, rule: non_inferiority, margin: 0.5}"
    assert strict in declared
    (folder / "model.yaml").write_text(declared.replace(strict, eased), encoding="utf-8")
    return load_model(folder)


def test_of_two_candidates_that_wait_for_their_reviewers_the_second_approved_is_overtaken(
    runtime: Runtime, served: ModelConfig
) -> None:
    """Two runs of one model go on at once: what the second was compared with serves no more when it is approved."""
    play(served, 3, runtime)
    case = runtime.case(lenient(runtime, served))
    left, right = (replace(asked(served, name, 3), review="manual") for name in ("left", "right"))
    waiting = [loops.retrain(case, request) for request in (left, right)]
    assert [ended.ended for ended in waiting] == ["waiting", "waiting"], [ended.outcome for ended in waiting]
    for ended in waiting:
        answer = {"signoff": "approved", "reviewer": "ada"}
        set_version_tags(runtime.registry, served.model, str(ended.version), answer)
    assert loops.retrain(case, right).ended == "promoted"
    # recorded as approved before the other was: only the release itself stood between them
    again = loops.retrain(case, left)
    assert (again.ended, again.release) == ("overtaken", None)
    assert f"version 1 was champion, and version {waiting[1].version} is champion now" in again.outcome
    assert case.verify().champion == waiting[1].version


def test_an_approval_that_other_rules_made_void_ends_its_run_and_another_candidate_asks_again(
    runtime: Runtime, models_dir: Path
) -> None:
    config = unique_model(models_dir, "wine_cultivar")
    for number in range(3):
        play(config, number, runtime)
    asked_by_hand = replace(asked(config, "reviewed", 2), review="manual")
    waiting = loops.retrain(runtime.case(config), asked_by_hand)
    assert waiting.signoff is not None
    set_version_tags(runtime.registry, config.model, str(waiting.version), {"signoff": "approved", "reviewer": "ada"})

    path = models_dir / config.model / "model.yaml"
    path.write_text(path.read_text(encoding="utf-8").replace("owner: cellar", "owner: attic"), encoding="utf-8")
    case = runtime.case(load_model(path.parent))
    answer = case.review(waiting.signoff.signoff_id)
    assert answer is not None
    assert (answer.verdict, answer.reviewer) == ("rejected", "policy")
    for _ in range(2):
        told = case.conclude(asked_by_hand.request_id, signoff_id=waiting.signoff.signoff_id)
    assert told.endswith("; asked for again, as reviewed__again")
    again = case.open_request_as_of(asked_by_hand.as_of)
    assert again is not None
    assert (again.run_id, again.review, again.requested_by) == ("reviewed__again", "manual", "t")
    ended = loops.retrain(case, again)
    assert (ended.ended, ended.version) == ("waiting", "2"), ended.outcome
    assert version_tags(runtime.registry, config.model, "2")["signoff"] == "pending"


@pytest.mark.parametrize(("once", "version", "ends"), [("candidate:", "2", "overtaken"), ("gate ", "3", "rejected")])
def test_a_champion_that_takes_office_while_a_candidate_is_made_overtakes_it(
    runtime: Runtime, served: ModelConfig, once: str, version: str, ends: str
) -> None:
    play(served, 3, runtime)
    case = runtime.case(lenient(runtime, served))

    def meanwhile(line: str) -> None:
        if line.startswith(once) and case.state().champion == "1":
            release_by_hand(case, version)

    ended = loops.retrain(case, asked(served, "slow", 3), progress=meanwhile)
    assert (ended.ended, ended.release) == (ends, None), ended.outcome
    assert "version 1" in ended.outcome
    assert f"version {version}" in ended.outcome
    assert case.verify().champion == version


def test_a_run_that_has_begun_outlives_the_end_of_its_champions_bake_and_no_other_champion(
    runtime: Runtime, served: ModelConfig
) -> None:
    case = runtime.case(served)
    request_id = case.ask(asked(served, "begun", 2))
    passed = LedgerEntry(
        entry_id="bake", model=served.model, kind="bake", at=day(3).end, actor="policy", reason="test", version="1",
        payload={"outcome": "passed"},
    )  # fmt: skip
    ledger.append(runtime.store, passed)
    assert case.overtaken(request_id, begun=True) is None
    assert [item for item in ledger.entries(runtime.store, served.model) if item.kind == "retrain_outcome"][1:] == []
    release_by_hand(case, "2")
    assert "version 2 is champion now" in str(case.overtaken(request_id, begun=True))


def release_by_hand(case: Case, version: str) -> None:
    """What the ledger and the registry hold after another run promoted a version."""
    client = case.registry.client
    source = client.get_model_version(case.model, "1")
    model_id = str(source.source).removeprefix("models:/")
    made = client.create_model_version(case.model, source=source.source, run_id=source.run_id, model_id=model_id)
    assert str(made.version) == version
    set_alias(case.registry, case.model, "champion", version)
    lineage = case.state().lineage
    assert lineage is not None
    entry = LedgerEntry(
        entry_id=f"promotion-{case.model}-{version}", model=case.model, kind="promotion", at=day(2).end, actor="ada",
        reason="test", version=version,
        payload={
            "previous": "1", "intent": "none", "artifact_digest": lineage.artifact_digest,
            "train": to_record(lineage.train), "holdout": to_record(lineage.holdout),
        },
    )  # fmt: skip
    ledger.append(case.store, entry)


def test_a_request_that_made_the_champion_is_not_overtaken_by_it(runtime: Runtime, served: ModelConfig) -> None:
    case = runtime.case(served)
    assert case.overtaken(asked(served, "first", 2).request_id) is None


def test_a_refused_or_failed_retrain_on_the_command_line_is_in_the_ledger(
    runtime: Runtime, served: ModelConfig, models_dir: Path
) -> None:
    case = runtime.case(served)
    (models_dir / served.model / "recipe.py").write_text("def build(*, seed, **_):\n    raise ValueError('no')\n")
    with pytest.raises(TrainingError, match="ValueError: no"):
        loops.retrain(case, asked(served, "fails", 2))
    (outcome,) = ledger.entries(runtime.store, served.model, kinds=["retrain_outcome"])[-1:]
    assert outcome.payload["ended"] == "failed"
    assert "recipe.py:2: ValueError: no" in outcome.reason
    assert "fails" not in {request.run_id for request in case.state().open_requests}


def test_a_parity_check_that_ran_out_of_time_is_tried_again_and_judges_nothing(
    runtime: Runtime, served: ModelConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    play(served, 3, runtime)
    request, kinds = asked(served, "busy", 3), ("signoff", "retrain_outcome")
    before = ledger.entries(runtime.store, served.model, kinds=kinds)
    with monkeypatch.context() as busy:
        busy.setattr(parity, "parity_gap", partial(parity.parity_gap, timeout_s=0.01))
        with pytest.raises(ParityTimeout, match=r"version 2: .* no answer in 0.01 s: nothing was judged"):
            loops.retrain(runtime.case(served), request)
    assert ledger.entries(runtime.store, served.model, kinds=kinds) == before
    again = loops.retrain(runtime.case(served), request)
    assert again.signoff is not None
    assert "parity" not in [gate.name for gate in again.signoff.failed]


def test_what_a_killed_process_left_of_its_rows_is_removed_when_a_window_is_opened(
    runtime: Runtime, models_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    hold = (
        "import sys, time; from perennial.storage.work import temporary_folder\n"
        "with temporary_folder('fit-') as folder:\n"
        "    (folder / 'train.parquet').write_text('rows'); print(folder, flush=True); time.sleep(600)"
    )
    left = []
    for killed in (True, False):
        process = subprocess.Popen(
            [sys.executable, "-c", hold],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "TMPDIR": str(tmp_path), "PYTHONPATH": str(INCLUDE)},
        )
        assert process.stdout is not None
        left.append(Path(process.stdout.readline().strip()) / "train.parquet")
        if killed:
            process.kill()
            process.communicate()
    try:
        assert [rows.is_file() for rows in left] == [True, True]
        runtime.case(unique_model(models_dir, "wine_cultivar")).begin()
        assert [rows.is_file() for rows in left] == [False, True]
        assert not left[0].parents[1].exists()
    finally:
        process.kill()
        process.communicate()


def test_clearing_the_fit_after_the_recipe_was_edited_fits_the_new_one(
    runtime: Runtime, served: ModelConfig, models_dir: Path
) -> None:
    case = runtime.case(served)
    request_id = asked(served, "first", 2).request_id
    snapshot = case.snapshot(request_id)
    before = case.fit(request_id, snapshot)
    assert case.fit(request_id, snapshot) == before
    recipe = models_dir / served.model / "recipe.py"
    recipe.write_text(recipe.read_text(encoding="utf-8") + "\n# edited\n", encoding="utf-8")
    after = case.fit(request_id, snapshot)
    assert after.mlflow_run_id != before.mlflow_run_id


def test_another_request_as_of_the_same_moment_sees_what_was_published_since(
    runtime: Runtime, served: ModelConfig
) -> None:
    case = runtime.case(served)
    one = case.snapshot(case.ask(asked(served, "one", 2)))
    late = delivery("wine_cultivar", day(0), seed=77).assign(model_version="legacy")
    late["prediction_id"] = late["prediction_id"] + "-late"
    deliver(runtime.settings.home, "wine_cultivar", day(0), late)
    loops.monitor(case, day(0))
    two = case.snapshot(case.ask(asked(served, "two", 2)))
    assert case.snapshot(asked(served, "one", 2).request_id) == one
    assert two.n_train + two.n_holdout > one.n_train + one.n_holdout


def test_a_deleted_champion_without_a_stable_one_is_left_by_a_persons_promotion(
    runtime: Runtime, served: ModelConfig
) -> None:
    case = runtime.case(served)
    with logged_in(ADMIN):
        runtime.registry.client.delete_model_version(served.model, "1")
    said = case.begin()
    assert f"{served.model}: version 1, which serves, was deleted in MLflow" in said
    halted = loops.monitor(case, day(2))
    assert halted.action == "halt"
    assert "was deleted in MLflow and can not be set back: let a person promote a new one" in halted.reasons[0]

    plain = loops.retrain(case, asked(served, "plain", 2))
    assert plain.ended == "refused"
    by_hand = replace(asked(served, "by hand", 2), without_comparison=True, requested_by="ada", cause="v1 was deleted")
    waiting = loops.retrain(case, by_hand)
    assert waiting.ended == "waiting"
    assert waiting.signoff is not None
    waived = next(gate for gate in waiting.signoff.gates if gate.waived)
    assert waived.waived == "ada: v1 was deleted"
    set_version_tags(runtime.registry, served.model, str(waiting.version), {"signoff": "approved", "reviewer": "ada"})
    assert loops.retrain(case, by_hand).ended == "waiting", "who asked for it does not approve it"
    set_version_tags(runtime.registry, served.model, str(waiting.version), {"reviewer": "bob"})
    assert loops.retrain(case, by_hand).ended == "promoted"
    assert case.verify().champion == waiting.version
    assert case.begin() == ()


def test_the_rows_of_a_refused_candidate_are_not_fitted_again_unless_someone_wants_it(
    runtime: Runtime, served: ModelConfig
) -> None:
    case = runtime.case(served)
    refused = loops.retrain(case, asked(served, "plain", 2))
    assert (refused.ended, refused.version) == ("refused", "2"), "no row is new to both"
    with pytest.raises(
        TrainingError, match=r"the very rows of the candidate before, as of .*: version 2 refused: vers"
    ):
        loops.retrain(case, asked(served, "again", 2))
    assert len(runtime.registry.client.search_model_versions(f"name = '{served.model}'")) == 2, "nothing was fitted"
    (failed,) = ledger.entries(runtime.store, served.model, kinds=["retrain_outcome"], last=1)
    assert failed.payload["ended"] == "failed", "it gives its share of the budget back"
    assert loops.retrain(case, asked(served, "plain", 2)).ended == "refused", "its own run may run again"
    wanted = loops.retrain(case, replace(asked(served, "wanted", 2), anyway=True))
    assert (wanted.ended, wanted.version) == ("refused", "3")


def test_the_command_line_begins_no_retrain_that_can_not_pay(
    runtime: Runtime, served: ModelConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("home", "models_dir", "mlflow_uri"):
        monkeypatch.setenv(f"PERENNIAL_{name.upper()}", str(getattr(runtime.settings, name)))
    assert runtime.settings.database_url is not None
    monkeypatch.setenv("PERENNIAL_DATABASE_URL", runtime.settings.database_url.get_secret_value())
    later = day(2).end + timedelta(hours=1)  # as of its end the policy has asked
    call = ["run", "retrain", served.model, "--as-of", later.isoformat()]
    before = ledger.entries(runtime.store, served.model)
    stopped = CliRunner().invoke(app, call)
    assert stopped.exit_code == 1, stopped.output
    told = "can not pay, and nothing was begun: too few rows: [0-9]+ labelled ones are new to version 1, 50 are needed"
    assert re.search(told, stopped.stderr), stopped.stderr
    assert ledger.entries(runtime.store, served.model) == before
    made = CliRunner().invoke(app, [*call, "--anyway", "--json"])
    assert json.loads(made.stdout)["ended"] == "refused"
    again = CliRunner().invoke(app, call)
    assert (
        "nothing new: 0 labels since the candidate before, as of 2024-01-04 01:00: version 2 refused: " in again.stderr
    )
    assert play(served, 3, runtime) == "stay"
    assert runtime.case(served).cannot_pay(asked(served, "news", 3)) == ()


def test_a_comparison_that_is_possible_is_not_waived(runtime: Runtime, served: ModelConfig) -> None:
    by_hand = replace(asked(served, "by hand", 2), without_comparison=True)
    ended = loops.retrain(runtime.case(served), by_hand)
    assert ended.signoff is not None
    assert not [gate for gate in ended.signoff.gates if gate.waived and not gate.value]


def test_a_hand_moved_alias_halts_the_monitor_and_fails_verification(runtime: Runtime, served: ModelConfig) -> None:
    assert make_version(served, runtime.registry, "registered by hand") == "2"
    set_alias(runtime.registry, served.model, "champion", "2")
    with pytest.raises(IntegrityError, match="alias champion is on version 2, the ledger's champion is"):
        runtime.case(served).verify()
    assert play(served, 3, runtime) == "halt"


def test_changed_files_of_the_champion_are_found_by_maintenance(
    runtime: Runtime, served: ModelConfig, tmp_path: Path
) -> None:
    case = runtime.case(served)
    case.verify_files()
    forged = tmp_path / "model.skops"
    forged.write_text("forged", encoding="utf-8")
    source = str(runtime.registry.client.get_model_version(served.model, "1").source)
    runtime.registry.client.log_model_artifact(source.removeprefix("models:/"), str(forged))
    with pytest.raises(IntegrityError, match=r"version 1: its files have the digest .* they were promoted with"):
        case.verify_files()


@pytest.mark.usefixtures("fresh_processes")
def test_a_recipe_sees_no_secret_of_its_environment(
    runtime: Runtime, served: ModelConfig, models_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter2")
    assert os.environ["MLFLOW_TRACKING_PASSWORD"]
    spy = (
        "import os, sys\n\ndef build(*, seed, **_):\n"
        "    raise ValueError(' '.join(sorted(os.environ)), 'waited for MLflow:', 'mlflow' in sys.modules)\n"
    )
    (models_dir / served.model / "recipe.py").write_text(spy)
    with pytest.raises(TrainingError) as caught:
        loops.retrain(runtime.case(served), asked(served, "spy", 2))
    for name in ("AWS_SECRET_ACCESS_KEY", "PERENNIAL_DATABASE_URL", "MLFLOW_"):
        assert name not in str(caught.value)
    assert "HOME" in str(caught.value)
    assert "'waited for MLflow:', False" in str(caught.value)
