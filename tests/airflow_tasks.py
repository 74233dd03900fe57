"""Runs tasks of ours one after the other as Airflow's task runner does, with its listeners: no scheduler, no database.

``main`` is what a process of its own does: Airflow reads its configuration once. Only the answers of the API server to
a task are ours: that it may run, and what others returned.
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
    from perennial.pipeline import Case

SECRET = "an account's se/cret"  # noqa: S105 - of no account; the address of MLflow holds it


def run_tasks(case: "Case", home: Path, steps: list[list[Any]], **environment: str) -> dict[str, Any]:
    """Run tasks in a process of its own; what it printed."""
    from dag_files import ROOT
    from forked import TAKES_ROWS_IN

    home.mkdir()
    (home / "steps.json").write_text(json.dumps(steps), encoding="utf-8")
    values = {
        "PERENNIAL_DATABASE_URL": case.settings.require_database_url(),
        "MLFLOW_TRACKING_URI": case.settings.require_mlflow_uri().replace("://", f"://ada:{quote(SECRET, safe='')}@"),
        "PERENNIAL_HOME": str(case.settings.home),
        "PERENNIAL_MODELS_DIR": str(case.settings.models_dir),
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
    before it returned; print how each ended, what it returned, and which modules there are."""
    from airflow.sdk import DAG
    from airflow.sdk.api.client import Client
    from airflow.sdk.api.datamodels._generated import TaskInstance
    from airflow.sdk.execution_time.supervisor import run_task_in_process

    returned: dict[str, Any] = {}
    client = Client(
        base_url="http://127.0.0.1", token="", transport=httpx.MockTransport(lambda ask: _answer(ask, returned))
    )
    states = {}
    for module, name, arguments in json.load(sys.stdin):
        given = [returned[one["of"]] if isinstance(one, dict) and "of" in one else one for one in arguments]
        with DAG("of_this_test", start_date=datetime(2013, 1, 1, tzinfo=UTC)) as dag:
            getattr(import_module(f"perennial.orchestration.tasks.{module}"), name)(*given)
        what = TaskInstance(
            id=uuid4(), task_id=name, dag_id=dag.dag_id, run_id="r", try_number=1, dag_version_id=uuid4()
        )
        done = run_task_in_process(what, dag.get_task(name), client=client)
        states[name] = done.state.value
    sys.stdout.write("\n" + json.dumps({"states": states, "returned": returned, "modules": sorted(sys.modules)}))


def _answer(asked: httpx.Request, returned: dict[str, Any]) -> httpx.Response:
    parts = asked.url.path.split("/")
    if asked.method == "POST" and parts[1] == "xcoms" and parts[-1] == "return_value":
        returned[parts[-2]] = json.loads(asked.content)
    if parts[-1] != "run":
        return httpx.Response(200, json={"ok": True})
    at = "2013-01-01T00:00:00Z"
    run = dict.fromkeys(("data_interval_start", "data_interval_end", "end_date", "partition_key"))
    run |= {"dag_id": "of_this_test", "run_id": "r", "run_type": "manual", "state": "running"}
    run |= {"logical_date": at, "start_date": at, "run_after": at, "consumed_asset_events": []}
    return httpx.Response(200, json={"dag_run": run, "max_tries": 0, "should_retry": False})
