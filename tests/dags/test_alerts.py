"""The webhook of Alertmanager: who is heard, what is read, and how an alert of a real Prometheus becomes a run."""

import asyncio
import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from threading import Thread
from typing import Any

import httpx
import pytest
import yaml

from demo.airflow import wait_for
from logs import day
from observers import tool
from perennial import ledger
from perennial.config import ModelConfig
from perennial.contracts import Interval, Signal
from perennial.settings import ROOT
from perennial.store import Store
from perennial.store.signals import save
from servers import free_port

TOKEN, METRICS = "t0ken-of-alertmanager", "t0ken-of-prometheus"
FOLDER = ROOT / "include" / "observability"
Asked = Callable[..., httpx.Response]


def alert(model: str, *, name: str = "PerennialDrift", status: str = "firing", **other: Any) -> dict[str, Any]:
    labels = {"alertname": name, "model": model, "severity": "warning"}
    found = {"status": status, "labels": labels, "annotations": {}, "startsAt": "2026-01-05T12:00:00.1Z",
             "endsAt": "0001-01-01T00:00:00Z", "generatorURL": "", "fingerprint": "0123456789abcdef"}  # fmt: skip
    return {**found, **other}


def post(*alerts: dict[str, Any], **other: Any) -> bytes:
    return json.dumps({"version": "4", "receiver": "perennial", "alerts": alerts, **other}).encode()


@pytest.fixture
def console(wine: ModelConfig, store: Store, models_dir: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The application of the console over the store of this test."""
    from perennial.orchestration.console import answering, metrics
    from perennial.orchestration.console.app import app

    given = {"PERENNIAL_MODELS_DIR": str(models_dir), "PERENNIAL_HOME": str(home), "PERENNIAL_ALERTS_TOKEN": TOKEN,
             "PERENNIAL_METRICS_TOKEN": METRICS,
             "PERENNIAL_DATABASE_URL": store.engine.url.render_as_string(hide_password=False)}  # fmt: skip
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(answering, "store", lambda: store)
    monkeypatch.setattr("perennial.orchestration.console.alerts.store", lambda: store)
    monkeypatch.setattr(metrics, "_store", lambda *_: store)
    pages = metrics.Pages()
    monkeypatch.setattr(metrics, "_pages", lambda: pages)
    monkeypatch.setattr(metrics, "KEPT_FOR", metrics.KEPT_FOR * 0)
    return app


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str, Any]]:
    """What was started, in place of Airflow."""
    found: list[tuple[str, str, Any]] = []
    monkeypatch.setattr(
        "perennial.orchestration.console.starting.trigger_dag",
        lambda dag_id, *, run_id, conf, **_: found.append((dag_id, run_id, conf)),
    )
    return found


@pytest.fixture
def ask(console: Any, airflow_login: Any) -> Asked:
    """A post to the route."""

    def asked(content: Any, token: str | None = f"Bearer {TOKEN}") -> httpx.Response:
        async def answer() -> httpx.Response:
            headers = {"authorization": token.encode()} if token is not None else {}
            async with httpx.AsyncClient(transport=httpx.ASGITransport(console), base_url="http://airflow") as client:
                return await client.post("/alerts", content=content, headers=headers)

        return asyncio.run(answer())

    return asked


def said(answer: httpx.Response) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [one["said"] for one in answer.json()["alerts"]]


def test_nobody_is_heard_without_the_token(
    ask: Asked, wine: ModelConfig, store: Store, started: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    body = post(alert(wine.model))
    for wrong in (None, "", TOKEN, f"Bearer {METRICS}", f"Bearer {TOKEN}x", f"bearer {TOKEN}", "Bearer é"):
        answer = ask(body, wrong)
        assert answer.status_code == 403
        assert TOKEN not in answer.text
    assert ask(b"x" * 99, "Bearer wrong").status_code == 403, "a stranger's post is not read"
    for unset in ("", " "):
        monkeypatch.setenv("PERENNIAL_ALERTS_TOKEN", unset)
        assert {ask(body, told).status_code for told in (None, "Bearer", "Bearer ", f"Bearer {TOKEN}")} == {404}
    monkeypatch.delenv("PERENNIAL_ALERTS_TOKEN")
    assert ask(body).status_code == ask(body, "Bearer None").status_code == 404
    assert (started, ledger.entries(store, wine.model, kinds=["alert"])) == ([], ())


def test_what_is_no_post_of_alertmanagers_is_given_up_with_a_word(
    ask: Asked, wine: ModelConfig, started: list[Any]
) -> None:
    good = alert(wine.model)
    for wrong in (
        b"", b"[]", b"{", post(good, version="3"), post({**good, "status": "burning"}),
        post({**good, "startsAt": "now"}),
        post({**good, "startsAt": "2026-01-05T12:00:00"}), post({**good, "fingerprint": "../../x"}),
        post({**good, "labels": {"model": 3}}), post(*[good] * 201), post({**good, "labels": {"a": "x" * 2001}}),
    ):  # fmt: skip
        answer = ask(wrong)
        assert (answer.status_code, "no post of Alertmanager" in answer.text) == (400, True), wrong[:80]
        assert len(answer.text) < 600
    from perennial.orchestration.console.alerts import LARGEST

    async def unending() -> Any:
        for _ in range(40):
            yield b" " * (LARGEST // 20)

    assert ask(unending()).status_code == 413
    assert started == []


def test_each_alert_of_a_post_has_its_word(ask: Asked, wine: ModelConfig, started: list[Any]) -> None:
    mine = alert(wine.model)
    others = [
        alert("another"), alert(wine.model, name="PerennialHalted"), alert(wine.model, status="resolved"),
        {**mine, "labels": {}},
    ]  # fmt: skip
    told = said(ask(post(*others)))
    assert told[0] == "there is no model 'another', or its model.yaml is wrong"
    assert "names nothing" in told[1]
    assert told[2] == "resolved: nothing is started"
    assert told[3].startswith("there is no model '',")
    assert started == []
    for _ in range(2):
        (word,) = said(ask(post(mine)))
        assert "monitor started by the alert PerennialDrift" in word
    (first, second) = started
    assert first == second, "which is one run for Airflow"
    assert first[0] == f"{wine.model}__monitor"
    assert first[2] == {"window_start": "2024-02-29T00:00:00+00:00", "window_end": "2024-03-01T00:00:00+00:00"}


def test_what_does_not_answer_is_asked_again(
    ask: Asked, wine: ModelConfig, monkeypatch: pytest.MonkeyPatch, store: Store
) -> None:
    from perennial.errors import StoreUnavailable

    def gone() -> Any:
        raise StoreUnavailable("postgresql://u:s3cret@h/d is away")

    unknown = ask(post(alert(wine.model)))
    assert (unknown.status_code, "does not know" in unknown.text) == (503, True), "before the DAG processor was there"
    monkeypatch.setattr("perennial.orchestration.console.alerts.store", gone)
    answer = ask(post(alert(wine.model)))
    assert answer.status_code == 503
    assert "s3cret" not in answer.text


@contextmanager
def served(app: Any) -> Iterator[int]:
    """The console under its prefix, on a port of loopback."""
    import uvicorn
    from fastapi import FastAPI

    port = free_port()
    outer = FastAPI()
    outer.mount("/perennial", app)
    server = uvicorn.Server(uvicorn.Config(outer, host="127.0.0.1", port=port, log_level="warning"))
    thread = Thread(target=server.run)
    thread.start()
    try:
        wait_for(lambda: server.started, "the console", deadline_s=20)
        yield port
    finally:
        server.should_exit = True
        thread.join(timeout=20)


@contextmanager
def running(*command: str, log: Path) -> Iterator[None]:
    """A process of this test's own, which is gone afterwards."""
    with log.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, start_new_session=True)
    try:
        yield
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(timeout=10)


def configured(folder: Path, *, airflow: int, alertmanager: int) -> None:
    """include/observability as it is, but for addresses, the places of tokens, and how long everything waits."""
    for name, token in (("metrics_token", METRICS), ("alerts_token", TOKEN), ("serving_key", "none")):
        (folder / name).write_text(token)
    (folder / "rules").mkdir()
    addresses = {
        "airflow-api-server:8080": f"127.0.0.1:{airflow}",
        "alertmanager:9093": f"127.0.0.1:{alertmanager}",
        "/run/secrets": str(folder),
    }
    waits = {"30s": "300ms", "20s": "300ms", "10s": "200ms", "5m": "1s", "1m": "1s"}
    for path in (FOLDER / "prometheus.yml", FOLDER / "alertmanager.yml", *(FOLDER / "rules").glob("*.yml")):
        text = path.read_text(encoding="utf-8")
        for old, new in addresses.items():
            text = text.replace(old, new)
        found = yaml.safe_load(text)
        if path.parent == FOLDER:
            found = json.loads(
                json.dumps(found),
                object_hook=lambda part: {k: waits.get(v, v) if isinstance(v, str) else v for k, v in part.items()},
            )
        (folder / path.relative_to(FOLDER)).write_text(yaml.safe_dump(found), encoding="utf-8")


def drift(config: ModelConfig, status: Any) -> Signal:
    interval = Interval(low=0.2, high=0.4, standard_error=0.02, n_rows=300, n_blocks=12, confidence=0.95)
    return Signal(
        model=config.model, window=day(5), as_of=day(5).end, name="drift/hue", role="alert", status=status,
        value=0.3, threshold=0.2 if status == "breached" else 0.5, version="2", interval=interval,
    )  # fmt: skip


def runs_of(dag_id: str) -> list[Any]:
    """The runs that stand in Airflow's own database."""
    from airflow.models.dagrun import DagRun
    from airflow.utils.session import create_session
    from sqlalchemy import select

    with create_session(scoped=False) as session:
        return list(session.execute(select(DagRun.run_id, DagRun.conf, DagRun.state).where(DagRun.dag_id == dag_id)))


def test_a_metric_crosses_its_bound_and_a_run_stands_in_airflow(
    console: Any,
    airflow_login: Any,
    wine: ModelConfig,
    store: Store,
    parse: Any,
    tmp_path: Path,
) -> None:
    """Prometheus and Alertmanager of Debian, Airflow's own tables, the configuration of the repository."""
    from airflow.dag_processing.dagbag import sync_bag_to_db
    from airflow.models.dagbundle import DagBundleModel
    from airflow.utils.db import synchronize_log_template
    from airflow.utils.session import create_session

    prometheus, alertmanager = tool("prometheus"), tool("prometheus-alertmanager")
    synchronize_log_template()
    with create_session(scoped=False) as session:
        session.merge(DagBundleModel(name="dags", version=None))
    sync_bag_to_db(parse(), "dags", None)
    ports = {name: free_port() for name in ("prometheus", "alertmanager")}
    dag_id = f"{wine.model}__monitor"
    save(store, [drift(wine, "ok")])
    with served(console) as airflow:
        configured(tmp_path, airflow=airflow, alertmanager=ports["alertmanager"])
        asked = f"http://127.0.0.1:{ports['prometheus']}/api/v1"

        def standing() -> str:
            """What Prometheus, which has the figure, makes of the alert; empty before it has looked."""
            query = {"query": f'perennial_signal_breached{{model="{wine.model}"}}'}
            try:
                seen = httpx.get(f"{asked}/query", params=query).json()["data"]["result"]
                groups = httpx.get(f"{asked}/rules").json()["data"]["groups"]
            except httpx.HTTPError:
                return ""
            rules = [rule for group in groups for rule in group["rules"] if rule["name"] == "PerennialDrift"]
            return rules[0]["state"] if seen and rules[0]["health"] == "ok" else ""

        with (
            running(alertmanager, f"--config.file={tmp_path}/alertmanager.yml", f"--storage.path={tmp_path}/am",
                    f"--web.listen-address=127.0.0.1:{ports['alertmanager']}", "--cluster.listen-address=",
                    log=tmp_path / "alertmanager.log"),
            running(prometheus, f"--config.file={tmp_path}/prometheus.yml", f"--storage.tsdb.path={tmp_path}/prom",
                    f"--web.listen-address=127.0.0.1:{ports['prometheus']}", log=tmp_path / "prometheus.log"),
        ):  # fmt: skip
            wait_for(lambda: standing() == "inactive", "the figure in Prometheus", deadline_s=30)
            assert runs_of(dag_id) == []
            save(store, [replace(drift(wine, "breached"), as_of=day(6).end, window=day(6))])
            wait_for(lambda: bool(runs_of(dag_id)), f"a run of {dag_id}; {tmp_path}/alertmanager.log", deadline_s=30)
    (run,) = runs_of(dag_id)
    (entry,) = ledger.entries(store, wine.model, kinds=["alert"])
    assert (run.run_id, run.conf, run.state) == (entry.payload["run_id"], entry.payload["conf"], "queued")
    assert entry.payload["alertname"] == "PerennialDrift"
