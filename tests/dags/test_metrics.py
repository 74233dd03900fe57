"""``/perennial/metrics`` over Airflow's own tables: for whoever says the token, with how long tasks wait."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from perennial.orchestration.console import metrics
from perennial.store import Store

TOKEN = "t0ken-of-prometheus"  # noqa: S105 - of this test
SAYS_IT = {"Authorization": f"Bearer {TOKEN}"}
NOW = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)


@pytest.fixture
def client(
    airflow_login: Any, store: Store, database_url: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[TestClient]:
    monkeypatch.setenv("PERENNIAL_DATABASE_URL", database_url)
    monkeypatch.setenv("PERENNIAL_HOME", str(home))
    pages = metrics.Pages()
    monkeypatch.setattr(metrics, "_pages", lambda: pages)
    app = FastAPI()
    app.include_router(metrics.router)
    with TestClient(app) as one:
        yield one


def test_nobody_reads_metrics_without_the_token(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    assert client.get("/metrics").status_code == 404
    assert client.get("/metrics", headers={"Authorization": "Bearer None"}).status_code == 404
    monkeypatch.setenv("PERENNIAL_METRICS_TOKEN", TOKEN)
    for wrong in ({}, {"Authorization": TOKEN}, {"Authorization": "Bearer t0ken"}, {"Authorization": "Bearer é"}):
        answer = client.get("/metrics", headers={name: value.encode() for name, value in wrong.items()})
        assert answer.status_code == 403
        assert TOKEN not in answer.text
    answer = client.get("/metrics", headers=SAYS_IT)
    assert answer.status_code == 200
    assert 'perennial_champion_info{model="flight_delay",stable="none",version="none"} 1.0' in answer.text
    assert "\nperennial_memory_available_bytes " in answer.text


def test_a_store_that_is_away_is_said_without_its_password(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERENNIAL_METRICS_TOKEN", TOKEN)
    monkeypatch.setenv("PERENNIAL_DATABASE_URL", "postgresql://u:s3cret@127.0.0.1:1/none")
    answer = client.get("/metrics", headers=SAYS_IT)
    assert answer.status_code == 503
    assert "s3cret" not in answer.text


def test_an_airflow_whose_database_does_not_answer_has_no_queue_of_nothing(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow import settings
    from airflow.models.pool import Pool

    monkeypatch.setenv("PERENNIAL_METRICS_TOKEN", TOKEN)
    Pool.__table__.drop(settings.engine)
    try:
        answer = client.get("/metrics", headers=SAYS_IT)
    finally:
        Pool.__table__.create(settings.engine)
    assert (answer.status_code, "Airflow's database" in answer.text) == (503, True)


@pytest.fixture
def tasks(airflow_login: Any) -> Iterator[None]:
    """Tasks of two pools in every state, and a third pool in which nothing is."""
    from airflow.models.dagrun import DagRun
    from airflow.models.pool import Pool
    from airflow.models.taskinstance import TaskInstance
    from airflow.utils.session import create_session
    from sqlalchemy import insert

    def task(pool: str, state: str, scheduled_s: int | None, queued_s: int | None = None) -> dict[str, Any]:
        moments = [None if ago is None else NOW - timedelta(seconds=ago) for ago in (scheduled_s, queued_s)]
        return {"id": uuid4(), "task_id": str(uuid4()), "dag_id": "of_test_metrics", "run_id": "r", "pool": pool,
                "state": state, "scheduled_dttm": moments[0], "queued_dttm": moments[1]}  # fmt: skip

    rows = [
        task("crowded", "scheduled", 30), task("crowded", "queued", 700, 20), task("crowded", "queued", None, 40),
        task("crowded", "running", 9000, 9000), task("crowded", "deferred", 9000), task("crowded", "success", 9000),
        task("busy", "running", 9000), task("busy", "running", 800),
    ]  # fmt: skip
    with create_session(scoped=False) as session:
        session.add(DagRun(dag_id="of_test_metrics", run_id="r", run_type="manual", run_after=NOW))
        session.flush()
        session.add_all(Pool(pool=name, slots=1, include_deferred=False) for name in ("busy", "idle"))
        session.execute(insert(TaskInstance), rows)
    yield
    with create_session(scoped=False) as session:
        for of_run in (TaskInstance, DagRun):
            session.query(of_run).filter(of_run.dag_id == "of_test_metrics").delete()
        session.query(Pool).filter(Pool.pool.in_(("busy", "idle"))).delete()


@pytest.mark.usefixtures("tasks")
def test_a_pool_says_what_waits_and_runs_and_for_how_long_the_first_has_waited() -> None:
    from perennial.orchestration.console.airflow_state import pools

    found = {one.pool: (one.n_waiting, one.n_running, one.waited_s) for one in pools(NOW)}
    mine = {name: found[name] for name in ("busy", "crowded", "idle")}
    assert mine == {"busy": (0, 2, 0.0), "crowded": (3, 1, 700.0), "idle": (0, 0, 0.0)}
