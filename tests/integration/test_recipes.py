"""What is tried on the way to a candidate: sets of parameters, and recipes beside one another."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sklearn.metrics import f1_score

from conftest import unique_model
from logs import day
from monitored import publish_labels, publish_predictions
from perennial import ledger
from perennial.config import ModelConfig, load_model
from perennial.contracts import Evaluation, FittedRun, SignalName, from_record
from perennial.errors import RegistryUnavailable
from perennial.pipeline import Runtime, loops
from perennial.provenance.reproduce import reproduce
from perennial.registry import Registry, features_frame, score
from perennial.registry.models import load_model as load_version
from perennial.registry.runs import RunKey, find_runs
from perennial.settings import Settings
from perennial.store import Store
from perennial.store.signals import measured
from perennial.store.tables import ensure_data_tables
from perennial.training.register import register
from perennial.training.search import keeping
from published import publish_days, request_at, rows_of

TREE = """
import time
from pathlib import Path
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.pipeline import make_pipeline
from sklearn.tree import DecisionTreeClassifier

def build(*, seed, depth=1, leaf=1):
    while depth == 1 and Path({gate!r}).exists():  # the third of those that the test searches
        time.sleep(0.05)
    if depth == 9:
        raise ValueError("too deep")
    numbers = make_column_transformer(("passthrough", make_column_selector(dtype_include="number")))
    return make_pipeline(numbers, DecisionTreeClassifier(max_depth=depth, min_samples_leaf=leaf, random_state=seed))
"""
CONSTANT = """
from sklearn.dummy import DummyClassifier

def build(*, seed, strategy="prior"):
    return DummyClassifier(strategy=strategy, random_state=seed)
"""


def declared(
    models_dir: Path, store: Store, training: str, changes: dict[str, str] | None = None, **recipes: str
) -> ModelConfig:
    """The binary test model with more under ``training``, other ``changes`` of its text, and these recipes."""
    name = unique_model(models_dir, "tumour_malignant").model
    path = models_dir / name / "model.yaml"
    text = path.read_text("utf-8")
    for old, new in {"params: {max_iter: 20}": training, **(changes or {})}.items():
        assert old in text
        text = text.replace(old, new)
    path.write_text(text, encoding="utf-8")
    for stem, code in recipes.items():
        (models_dir / name / f"{stem}.py").write_text(code, encoding="utf-8")
    config = load_model(models_dir / name)
    ensure_data_tables(store, config)
    publish_days(store, config, range(8))
    return config


@pytest.fixture
def runtime(store: Store, mlflow_uri: str, models_dir: Path, home: Path, database_url: str) -> Runtime:
    settings = Settings(home=home, models_dir=models_dir, database_url=database_url, mlflow_uri=mlflow_uri)
    return Runtime(store, Registry(mlflow_uri), settings)


def below(registry: Registry, run: Any) -> dict[int, Any]:
    """The runs below a run, by the number of their set."""
    wanted = f"tags.`mlflow.parentRunId` = '{run.info.run_id}'"
    found = registry.client.search_runs([run.info.experiment_id], wanted)
    return {int(one.data.tags["perennial.tried"]): one for one in found}


def test_a_search_goes_on_where_it_was_cut_off_and_its_best_set_makes_the_candidate(
    runtime: Runtime, models_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = tmp_path / "gate"
    gate.touch()
    searched = "params: {leaf: 2}, search: {sampler: grid, trials: 9, space: {depth: [1, 2, 3, 9]}}"
    config = declared(models_dir, runtime.store, searched, recipe=TREE.format(gate=str(gate)))
    case, registry, request = runtime.case(config), runtime.registry, request_at(config, 7)
    request_id = case.ask(request)
    snapshot = case.snapshot(request_id)

    def cut_off(*given: Any, log: Callable[..., str] = keeping.log_below, **told: Any) -> str:
        """MLflow is gone once the first set is told of, and the third one waits."""
        log(*given, **told)
        raise RegistryUnavailable("gone")

    with monkeypatch.context() as patched:
        patched.setattr(keeping, "log_below", cut_off)
        with pytest.raises(RegistryUnavailable):
            case.fit(request_id, snapshot)
    gate.unlink()
    fitted = case.fit(request_id, snapshot)
    key = RunKey(model=config.model, snapshot_id=snapshot.snapshot_id, request=request.run_id)
    finished, cut = find_runs(registry, key)
    assert (finished.info.status, cut.info.status) == ("FINISHED", "FAILED")
    tried = below(registry, finished)
    assert sorted(tried) == [0, 1, 2, 3]
    assert {one.data.params["recipe.depth"] for one in tried.values()} == {"1", "2", "3", "9"}
    (first,) = below(registry, cut).values()
    assert first.data.metrics == tried[0].data.metrics  # its seconds too: it was not tried again
    failed = next(one for one in tried.values() if one.data.params["recipe.depth"] == "9")
    assert failed.info.status == "FAILED" and "ValueError: too deep" in failed.data.tags["perennial.problem"]
    best = max(
        (one for one in tried.values() if one is not failed), key=lambda one: one.data.metrics["cv_roc_auc_mean"]
    )
    assert finished.data.params["recipe.depth"] == best.data.params["recipe.depth"]
    assert fitted.chosen is not None
    assert fitted.chosen.params == {"leaf": 2, "depth": int(best.data.params["recipe.depth"])}
    assert fitted.chosen.n_tried == {"recipe.py": 4}
    assert fitted.cv["cv_roc_auc_mean"] == best.data.metrics["cv_roc_auc_mean"]
    assert case.fit(request_id, snapshot) == fitted
    assert not list(Path(runtime.store.storage.path("searches")).rglob("*.journal"))
    version = register(config, fitted, snapshot, store=runtime.store, registry=registry).version
    assert reproduce(case, version).is_same


def test_the_best_of_several_recipes_is_the_candidate_and_the_ledger_says_what_it_was_chosen_from(
    runtime: Runtime, models_dir: Path
) -> None:
    several = "params: {depth: 4, leaf: 20, strategy: prior}, recipes: [constant.py, tree.py]"
    config = declared(models_dir, runtime.store, several, constant=CONSTANT, tree=TREE.format(gate="/none"))
    case, registry = runtime.case(config), runtime.registry
    done = loops.retrain(case, request_at(config, 7))
    (entry,) = ledger.read(runtime.store, config.model).of("signoff")
    judged = from_record(Evaluation, entry.payload["evaluation"])
    assert judged.chosen is not None
    assert (judged.chosen.recipe, judged.chosen.params) == ("tree.py", {"depth": 4, "leaf": 20})
    cv = {name: found["cv_roc_auc_mean"] for name, found in judged.chosen.tried.items()}
    assert cv["constant.py"] == 0.5 < cv["tree.py"]
    run = registry.client.get_run(judged.mlflow_run_id)
    assert run.data.tags["perennial.chosen_recipe"] == "tree.py"
    assert run.data.metrics["cv_roc_auc_mean"] == cv["tree.py"]
    assert run.data.metrics["constant/cv_roc_auc_mean"] == 0.5
    assert {item.path for item in registry.client.list_artifacts(run.info.run_id, "source")} >= {
        f"source/{name}" for name in ("constant.py", "tree.py", "model.yaml", "chosen.json")
    }
    assert reproduce(case, str(done.version)).is_same  # the version's, whose recipe is not the first
    request_id = case.ask(request_at(config, 7))
    snapshot = case.snapshot(request_id)
    assert case.fit(request_id, snapshot).mlflow_run_id == run.info.run_id
    (models_dir / config.model / "constant.py").write_text(CONSTANT + "\n", encoding="utf-8")
    again = case.fit(request_id, snapshot)
    assert again.mlflow_run_id != run.info.run_id
    assert again.cv == {name: run.data.metrics[name] for name in again.cv}


def test_a_tuned_threshold_is_what_the_version_is_judged_released_and_monitored_by(
    runtime: Runtime, models_dir: Path
) -> None:
    config = declared(
        models_dir,
        runtime.store,
        "params: {depth: 4, leaf: 20}, tune_threshold: f1",
        recipe=TREE.format(gate="/none"),
        changes={
            "label: {classes: [0, 1],": "label: {classes: [0, 1], decision_threshold: 0.95,",
            "roc_auc: {role: retrain, bound: 0.7, max_loss: 0.2}": "accuracy: {role: retrain, bound: 0.1}",
            "metrics: {roc_auc: {min: 0.7}}": "metrics: {f1: {min: 0.8}}",
            "min_gain: 0.0": "min_gain: 0.0, no_worse: {}",
            "metric: roc_auc, bound: 0.6": "metric: accuracy, bound: 0.1",
        },
    )
    case, store = runtime.case(config), runtime.store
    done = loops.retrain(case, request_at(config, 7))
    assert done.ended == "promoted", done.outcome
    state, history = case.state(), ledger.read(store, config.model)
    threshold = state.threshold_of("1", declared=0.95)
    assert threshold < 0.8
    assert [item.payload["threshold"] for item in history.of("promotion")] == [threshold]
    assert (state.threshold_of("0", 0.95), state.threshold_of(None, 0.95)) == (0.95, 0.95)
    judged = from_record(Evaluation, history.of("signoff")[0].payload["evaluation"])
    run = runtime.registry.client.get_run(judged.mlflow_run_id)
    assert float(run.data.params["threshold"]) == threshold
    model = load_version(runtime.registry, config.model, "1", trusted_types=())
    rows = store.storage.read_table(case.snapshot(done.request.request_id).holdout_uri)
    truth, scores = rows["label"].to_numpy(), score(config, model, rows)[0]
    assert judged.candidate["f1"] == pytest.approx(f1_score(truth, scores >= threshold))
    assert judged.candidate["f1"] > f1_score(truth, scores >= 0.95)
    assert (model.predict(features_frame(config, rows)) == (scores >= threshold)).all()
    assert reproduce(case, "1").is_same
    served = rows_of(config, day(8), 100, seed=8)
    served = served.assign(score=0.8, predicted=None, model_version="1", role="champion")  # positive to it alone
    publish_predictions(store, config, day(8), served)
    publish_labels(store, config, day(8), served)
    found = {signal.name: signal.value for signal in case.measure_performance(day(8))}
    assert found["performance/accuracy"] == pytest.approx(served["label"].mean())
    case.settle_bake(day(8))
    (baked,) = measured(store, config.model, names=[SignalName.bake("accuracy")])
    assert baked.value == found["performance/accuracy"]


def test_a_fit_and_an_evaluation_of_before_choices_were_kept_are_read(runtime: Runtime, models_dir: Path) -> None:
    old = {"model": "m", "mlflow_run_id": "r", "model_uri": "u", "snapshot_id": "s", "n_train": 1, "cv": {}}
    assert from_record(FittedRun, json.loads(json.dumps(old))).chosen is None
