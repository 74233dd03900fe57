"""Importing the DAG files: what comes out, what it costs, and what one broken model may not do to the others."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from dag_files import ROOT, declare

HEAVY = {
    *("pandas", "mlflow", "evidently", "sklearn", "great_expectations", "pyarrow", "duckdb", "polars", "numpy"),
    *("scipy", "skops", "shap", "optuna", "matplotlib", "adbc_driver_manager", "adbc_driver_postgresql", "alembic"),
}
FILES_THAT_READ_MODELS = 6
N_UPKEEP_TASKS = 10  # of the DAGs about all models, however many models there are

WITNESS = """
import collections, json, os, sys
opened, connected = collections.Counter(), []

def watch(event, args):
    if event == "open" and isinstance(args[0], str) and os.environ["WATCHED"] in args[0]:
        opened[args[0]] += 1
    if event == "socket.connect":
        connected.append(str(args[1]))

from airflow.dag_processing.dagbag import DagBag
sys.addaudithook(watch)
bag = DagBag(dag_folder=sys.argv[1])
json.dump(
    {
        "modules": sorted({name.partition(".")[0] for name in sys.modules}),
        "opened": opened,
        "connected": connected,
        "n_tasks": sum(len(dag.tasks) for dag in bag.dags.values()),
        "errors": bag.import_errors,
    },
    sys.stdout,
)
"""


def witness(models_dir: Path, state: Path) -> dict:
    """What a process of its own loaded, opened and reached while it imported the DAG files."""
    environment = {
        **os.environ,
        "AIRFLOW_HOME": str(state / "airflow"),
        "PYTHONPATH": str(ROOT / "include"),
        "PERENNIAL_MODELS_DIR": str(models_dir),
        "WATCHED": str(state),
        "AIRFLOW__LOGGING__LOGGING_LEVEL": "CRITICAL",
    }
    done = subprocess.run(
        [sys.executable, "-c", WITNESS, str(ROOT / "dags")], env=environment, capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout[done.stdout.index('{"modules"') :])


@pytest.fixture
def state(tmp_path: Path) -> Path:
    folder = tmp_path / "watched"
    folder.mkdir()
    return folder


def test_four_dags_for_every_model_and_two_for_all(models_dir, parse):
    declare(models_dir, "wine_cultivar")
    declare(models_dir, "diabetes_progress", template="diabetes_progress")
    bag = parse()
    assert bag.import_errors == {}
    assert set(bag.dags) == {
        *(f"{model}__{kind}" for model in ("wine_cultivar", "diabetes_progress") for kind in KINDS),
        "perennial__maintenance",
        "perennial__past_gates",
    }


KINDS = ("monitor", "retrain", "rollback", "backtest")


def test_the_models_of_the_project_parse():
    from airflow.dag_processing.dagbag import DagBag

    bag = DagBag(dag_folder=str(ROOT / "dags"))
    assert bag.import_errors == {}
    assert {f"flight_delay__{kind}" for kind in (*KINDS, "guard")} <= set(bag.dags), "it is served, and so guarded"


def test_importing_loads_no_heavy_library_opens_no_connection_and_reads_each_yaml_once_a_file(state):
    models = state / "models"
    for number in range(3):
        declare(models, f"model_{number}")
    seen = witness(models, state)
    assert seen["errors"] == {}
    assert HEAVY & set(seen["modules"]) == set()
    assert seen["connected"] == []
    read = {path: n for path, n in seen["opened"].items() if "/models/" in path}
    assert read == {str(models / f"model_{n}" / "model.yaml"): FILES_THAT_READ_MODELS for n in range(3)}


def test_work_grows_in_step_with_the_number_of_models(state):
    counts = {}
    for n_models in (4, 16):
        models = state / f"of_{n_models}"
        for number in range(n_models):
            declare(models, f"model_{number}")
        seen = witness(models, state)
        n_reads = sum(n for path, n in seen["opened"].items() if path.startswith(str(models)))
        counts[n_models] = (n_reads, seen["n_tasks"] - N_UPKEEP_TASKS)
    assert counts[16] == (4 * counts[4][0], 4 * counts[4][1])


def test_a_task_parses_the_dag_of_its_own_model_only(models_dir, parse, monkeypatch):
    from airflow.sdk.definitions.context import _AIRFLOW_PARSING_CONTEXT_DAG_ID as OF_THE_TASK

    declare(models_dir, "wanted")
    declare(models_dir, "other")
    (models_dir / "broken").mkdir()
    (models_dir / "broken" / "model.yaml").write_text("model: [")
    monkeypatch.setenv(OF_THE_TASK, "wanted__monitor")
    bag = parse()
    assert "wanted__monitor" in bag.dags
    assert not any(name.startswith("other") for name in bag.dags)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ({"task": "guess"}, ["task = 'guess'"]),
        ({"owner": "cellar\nsurprise: 1"}, ["surprise"]),
        ({"schedule": "{cron: 61 * * * *, start: 2024-01-01T00:00:00Z}"}, ["schedule", "61 * * * *"]),
        ({"model": "another"}, ["another", "must be the folder's name"]),
    ],
)
def test_a_broken_model_is_reported_with_file_key_and_value_and_the_others_go_on(models_dir, parse, line, said):
    declare(models_dir, "sound")
    path = declare(models_dir, "broken", **line)
    bag = parse()
    assert {f"sound__{kind}" for kind in KINDS} <= set(bag.dags)
    assert not any(name.startswith("broken__") for name in bag.dags)
    assert list(bag.import_errors) == ["broken_models.py"]
    for words in (str(path), *said):
        assert words in bag.import_errors["broken_models.py"]


def test_a_folder_of_models_that_is_not_there_is_reported(models_dir, parse):
    models_dir.rmdir()
    bag = parse()
    assert "monitor.py" in bag.import_errors
    assert "PERENNIAL_MODELS_DIR" in bag.import_errors["monitor.py"]


def test_what_the_scheduler_stores_of_a_dag_comes_back_the_same(models_dir, parse):
    from airflow.serialization.serialized_objects import DagSerialization

    declare(models_dir, "sound")
    declare(models_dir, "by_cron", schedule='{cron: "0 6 * * *", start: 2024-01-01T00:00:00Z}')
    for dag in (dag for name, dag in parse().dags.items() if name.endswith("__monitor")):
        stored = json.loads(json.dumps(DagSerialization.to_dict(dag)))
        restored = DagSerialization.from_dict(stored)
        assert set(restored.task_dict) == set(dag.task_dict)
        assert type(restored.timetable) is type(dag.timetable)
        assert restored.timetable.serialize() == dag.timetable.serialize()
