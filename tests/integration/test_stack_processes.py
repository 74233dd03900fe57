"""Up and down of real processes: PostgreSQL and the MLflow server. Airflow's own start belongs to tests/e2e."""

import json
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, fields, replace
from io import StringIO
from pathlib import Path

import httpx
import psutil
import pytest
from rich.console import Console
from typer.testing import CliRunner

import stack
from perennial.cli import app
from perennial.config import load_model
from perennial.contracts.tags import CHAMPION
from perennial.errors import StackError
from perennial.recipes import boosting
from perennial.registry import Registry, set_alias
from servers import free_port, listeners, logged_in, temporary_stack
from serving import fitted, registered
from stack import Ports, StackLayout, processes
from stack.credentials import LATER, load
from stack.environment import ADMIN, PIPELINE, REVIEWER, database_url
from stack.layout import LOOPBACK, require_free_ports
from stack.leftovers import find_leftovers
from stack.postgres import postmaster
from stack.serving.services import SERVING, services_of
from stack.supervision import pid_file, socket_file

pytestmark = pytest.mark.xdist_group("stack")  # each starts servers of its own

WITHOUT_AIRFLOW = ("postgres", "mlflow")
MODELS, SERVED = Path(__file__).parents[1] / "models", "wine_cultivar"


@pytest.fixture
def layout() -> Iterator[StackLayout]:
    with temporary_stack() as made:
        yield made
        stack.purge(made.home)
        assert not _alive(made)


def _alive(layout: StackLayout) -> list[str]:
    found = [*find_leftovers(layout), postmaster(layout.postgres / "data")]
    return [str(process) for process in found if process is not None]


def _supervisord(layout: StackLayout) -> psutil.Process:
    return psutil.Process(int(pid_file(layout).read_text()))


@pytest.mark.parametrize(("component", "setting"), [("mlflow", "PERENNIAL_MLFLOW_PORT"), ("airflow", "AIRFLOW_PORT")])
def test_port_in_use_names_port_and_setting(component: str, setting: str) -> None:
    with socket.socket() as other:
        other.bind((LOOPBACK, 0))
        other.listen()
        port = other.getsockname()[1]
        ports = Ports(**{"airflow": free_port(), "mlflow": free_port(), "postgres": free_port(), component: port})
        with pytest.raises(StackError, match=rf"port {port} .* for {component}, is already in use.*{setting}"):
            require_free_ports(ports)


def test_a_port_that_two_components_want_is_named_with_its_setting() -> None:
    ports = Ports(airflow=free_port(), mlflow=free_port(), postgres=free_port())
    services = services_of(("a", "b"), address=LOOPBACK, first_port=ports.mlflow - 1)
    with pytest.raises(StackError, match=rf"port {ports.mlflow} .* mlflow and for serving-b: .*SERVING_PORT"):
        require_free_ports(ports, services=services)


def _assert_private(layout: StackLayout) -> None:
    """No secret on a command line or in a file that others can read."""
    for file in (layout.credentials_file, layout.env_file, layout.run / "supervisord.conf", socket_file(layout)):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file
    credentials = load(layout.credentials_file)
    secrets = [getattr(credentials, item.name) for item in fields(credentials) if item.name != "state_id"]
    for process in find_leftovers(layout):
        assert not [secret for secret in secrets if secret in " ".join(process.cmdline())], process
    for log in layout.logs.iterdir():
        assert not [secret for secret in secrets if secret in log.read_text()], log
    address = socket.create_connection((LOOPBACK, layout.ports.mlflow))
    address.close()


def test_killed_supervisord_leaves_nothing_after_down(layout: StackLayout) -> None:
    stack.up(layout, components=("postgres",))
    _supervisord(layout).kill()
    assert _alive(layout)
    assert stack.down(layout.home)
    assert not _alive(layout)


def test_up_after_killed_supervisord_ends_the_orphans_first(layout: StackLayout) -> None:
    stack.up(layout, components=("postgres",))
    orphan = postmaster(layout.postgres / "data")
    assert orphan is not None
    _supervisord(layout).kill()
    said: list[str] = []
    assert not stack.up(layout, components=("postgres",), progress=said.append).already_running
    assert any("leftover" in line for line in said)
    assert not orphan.is_running()


def test_crashed_component_is_restarted(layout: StackLayout) -> None:
    stack.up(layout, components=("postgres",))
    before = postmaster(layout.postgres / "data")
    assert before is not None
    before.send_signal(signal.SIGQUIT)
    before.wait(30)
    stack.up(layout, components=("postgres",))
    after = postmaster(layout.postgres / "data")
    assert after is not None
    assert after.pid != before.pid


def test_component_that_cannot_start_is_named_with_its_log(
    layout: StackLayout, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = processes.commands
    broken = ("python", "-c", "print('no such luck'); raise SystemExit(3)")
    monkeypatch.setattr(processes, "commands", lambda site: {**table(site), "mlflow": broken})
    with pytest.raises(StackError, match=r"(?s)mlflow ended right after its start.*mlflow\.log.*no such luck"):
        stack.up(layout, components=WITHOUT_AIRFLOW)
    assert not _alive(layout)


def test_two_commands_at_once_are_refused(layout: StackLayout) -> None:
    layout.prepare()
    with processes._only_one(layout), pytest.raises(StackError, match="another `up` or `down` is at work"):
        stack.up(layout, components=("postgres",))


def test_deep_state_folder_gets_a_short_socket() -> None:
    with temporary_stack(f"{'d' * 60}/{'e' * 60}") as layout:
        stack.up(layout, components=("postgres",))
        socket_folder = socket_file(layout).parent
        assert layout.home not in socket_folder.parents
        assert stat.S_IMODE(socket_folder.stat().st_mode) == 0o700
        assert stack.down(layout.home) == ["postgres"]
        socket_folder.rmdir()


EARLIER = ("earlier_experiment", "earlier_model")
# What an MLflow server without a login keeps, written as it writes; in a process of its own, for MLflow's tables warn.
KEEP = """
import sys
from mlflow.store.model_registry.sqlalchemy_store import SqlAlchemyStore as Models
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore as Tracking
url, artifacts, experiment, model = sys.argv[1:]
made = Tracking(url, artifacts).create_experiment(experiment)
models = Models(url)
models.create_registered_model(model)
models.create_model_version(model, source=f"mlflow-artifacts:/{made}/a")
models.set_registered_model_alias(model, "challenger", "1")
"""


def _make_state_of_an_earlier_release(layout: StackLayout) -> str:
    """What a stack without a login left behind: credentials without MLflow's accounts, and what MLflow held.

    Returns the password of MLflow's database, which is in use since then.
    """
    stack.up(layout, components=("postgres",))
    credentials = load(layout.credentials_file)
    url = database_url(layout.site(), "mlflow", credentials.mlflow_db_password)
    artifacts = (layout.mlflow / "artifacts").as_uri()
    subprocess.run([sys.executable, "-c", KEEP, url, artifacts, *EARLIER], check=True)
    stack.down(layout.home)
    kept = {name: value for name, value in asdict(credentials).items() if name not in LATER}
    layout.credentials_file.write_text(json.dumps(kept))
    with pytest.raises(StackError, match=r"of an earlier release and lack mlflow_admin_password.* the data stays"):
        load(layout.credentials_file)
    return credentials.mlflow_db_password


@pytest.fixture(scope="module")
def running() -> Iterator[StackLayout]:
    """A stack over an earlier one's state, up for all tests that only look at it; the last of them brings it down."""
    with temporary_stack() as layout, pytest.MonkeyPatch.context() as environment:
        environment.setenv("PERENNIAL_MODELS_DIR", str(MODELS))
        password = _make_state_of_an_earlier_release(layout)
        made = replace(layout, served=(SERVED,))
        first = stack.up(made, components=WITHOUT_AIRFLOW)
        assert not first.already_running
        assert httpx.get(f"{first.mlflow_url}/health").status_code == 200
        assert load(made.credentials_file).mlflow_db_password == password
        yield made


def mlflow_as(account: str, layout: StackLayout) -> httpx.Client:
    password = getattr(load(layout.credentials_file), f"mlflow_{account}_password")
    return httpx.Client(base_url=layout.site().mlflow_url, auth=(account, password))


def test_what_mlflow_held_before_it_asked_for_a_login_belongs_to_its_accounts(running: StackLayout) -> None:
    experiment, model = EARLIER
    api, version = "/api/2.0/mlflow", {"name": model, "version": "1"}
    assert httpx.get(f"{running.site().mlflow_url}{api}/users/current").status_code == 401
    with mlflow_as(PIPELINE, running) as pipeline, mlflow_as(REVIEWER, running) as reviewer:
        tag = {**version, "key": "signoff", "value": "approved"}
        reviewer.post(f"{api}/model-versions/set-tag", json=tag).raise_for_status()
        challenger = {"name": model, "alias": "challenger"}
        assert reviewer.request("DELETE", f"{api}/registered-models/alias", json=challenger).status_code == 403
        pipeline.request("DELETE", f"{api}/registered-models/alias", json=challenger).raise_for_status()
        found = pipeline.get(f"{api}/experiments/get-by-name", params={"experiment_name": experiment})
        run = {"experiment_id": found.raise_for_status().json()["experiment"]["experiment_id"]}
        pipeline.post(f"{api}/runs/create", json=run).raise_for_status()
        assert reviewer.post(f"{api}/runs/create", json=run).status_code == 403
    told = running.env_file.read_text().splitlines()
    assert f"MLFLOW_TRACKING_USERNAME={PIPELINE}" in told
    assert f"MLFLOW_TRACKING_PASSWORD={load(running.credentials_file).mlflow_pipeline_password}" in told


def test_servers_listen_on_loopback_only(running: StackLayout) -> None:
    listening, foreign = listeners(running)
    ports = {running.ports.mlflow, running.ports.postgres, running.ports.serving}
    assert ports <= {address.port for address in listening}
    assert foreign == []


def test_a_service_starts_without_a_champion_and_follows_the_first_one(running: StackLayout) -> None:
    (service,) = running.services
    with httpx.Client(base_url=service.url, timeout=30) as client:

        def until(what: Callable[[], bool]) -> None:
            end = time.monotonic() + 60
            while not what():
                assert time.monotonic() < end, running.log_of(service.component).read_text()[-3000:]
                time.sleep(0.05)

        assert client.get("/healthz").status_code == 200
        nobody = {"no_champion_loaded": "no version is champion"}
        until(lambda: client.get("/readyz").json()["problems"] == nobody)
        assert client.get("/readyz").status_code == 503
        config, registry = load_model(MODELS / SERVED), Registry(running.site().mlflow_url)
        with logged_in(PIPELINE, load(running.credentials_file).mlflow_pipeline_password):
            version = registered(config, registry, fitted(config, boosting("multiclass", seed=0, max_iter=2)))
            set_alias(registry, SERVED, CHAMPION, version)
        until(lambda: client.get("/model").json()["version"] == version)
        assert client.get("/readyz").status_code == 200
    with mlflow_as(SERVING, running) as reader:  # the account that the service has
        api = "/api/2.0/mlflow"
        moved = {"name": SERVED, "alias": CHAMPION, "version": version}
        assert reader.post(f"{api}/registered-models/alias", json=moved).status_code == 403
        tag = {"name": SERVED, "version": version, "key": "signoff", "value": "approved"}
        assert reader.post(f"{api}/model-versions/set-tag", json=tag).status_code == 403


def test_what_supervised_processes_write_is_for_us_alone(running: StackLayout) -> None:
    url = f"{running.site().mlflow_url}/api/2.0/mlflow-artifacts/artifacts/a/weights.skops"
    with mlflow_as(ADMIN, running) as admin:
        admin.put(url, content=b"weights").raise_for_status()
    (artifact,) = running.mlflow.rglob("weights.skops")
    logs = [running.log_of("mlflow"), running.log_of("postgres")]
    written = [artifact, artifact.parent, *logs, running.postgres / "data" / "PG_VERSION"]
    assert {file.name: oct(file.lstat().st_mode & 0o077) for file in written if file.lstat().st_mode & 0o077} == {}


def test_up_without_airflow_starts_no_scheduler_and_names_none(
    running: StackLayout, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PostgreSQL and MLflow run already: nothing is left to be started."""
    monkeypatch.setenv("PERENNIAL_HOME", str(running.home))
    monkeypatch.setattr("perennial.cli.acting.out", Console(width=200, file=(told := StringIO())))
    done = CliRunner().invoke(app, ["up", "--without-airflow"])
    assert done.exit_code == 0, done.output
    said = told.getvalue()
    assert "the stack is already running" in said.splitlines()
    assert f"{running.site().mlflow_url} " in said
    assert f"{REVIEWER} / {load(running.credentials_file).mlflow_reviewer_password}" in said
    assert "Airflow" not in said
    assert not [word for process in find_leftovers(running) for word in process.cmdline() if "airflow" in word.lower()]


def test_up_is_idempotent_and_down_leaves_no_process(running: StackLayout) -> None:
    _assert_private(running)

    said: list[str] = []
    again = stack.up(running, components=WITHOUT_AIRFLOW, progress=said.append)
    assert again.already_running
    assert said == ["the stack is already running"]
    moved = StackLayout(home=running.home, ports=Ports(airflow=1, mlflow=2, postgres=3, serving=4))
    other = stack.up(moved, components=WITHOUT_AIRFLOW, progress=said.append)
    assert other.mlflow_url == again.mlflow_url == running.site().mlflow_url
    assert other.services == again.services == running.services
    assert said[1].startswith("models served since the start: wine_cultivar; wanted now: none")

    assert stack.down(running.home) == ["mlflow", "postgres", "serving-wine-cultivar"]
    assert not _alive(running)
    assert not running.env_file.exists()
    assert stack.down(running.home) == []
