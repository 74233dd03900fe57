"""The few calls of Airflow's REST API that the replay needs."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httpx

from perennial.errors import StackError

CREATED, EXISTS_ALREADY = (200, 201), 409
FINISHED = frozenset({"success", "failed"})
POLL_S = 0.5


@dataclass(frozen=True, slots=True)
class Airflow:
    """A session of a user who may trigger DAGs."""

    http: httpx.Client

    @classmethod
    def login(cls, url: str, user: str, password: str) -> "Airflow":
        """Exchange a password for a token. Raises StackError when Airflow refuses it."""
        answer = httpx.post(f"{url}/auth/token", json={"username": user, "password": password}, timeout=30)
        if answer.status_code not in CREATED:
            raise StackError(f"Airflow at {url} refused the login of {user} ({answer.status_code})")
        token = answer.json()["access_token"]
        return cls(httpx.Client(base_url=f"{url}/api/v2", headers={"Authorization": f"Bearer {token}"}, timeout=60))

    def unpause(self, dag_id: str, *, deadline_s: float = 120) -> None:
        """Let the scheduler run a DAG, once it has found its file."""

        def found() -> bool:
            return self.http.patch(f"/dags/{dag_id}", json={"is_paused": False}).status_code in CREATED

        wait_for(found, f"Airflow to find the DAG {dag_id}", deadline_s=deadline_s)

    def trigger(self, dag_id: str, run_id: str, conf: dict[str, Any]) -> None:
        """Start a run; one that has been started under this id goes on as it is."""
        answer = self.http.post(
            f"/dags/{dag_id}/dagRuns", json={"dag_run_id": run_id, "logical_date": None, "conf": conf}
        )
        if answer.status_code not in (*CREATED, EXISTS_ALREADY):
            raise StackError(f"Airflow did not start {dag_id} {run_id}: {answer.status_code} {answer.text[:300]}")

    def run_state(self, dag_id: str, run_id: str) -> str:
        """``queued``, ``running``, ``success``, ``failed``, or ``absent``."""
        answer = self.http.get(f"/dags/{dag_id}/dagRuns/{run_id}")
        return str(answer.json()["state"]) if answer.status_code in CREATED else "absent"

    def task_states(self, dag_id: str, run_id: str) -> dict[str, str | None]:
        """The state of every task of a run."""
        answer = self.http.get(f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances", params={"limit": 100})
        return {item["task_id"]: item["state"] for item in answer.raise_for_status().json()["task_instances"]}


def wait_for(condition: Callable[[], bool], what: str, *, deadline_s: float, poll_s: float = POLL_S) -> None:
    """Ask every ``poll_s`` seconds until the condition holds. Raises StackError naming what was waited for."""
    end = time.monotonic() + deadline_s
    while not condition():
        if time.monotonic() > end:
            raise StackError(f"waited {deadline_s:.0f} s in vain for {what}; the logs are below the state folder")
        time.sleep(poll_s)
