"""Runs tasks of ours one after the other as Airflow's task runner does, with its listeners: no scheduler, no database.

``main`` is what a process of its own does: Airflow reads its configuration once. Only the answers of the API server to
a task are ours: that it may run, with which form, and what it and others left.
"""

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote
from uuid import uuid4

import httpx

if TYPE_CHECKING:
    from perennial.settings import Settings

SECRET = "an account's se/cret"  # noqa: S105 - of no account; the address of MLflow holds it

RETURNED = "return_value"


def run_tasks(
    settings: "Settings", home: Path, steps: list[list[Any]], *, form: dict[str, Any] | None = None, **environment: str
) -> dict[str, Any]:
    """Run tasks in a process of its own, in a run with the ``form``; what it printed."""
    from dag_files import ROOT
    from forked import TAKES_ROWS_IN

    home.mkdir()
    (home / "steps.json").write_text(json.dumps({"steps": steps, "form": form}), encoding="utf-8")
    values = {
        "PERENNIAL_DATABASE_URL": settings.require_database_url(),
        "MLFLOW_TRACKING_URI": settings.require_mlflow_uri().replace("://", f"://ada:{quote(SECRET, safe='')}@"),
        "PERENNIAL_HOME": str(settings.home),
        "PERENNIAL_MODELS_DIR": str(settings.models_dir),
        "PYTHONPATH": f"{ROOT / 'include'}:{ROOT / 'tests'}",
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        **environment,
    }
    with (home / "steps.json").open(encoding="utf-8") as given:
        done = subprocess.run(
            [sys.executable, "-c", f"{TAKES_ROWS_IN}from airflow_tasks import main; main()"],
            env={**os.environ, **values},
            stdin=given,
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    """Run the steps that stdin names, each ``[module, task, arguments]``, an argument ``{"of": task}`` for what a task
    before it returned; print how each ended, what it returned, where its links lead, and which modules there are.
    A module that ends in ``.py`` is a DAG file over one model, whose task has its arguments there."""
    from airflow.sdk.api.client import Client
    from airflow.sdk.api.datamodels._generated import TaskInstance
    from airflow.sdk.execution_time.supervisor import run_task_in_process

    left: dict[str, dict[str, Any]] = {}
    order = json.load(sys.stdin)
    client = Client(
        base_url="http://127.0.0.1",
        token="",
        transport=httpx.MockTransport(lambda ask: _answer(ask, left, order["form"])),
    )
    states, links = {}, {}
    for module, name, arguments in order["steps"]:
        given = [left[one["of"]][RETURNED] if isinstance(one, dict) and "of" in one else one for one in arguments]
        task = _task_in(module, name) if module.endswith(".py") else _task_of(module, name, given)
        what = TaskInstance(
            id=uuid4(), task_id=name, dag_id=task.dag_id, run_id="r", try_number=1, dag_version_id=uuid4()
        )
        done = run_task_in_process(what, task, client=client)
        states[name] = done.state.value
        links[name] = {link.name: left.get(name, {}).get(link.xcom_key) for link in task.operator_extra_links}
    returned = {name: values[RETURNED] for name, values in left.items() if RETURNED in values}
    found = {"states": states, "returned": returned, "links": links, "modules": sorted(sys.modules)}
    sys.stdout.write("\n" + json.dumps(found))


def _task_of(module: str, name: str, given: list[Any]) -> Any:
    from airflow.sdk import DAG

    with DAG("of_this_test", start_date=datetime(2013, 1, 1, tzinfo=UTC)) as dag:
        getattr(import_module(f"perennial.orchestration.tasks.{module}"), name)(*given)
    return dag.get_task(name)


def _task_in(file: str, name: str) -> Any:
    from airflow.dag_processing.dagbag import DagBag

    from dag_files import ROOT

    folder = ROOT / "dags"
    (dag,) = DagBag(dag_folder=str(folder / file), bundle_path=folder, bundle_name="dags").dags.values()
    return dag.get_task(name)


def _answer(asked: httpx.Request, left: dict[str, dict[str, Any]], form: dict[str, Any] | None) -> httpx.Response:
    parts = asked.url.path.split("/")
    if parts[1] == "xcoms":
        of_task = left.setdefault(parts[-2], {})
        if asked.method == "POST":
            of_task[parts[-1]] = json.loads(asked.content)
        elif asked.method == "GET":
            return httpx.Response(200, json={"key": parts[-1], "value": of_task.get(parts[-1])})
    if parts[-1] != "run":
        return httpx.Response(200, json={"ok": True})
    at = "2013-01-01T00:00:00Z"
    run = dict.fromkeys(("data_interval_start", "data_interval_end", "end_date", "partition_key"))
    run |= {"dag_id": "of_this_test", "run_id": "r", "run_type": "manual", "state": "running", "conf": form}
    run |= {"logical_date": at, "start_date": at, "run_after": at, "consumed_asset_events": []}
    return httpx.Response(200, json={"dag_run": run, "max_tries": 0, "should_retry": False})
