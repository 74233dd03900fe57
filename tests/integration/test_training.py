import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sqlalchemy import text

from conftest import free_port, unique_model
from forked import TAKES_ROWS_IN
from logs import day
from perennial.apart import forking
from perennial.config import ModelConfig
from perennial.contracts import Candidate, Evaluation, FittedRun, Hold, Lineage, ReleaseState, Snapshot, Window
from perennial.errors import IntegrityError, RegistryUnavailable, StoreUnavailable, TrainingError
from perennial.orchestration.preload import RECIPES
from perennial.registry import (
    Registry,
    alias_version,
    artifact_digest,
    load_importance,
    load_model,
    load_reference,
    score,
)
from perennial.registry.reference import declared_in
from perennial.registry.runs import RunKey, find_runs
from perennial.registry.versions import version_tags
from perennial.store import Store
from perennial.store.locks import REGISTER, model_lock
from perennial.store.tables import ensure_data_tables
from perennial.training.evaluate import evaluate
from perennial.training.fit import fit
from perennial.training.register import register
from perennial.training.search.best import fit_best
from perennial.training.snapshot import take_snapshot
from published import publish, publish_days, request_at, rows_of

AIRFLOW = "http://127.0.0.1:8080/dags/m__retrain/runs/r/tasks/fit"
PLOTS = {
    "binary": ("confusion.png", "roc.png", "precision_recall.png", "calibration.png"),
    "multiclass": ("confusion.png",),
    "regression": ("residuals.png",),
}


@pytest.fixture
def registry(mlflow_uri: str) -> Registry:
    return Registry(mlflow_uri)


@pytest.fixture
def tumour(store: Store, models_dir: Path) -> ModelConfig:
    """The binary test model with its tables made."""
    config = unique_model(models_dir, "tumour_malignant")
    ensure_data_tables(store, config)
    return config


def fresh(config: ModelConfig) -> ReleaseState:
    return ReleaseState(model=config.model)


def snapshot_of(config: ModelConfig, store: Store, number: int = 7, state: ReleaseState | None = None) -> Snapshot:
    return take_snapshot(config, request_at(config, number), store=store, state=state or fresh(config))


def fit_on(
    config: ModelConfig,
    frozen: Snapshot,
    store: Store,
    registry: Registry,
    models_dir: Path,
    *,
    number: int = 7,
    airflow_url: str | None = None,
) -> FittedRun:
    where = {"store": store, "registry": registry, "models_dir": models_dir}
    return fit(config, frozen, request_at(config, number), **where, airflow_url=airflow_url)


def recipe(models_dir: Path, config: ModelConfig, text_of: str) -> Path:
    path = models_dir / config.model / "recipe.py"
    path.write_text(text_of, encoding="utf-8")
    return path


# --- snapshot


def test_training_lies_right_before_a_holdout_whose_labels_are_due(store: Store, tumour: ModelConfig) -> None:
    publish_days(store, tumour, range(8))
    frozen = snapshot_of(tumour, store)
    assert frozen.holdout.end == day(7).end - tumour.label.delay
    assert frozen.train.end == frozen.holdout.start
    train, holdout = (store.storage.read_table(uri) for uri in (frozen.train_uri, frozen.holdout_uri))
    assert (train.num_rows, holdout.num_rows) == (frozen.n_train, frozen.n_holdout) == (400, 200)
    assert train.column_names == ["prediction_id", "event_time", *tumour.features, "label"]
    times = train.column("event_time").to_numpy()
    assert np.all(np.diff(times) >= np.timedelta64(0))
    assert times[-1] < holdout.column("event_time").to_numpy()[0]


def test_the_same_request_gives_the_recorded_snapshot(store: Store, tumour: ModelConfig) -> None:
    publish_days(store, tumour, range(8))
    frozen = snapshot_of(tumour, store)
    publish(store, tumour, rows_of(tumour, day(5), 50, seed=99))
    assert snapshot_of(tumour, store) == frozen


def test_a_snapshot_whose_file_was_changed_is_refused(store: Store, tumour: ModelConfig) -> None:
    publish_days(store, tumour, range(8))
    frozen = snapshot_of(tumour, store)
    path = store.storage.path(frozen.train_uri)
    pq.write_table(store.storage.read_table(frozen.train_uri).slice(1), path)
    with pytest.raises(IntegrityError, match="were changed after they were frozen"):
        snapshot_of(tumour, store)
    Path(path).unlink()
    with pytest.raises(IntegrityError, match="is gone"):
        snapshot_of(tumour, store)


def test_labels_that_come_after_the_request_do_not_count(store: Store, tumour: ModelConfig) -> None:
    publish_days(store, tumour, range(7))
    late = rows_of(tumour, day(7), 100, seed=7)
    late["labelled_at"] = late["labelled_at"].where(np.arange(100) % 2 == 0, late["labelled_at"] + timedelta(days=2))
    publish(store, tumour, late)
    frozen = snapshot_of(tumour, store)
    # half of the newest day has no label yet: the holdout ends where few of its rows are missing
    assert frozen.holdout.end < day(7).end - tumour.label.delay
    assert tumour.label.mature_share <= frozen.holdout_label_coverage < 1
    missing = set(late["prediction_id"][late["labelled_at"] >= day(7).end])
    assert not missing & set(store.storage.read_table(frozen.holdout_uri)["prediction_id"].to_pylist())
    later = snapshot_of(tumour, store, number=9)
    assert later.holdout_label_coverage == 1.0


def test_labels_that_never_come_leave_no_holdout(store: Store, tumour: ModelConfig) -> None:
    for number in range(8):
        rows = rows_of(tumour, day(number), 100, seed=number)
        publish(store, tumour, rows.assign(label=rows["label"].where(np.arange(100) % 2 == 0)))
    with pytest.raises(TrainingError, match=r"at best \d+ of \d+ rows are labelled"):
        snapshot_of(tumour, store)


def test_no_rows_at_all_leave_no_holdout(store: Store, tumour: ModelConfig) -> None:
    with pytest.raises(TrainingError, match="none has any prediction"):
        snapshot_of(tumour, store)


def test_too_few_training_rows_are_counted_and_nothing_is_recorded(store: Store, tumour: ModelConfig) -> None:
    publish_days(store, tumour, range(5, 8), n_rows=60)
    with pytest.raises(TrainingError, match=r"\d+ labelled rows .* training\.min_train_rows is 100"):
        snapshot_of(tumour, store)
    with store.begin() as connection:
        assert connection.scalar(text("SELECT count(*) FROM perennial.snapshots")) == 0


def test_excluded_stretches_and_shadow_rows_are_left_out(store: Store, tumour: ModelConfig) -> None:
    publish_days(store, tumour, range(8))
    publish(store, tumour, rows_of(tumour, day(6), 50, seed=50), role="challenger")
    whole = snapshot_of(tumour, store)
    holds = tuple(
        Hold(entry_id=f"h{number}", stretch=day(number), reason="faulty", acknowledged=True, excluded=excluded)
        for number, excluded in ((4, True), (3, False))
    )
    part = snapshot_of(tumour, store, state=replace(fresh(tumour), holds=holds))
    assert part.snapshot_id != whole.snapshot_id
    assert (whole.n_train, part.n_train) == (400, 300)
    assert part.holdout == whole.holdout
    times = store.storage.read_table(part.train_uri).column("event_time").to_pylist()
    assert not [time for time in times if day(4).start <= time < day(4).end]


# --- fit


@pytest.mark.usefixtures("fresh_processes")
def test_a_fit_says_everything_and_is_made_once(
    store: Store, tumour: ModelConfig, registry: Registry, models_dir: Path
) -> None:
    publish_days(store, tumour, range(8))
    frozen = snapshot_of(tumour, store)
    made = fit_on(tumour, frozen, store, registry, models_dir, airflow_url=AIRFLOW)
    assert fit_on(tumour, frozen, store, registry, models_dir) == made
    run = registry.client.get_run(made.mlflow_run_id)
    assert run.info.status == "FINISHED"
    assert run.data.params["recipe.max_iter"] == "20"
    assert run.data.tags["perennial.config_digest"] == tumour.digest
    assert 0.5 < made.cv["cv_roc_auc_mean"] <= 1
    assert made.cpu_s == run.data.metrics["fit_cpu_s"] > 0.1  # nothing imports scikit-learn for less
    assert 50 < run.data.metrics["fit_peak_mb"] < 10_000
    assert run.data.tags["perennial.airflow_run"] == AIRFLOW
    assert {item.dataset.name: item.dataset.digest for item in run.inputs.dataset_inputs} == {
        f"{tumour.model}/training": frozen.digest,
        f"{tumour.model}/holdout": frozen.digest,
    }
    logged = {item.path for item in registry.client.list_artifacts(made.mlflow_run_id, "source")}
    assert {"source/model.yaml", "source/recipe.py", "source/packages.txt"} <= logged


def test_a_fit_that_is_forked_among_imports_is_the_same(
    store: Store, tumour: ModelConfig, registry: Registry, models_dir: Path
) -> None:
    publish_days(store, tumour, range(8))
    frozen = snapshot_of(tumour, store)
    started = fit_on(tumour, frozen, store, registry, models_dir)
    again = request_at(tumour, 7, run_id="retrain__2")
    forking.start(RECIPES)
    try:
        forked = fit(tumour, frozen, again, store=store, registry=registry, models_dir=models_dir)
    finally:
        forking.stop()
    assert forking.used().cpu_s >= forked.cpu_s > 0
    assert forked.mlflow_run_id != started.mlflow_run_id
    assert (forked.cv, forked.chosen) == (started.cv, started.chosen)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("raise ValueError('no such thing')", r"recipe\.py:2: ValueError: no such thing"),
        ("import os; os._exit(3)", "ended with exit code 3"),
        ("import os; os.kill(os.getpid(), 9)", "signal SIGKILL"),
        (
            "from sklearn.svm import LinearSVC; return LinearSVC()",
            r"ValueError: could not convert string to float",
        ),
    ],
)
def test_a_recipe_that_breaks_is_named_with_its_line(
    store: Store, tumour: ModelConfig, registry: Registry, models_dir: Path, *, body: str, message: str
) -> None:
    publish_days(store, tumour, range(8))
    recipe(models_dir, tumour, f"def build(*, seed, max_iter):\n    {body}\n")
    frozen = snapshot_of(tumour, store)
    with pytest.raises(TrainingError, match=message):
        fit_on(tumour, frozen, store, registry, models_dir)
    key = RunKey(model=tumour.model, snapshot_id=frozen.snapshot_id, request="retrain__1")
    (run,) = find_runs(registry, key)
    assert run.info.status == "FAILED"
    assert run.data.tags["perennial.problem"]


def test_a_fit_that_does_not_converge_is_no_candidate(
    store: Store, wine: ModelConfig, registry: Registry, models_dir: Path
) -> None:
    publish_days(store, wine, range(8))
    path = models_dir / wine.model / "recipe.py"
    recipe(models_dir, wine, path.read_text(encoding="utf-8").replace("max_iter=500", "max_iter=2"))
    with pytest.raises(TrainingError, match="did not converge"):
        fit_on(wine, snapshot_of(wine, store), store, registry, models_dir)


ENDLESS = """
import subprocess, sys, time
from sklearn.base import BaseEstimator

class Endless(BaseEstimator):
    def fit(self, X, y):
        subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)", "{mark}"])
        while True:
            time.sleep(0.1)

def build(*, seed, max_iter):
    return Endless()
"""


def processes_with(mark: str) -> list[int]:
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                if mark.encode() in (folder / "cmdline").read_bytes():
                    found.append(int(folder.name))
            except OSError:
                continue
    return found


def wait_until(condition: object, deadline_s: float = 180) -> None:
    end = time.monotonic() + deadline_s
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < end, "the condition did not come true in time"
        time.sleep(0.05)


def test_a_fit_that_never_ends_is_ended_with_all_its_processes(
    store: Store, tumour: ModelConfig, registry: Registry, models_dir: Path
) -> None:
    publish_days(store, tumour, range(8))
    recipe(models_dir, tumour, ENDLESS.format(mark=tumour.model))
    hurried = tumour.model_copy(
        update={"training": tumour.training.model_copy(update={"timeout": timedelta(seconds=4)})}
    )
    with pytest.raises(TrainingError, match=r"not fitted within training\.timeout = 0:00:04"):
        fit_on(hurried, snapshot_of(tumour, store), store, registry, models_dir)
    wait_until(lambda: not processes_with(tumour.model))


KILLED = """
import sys
from pathlib import Path
from perennial.config import load_model
from perennial.contracts import RetrainRequest, ReleaseState
from perennial.registry import Registry
from perennial.store import open_store
from perennial.training.fit import fit
from perennial.training.snapshot import take_snapshot
from published import request_at

database, storage, mlflow, models, name = sys.argv[1:]
store, config = open_store(database, storage), load_model(Path(models) / name)
request = request_at(config, 7)
frozen = take_snapshot(config, request, store=store, state=ReleaseState(model=name))
fit(config, frozen, request, store=store, registry=Registry(mlflow), models_dir=Path(models))
"""


def test_a_fit_whose_turn_was_lost_to_a_failover_does_not_finish_beside_another(
    store: Store, tumour: ModelConfig, registry: Registry, models_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish_days(store, tumour, range(8))
    frozen = snapshot_of(tumour, store)

    def fit_and_fail_over(*given: object, **options: object) -> object:
        best = fit_best(*given, **options)
        with store.begin() as connection:
            connection.execute(text(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            ))  # fmt: skip
        return best

    monkeypatch.setattr("perennial.training.fit.fit_best", fit_and_fail_over)
    with pytest.raises(StoreUnavailable):
        fit_on(tumour, frozen, store, registry, models_dir)
    key = RunKey(model=tumour.model, snapshot_id=frozen.snapshot_id, request="retrain__1")
    assert [run.info.status for run in find_runs(registry, key)] == ["RUNNING"], "the next one marks it as cut off"


def n_waiting(store: Store) -> int:
    """How many connections wait for a lock in this database."""
    waiting = text(
        "SELECT count(*) FROM pg_locks JOIN pg_database AS here ON here.oid = database "
        "WHERE datname = current_database() AND NOT granted"
    )
    with store.begin() as connection:
        return int(connection.scalar(waiting) or 0)


def test_one_request_run_by_three_at_once_of_which_the_first_is_killed_makes_one_version(
    store: Store,
    tumour: ModelConfig,
    registry: Registry,
    models_dir: Path,
    *,
    database_url: str,
    home: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Who comes while it is fitted waits for its candidate, and makes it when whoever was at it is gone."""
    publish_days(store, tumour, range(8))
    good = (models_dir / tumour.model / "recipe.py").read_text(encoding="utf-8")
    recipe(models_dir, tumour, ENDLESS.format(mark=f"mark-{tumour.model}"))
    arguments = [database_url, (home / "storage").as_uri(), registry.uri, str(models_dir), tumour.model]
    paths = os.pathsep.join(path for path in sys.path if path)
    command = [sys.executable, "-c", TAKES_ROWS_IN + KILLED, *arguments]
    half_way = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": paths})
    with ThreadPoolExecutor(2) as others:
        try:
            wait_until(lambda: processes_with(f"mark-{tumour.model}") or half_way.poll() is not None)
            recipe(models_dir, tumour, good)
            frozen = snapshot_of(tumour, store)
            fits = [others.submit(fit_on, tumour, frozen, store, registry, models_dir) for _ in range(2)]
            wait_until(lambda: n_waiting(store) == 2 or any(fit.done() for fit in fits))
            assert not any(fit.done() for fit in fits), "it is fitted already, by the one that came first"
        finally:
            half_way.send_signal(signal.SIGKILL)
            half_way.wait()
        # no orphan goes on fitting for nobody
        wait_until(lambda: not processes_with(f"mark-{tumour.model}"))
        made, taken_over = (fit.result() for fit in fits)
        assert made == taken_over
        with model_lock(store, tumour.model, REGISTER):
            registered = [others.submit(register, tumour, made, frozen, store=store, registry=registry) for _ in fits]
            wait_until(lambda: n_waiting(store) == 2 or any(one.done() for one in registered))
            assert not any(one.done() for one in registered), "each would find no version of this fit, and make one"
        assert len({one.result().version for one in registered}) == 1
    assert "another process runs the request retrain__1: its candidate is waited for" in caplog.text
    key = RunKey(model=tumour.model, snapshot_id=frozen.snapshot_id, request="retrain__1")
    assert sorted(run.info.status for run in find_runs(registry, key)) == ["FAILED", "FINISHED"]
    assert len(registry.client.search_model_versions(f"name = '{tumour.model}'")) == 1


def test_one_class_in_training_is_refused(
    store: Store, tumour: ModelConfig, registry: Registry, models_dir: Path
) -> None:
    for number in range(8):
        publish(store, tumour, rows_of(tumour, day(number), 100, seed=number).assign(label=0.0))
    with pytest.raises(TrainingError, match="all 400 training rows have the label 0"):
        fit_on(tumour, snapshot_of(tumour, store), store, registry, models_dir)


def test_types_that_nobody_trusts_make_no_candidate(
    store: Store, tumour: ModelConfig, registry: Registry, models_dir: Path
) -> None:
    publish_days(store, tumour, range(8))
    path = models_dir / tumour.model / "recipe.py"
    own = path.read_text(encoding="utf-8") + (
        "\nfrom sklearn.preprocessing import FunctionTransformer\n"
        "def keep(X):\n    return X\n"
        "inner = build\n"
        "def build(*, seed, max_iter):\n"
        "    return make_pipeline(FunctionTransformer(keep), inner(seed=seed, max_iter=max_iter))\n"
    )
    recipe(models_dir, tumour, own)
    with pytest.raises(TrainingError, match=r"not trusted: .*keep.*training\.trusted_types"):
        fit_on(tumour, snapshot_of(tumour, store), store, registry, models_dir)


def test_a_changed_training_file_is_not_fitted(
    store: Store, tumour: ModelConfig, registry: Registry, models_dir: Path
) -> None:
    publish_days(store, tumour, range(8))
    frozen = snapshot_of(tumour, store)
    pq.write_table(store.storage.read_table(frozen.train_uri).slice(1), store.storage.path(frozen.train_uri))
    with pytest.raises(IntegrityError, match="were changed"):
        fit_on(tumour, frozen, store, registry, models_dir)


def test_an_unreachable_registry_is_worth_a_retry(store: Store, tumour: ModelConfig, models_dir: Path) -> None:
    publish_days(store, tumour, range(8))
    gone = Registry(f"http://127.0.0.1:{free_port()}")
    with pytest.raises(RegistryUnavailable):
        fit_on(tumour, snapshot_of(tumour, store), store, gone, models_dir)


# --- evaluate and register


def retrained(
    config: ModelConfig, store: Store, registry: Registry, models_dir: Path, *, number: int, state: ReleaseState
) -> tuple[Snapshot, Evaluation, Candidate]:
    frozen = take_snapshot(config, request_at(config, number), store=store, state=state)
    made = fit_on(config, frozen, store, registry, models_dir, number=number)
    judged = evaluate(config, made, frozen, store=store, registry=registry, state=state)
    return frozen, judged, register(config, made, frozen, store=store, registry=registry)


@pytest.mark.usefixtures("drawn")
@pytest.mark.parametrize(
    ("template", "metric", "worse"),
    [("tumour_malignant", "roc_auc", -1), ("wine_cultivar", "accuracy", -1), ("diabetes_progress", "rmse", 1)],
)
def test_a_first_candidate_meets_the_constant_predictor_on_every_holdout_row(
    store: Store, registry: Registry, models_dir: Path, *, template: str, metric: str, worse: int
) -> None:
    config = unique_model(models_dir, template)
    ensure_data_tables(store, config)
    publish_days(store, config, range(8))
    frozen, judged, candidate = retrained(config, store, registry, models_dir, number=7, state=fresh(config))
    made = fit_on(config, frozen, store, registry, models_dir)
    assert evaluate(config, made, frozen, store=store, registry=registry, state=fresh(config)) == judged
    assert judged.baseline == "constant"
    assert judged.n_rows == judged.n_paired_rows == frozen.n_holdout
    assert judged.candidate == judged.candidate_paired
    assert worse * (judged.baseline_metrics[metric] - judged.candidate[metric]) > 0
    reference = load_reference(registry, config.model, candidate.version)
    assert reference is not None
    assert reference.column_names == [
        *config.features, "prediction_id", "event_time", "label", "score", "predicted", "part",
    ]  # fmt: skip
    assert declared_in(reference) == config.declared
    by_part = {part: reference.filter(pa.compute.equal(reference["part"], part)) for part in ("train", "holdout")}
    assert by_part["train"]["score"].null_count == by_part["train"].num_rows == frozen.n_train
    assert by_part["holdout"]["score"].null_count == 0
    model = load_model(
        registry, config.model, candidate.version, trusted_types=(), expected_digest=candidate.artifact_digest
    )
    again, _ = score(config, model, by_part["holdout"])
    assert np.array_equal(again, by_part["holdout"]["score"].to_numpy())
    importance = load_importance(registry, config.model, candidate.version)
    assert importance is not None
    assert set(importance) == set(config.features)
    assert sum(importance.values()) == pytest.approx(1)
    plots = {item.path.removeprefix("plots/") for item in registry.client.list_artifacts(judged.mlflow_run_id, "plots")}
    assert plots - {"learning_curve.png"} == {"importance.png", "attributions.png", *PLOTS[config.task]}
    assert alias_version(registry, config.model, "challenger") is None


def test_candidate_and_champion_meet_on_rows_after_the_champions_own_holdout(
    store: Store, tumour: ModelConfig, registry: Registry, models_dir: Path
) -> None:
    publish_days(store, tumour, range(10))
    first, _, champion = retrained(tumour, store, registry, models_dir, number=7, state=fresh(tumour))
    state = replace(
        fresh(tumour),
        champion=champion.version,
        lineages={champion.version: Lineage(train=first.train, holdout=first.holdout)},
    )
    second, judged, _ = retrained(tumour, store, registry, models_dir, number=8, state=state)
    times = store.storage.read_table(second.holdout_uri).column("event_time").to_pylist()
    n_new = sum(time >= first.holdout.end for time in times)
    assert 0 < n_new < second.n_holdout
    assert judged.baseline == champion.version
    assert (judged.n_rows, judged.n_paired_rows) == (second.n_holdout, n_new)
    model = load_model(registry, tumour.model, champion.version, trusted_types=())
    rows = store.storage.read_table(second.holdout_uri).slice(second.n_holdout - n_new)
    scores, _ = score(tumour, model, rows)
    positive = rows["label"].to_numpy() == 1
    accuracy = float(((scores >= 0.5) == positive).mean())
    assert judged.baseline_metrics["accuracy"] == pytest.approx(accuracy)
    assert judged.candidate_paired != judged.candidate


def test_a_champion_that_can_not_be_scored_leaves_no_pair_and_says_why(
    store: Store, tumour: ModelConfig, registry: Registry, models_dir: Path
) -> None:
    publish_days(store, tumour, range(8))
    long_ago = Window(start=day(0).start - timedelta(days=1), end=day(0).start)
    gone = replace(fresh(tumour), champion="99", lineages={"99": Lineage(train=long_ago, holdout=long_ago)})
    frozen, judged, _ = retrained(tumour, store, registry, models_dir, number=7, state=gone)
    assert (judged.n_paired_rows, judged.baseline_metrics, judged.candidate_paired) == (0, {}, {})
    assert "99 could not be scored" in judged.baseline_problem
    run = registry.client.get_run(judged.mlflow_run_id)
    assert "99" in run.data.tags["perennial.baseline_problem"]
    made = fit_on(tumour, frozen, store, registry, models_dir)
    unknown = evaluate(
        tumour, made, frozen, store=store, registry=registry, state=replace(fresh(tumour), champion="98")
    )
    assert "does not know" in unknown.baseline_problem
    recent = replace(gone, lineages={"99": Lineage(train=long_ago, holdout=frozen.holdout)})
    assert "no holdout row lies after" in evaluate(
        tumour, made, frozen, store=store, registry=registry, state=recent
    ).baseline_problem  # fmt: skip


def test_a_holdout_of_one_class_has_no_auc_and_no_importance(
    store: Store, tumour: ModelConfig, registry: Registry, models_dir: Path
) -> None:
    publish_days(store, tumour, range(5))
    for number in range(5, 8):
        publish(store, tumour, rows_of(tumour, day(number), 100, seed=number).assign(label=1.0))
    with_late_end = tumour.model_copy(
        update={"training": tumour.training.model_copy(update={"holdout": timedelta(days=1)})}
    )
    _, judged, candidate = retrained(with_late_end, store, registry, models_dir, number=7, state=fresh(tumour))
    assert "roc_auc" not in judged.candidate
    assert "accuracy" in judged.candidate
    assert load_importance(registry, tumour.model, candidate.version) is None
    assert load_reference(registry, tumour.model, candidate.version) is not None


def test_a_version_holds_to_the_digest_it_was_registered_with(
    store: Store, tumour: ModelConfig, registry: Registry, models_dir: Path, tmp_path: Path
) -> None:
    publish_days(store, tumour, range(8))
    frozen = snapshot_of(tumour, store)
    made = fit_on(tumour, frozen, store, registry, models_dir)
    candidate = register(tumour, made, frozen, store=store, registry=registry)
    assert candidate.artifact_digest == artifact_digest(registry, tumour.model, candidate.version)
    tags = version_tags(registry, tumour.model, candidate.version)
    assert tags["version.artifact_digest"] == candidate.artifact_digest
    extra = tmp_path / "extra"
    extra.mkdir()
    (extra / "payload.txt").write_text("not ours", encoding="utf-8")
    registry.client.log_model_artifacts(made.model_uri.removeprefix("models:/"), str(extra))
    with pytest.raises(IntegrityError, match="they were changed"):
        register(tumour, made, frozen, store=store, registry=registry)
