"""A stack of its own with small models on it: PostgreSQL, MLflow and Airflow with its scheduler."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import func, select

import stack
from dag_files import declare
from demo.airflow import Airflow, wait_for
from perennial import ledger
from perennial.config import ModelConfig
from perennial.contracts import LedgerEntry, Window
from perennial.contracts.tags import AIRFLOW_TAG
from perennial.pipeline import Case, Runtime, open_runtime
from perennial.settings import load_settings
from perennial.store.schema import predictions_table
from stack import StackLayout
from stack.credentials import load
from stack.environment import PIPELINE, REVIEWER

MODEL = "wine_cultivar"
MONITOR, RETRAIN, ROLLBACK = f"{MODEL}__monitor", f"{MODEL}__retrain", f"{MODEL}__rollback"
MAINTENANCE = "perennial__maintenance"
RUN_WITHIN_S = 240


@dataclass(frozen=True, slots=True)
class Loop:
    """A running stack, and the model on it that is looked at."""

    layout: StackLayout
    airflow: Airflow
    mlflow: httpx.Client
    runtime: Runtime
    model: str = MODEL

    def of(self, model: str) -> "Loop":
        """The same stack, looking at another model."""
        return replace(self, model=model)

    @property
    def home(self) -> Path:
        return self.layout.home

    @property
    def config(self) -> ModelConfig:
        return self.runtime.config(self.model)

    @property
    def case(self) -> Case:
        return self.runtime.case(self.model)

    def await_run(self, dag_id: str, run_id: str, *states: str) -> str:
        """Wait until the run is over; returns how it ended, having checked that it is one of ``states``."""
        wait_for(
            lambda: self.airflow.run_state(dag_id, run_id) in ("success", "failed"),
            f"{dag_id} {run_id}, whose tasks are {self.airflow.task_states(dag_id, run_id)}",
            deadline_s=RUN_WITHIN_S,
        )
        ended = self.airflow.run_state(dag_id, run_id)
        assert ended in (states or ("success",)), self.airflow.task_states(dag_id, run_id)
        return ended

    def run(self, dag_id: str, run_id: str, conf: dict[str, Any], *states: str) -> dict[str, str | None]:
        """Trigger a run, wait for its end, and return the states of its tasks."""
        self.airflow.trigger(dag_id, run_id, conf)
        self.await_run(dag_id, run_id, *states)
        return self.airflow.task_states(dag_id, run_id)

    def monitor(self, window: Window, name: str = "by_hand", *states: str) -> dict[str, str | None]:
        """A monitor run of one window, by hand."""
        run_id = self.trigger_monitor(window, name)
        self.await_run(f"{self.model}__monitor", run_id, *states)
        return self.airflow.task_states(f"{self.model}__monitor", run_id)

    def trigger_monitor(self, window: Window, name: str = "by_hand") -> str:
        """Start a monitor run of one window; the id of the run."""
        conf = {"window_start": window.start.isoformat(), "window_end": window.end.isoformat()}
        self.airflow.trigger(f"{self.model}__monitor", run_id := f"{window.key}__{name}", conf)
        return run_id

    def instances(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        """What Airflow knows of every task of a run."""
        answer = self.airflow.http.get(f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances", params={"limit": 100})
        return answer.raise_for_status().json()["task_instances"]

    def tries(self, dag_id: str, run_id: str, task_id: str) -> list[dict[str, Any]]:
        """What Airflow knows of every try of a task, the first one first."""
        answer = self.airflow.http.get(f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/tries")
        return sorted(answer.raise_for_status().json()["task_instances"], key=lambda item: item["try_number"])

    def log(self, dag_id: str, run_id: str, task_id: str, try_number: int = 1) -> str:
        """What a try of a task logged, the first unless given."""
        url = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/logs/{try_number}"
        return self.airflow.http.get(url, params={"full_content": True}).raise_for_status().text

    def told(self, dag_id: str, run_id: str, task_id: str, event: str) -> set[str]:
        """What Airflow's page of a task says under Audit Log of one sort of event, however often it happened."""
        asked = {"dag_id": dag_id, "run_id": run_id, "task_id": task_id, "event": event}
        answer = self.airflow.http.get("/eventLogs", params=asked)
        return {item["extra"] for item in answer.raise_for_status().json()["event_logs"]}

    def mark_success(self, dag_id: str, run_id: str, task_id: str, returned: object) -> None:
        """What whoever may edit runs can do in Airflow: say that a task succeeded, and what it returned."""
        instance = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}"
        self.airflow.http.patch(instance, json={"new_state": "success"}).raise_for_status()
        entry = {"key": "return_value", "value": returned}
        self.airflow.http.post(f"{instance}/xcomEntries", json=entry).raise_for_status()

    def clear(self, dag_id: str, run_id: str, *task_ids: str) -> None:
        """Have tasks of a run that is over run again."""
        order = {"dag_run_id": run_id, "task_ids": task_ids, "dry_run": False, "only_failed": False}
        self.airflow.http.post(f"/dags/{dag_id}/clearTaskInstances", json=order).raise_for_status()

    def entries(self, *kinds: str) -> tuple[LedgerEntry, ...]:
        return ledger.entries(self.runtime.store, self.model, kinds=kinds)

    def n_published(self) -> int:
        with self.runtime.store.begin() as connection:
            return connection.execute(select(func.count()).select_from(predictions_table(self.config))).scalar_one()

    def alias(self, name: str) -> str | None:
        """The version that MLflow itself says the alias is on, to the reviewer; None where there is no model either."""
        answer = self.mlflow.get("registered-models/alias", params={"name": self.model, "alias": name})
        assert answer.status_code != httpx.codes.UNAUTHORIZED
        return answer.json()["model_version"]["version"] if answer.is_success else None

    def made_by(self, version: str) -> str:
        """The page in Airflow of the task that fitted a version, as its run in MLflow names it."""
        asked = {"name": self.model, "version": version}
        made = self.mlflow.get("model-versions/get", params=asked).raise_for_status().json()["model_version"]
        run = self.mlflow.get("runs/get", params={"run_id": made["run_id"]}).raise_for_status().json()["run"]
        return next(tag["value"] for tag in run["data"]["tags"] if tag["key"] == AIRFLOW_TAG)

    def set_tag(self, version: str, key: str, value: str) -> None:
        """What a reviewer does in MLflow's UI."""
        tag = {"name": self.model, "version": version, "key": key, "value": value}
        self.mlflow.post("model-versions/set-tag", json=tag).raise_for_status()


@contextmanager
def running_loop(layout: StackLayout, **replaced: str) -> Iterator[Loop]:
    """Start the stack, which its owner brings down, with one model; ``replaced`` are entries of ``model.yaml``."""
    models = layout.home.with_name("models")
    declare(models, MODEL, **replaced)
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("PERENNIAL_HOME", str(layout.home))
        environment.delenv("OMP_NUM_THREADS", raising=False)  # of parallel workers; tasks have what a user's tasks have
        environment.setenv("PERENNIAL_MODELS_DIR", str(models))
        status = stack.up(layout)
        credentials = load(layout.credentials_file)
        # a test session may have a login of its own, to another MLflow
        environment.setenv("MLFLOW_TRACKING_USERNAME", PIPELINE)
        environment.setenv("MLFLOW_TRACKING_PASSWORD", credentials.mlflow_pipeline_password)
        airflow = Airflow.login(status.airflow_url, "admin", credentials.airflow_admin_password)
        reviewer = (REVIEWER, credentials.mlflow_reviewer_password)
        runtime = open_runtime(load_settings())
        try:
            with httpx.Client(base_url=f"{status.mlflow_url}/api/2.0/mlflow/", timeout=30, auth=reviewer) as mlflow:
                yield Loop(layout, airflow, mlflow, runtime)
        finally:
            runtime.store.close()
            airflow.http.close()
