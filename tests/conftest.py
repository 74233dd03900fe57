"""The real parts that tests talk to: one PostgreSQL and one MLflow server per session, one database per test.

Both can be reused between sessions while developing: PERENNIAL_TEST_POSTGRES is the URL of a server whose user may
create databases, PERENNIAL_TEST_MLFLOW the URI of an MLflow server.
"""

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import httpx
import hypothesis
import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.engine import URL, make_url

from perennial.config import ModelConfig, load_model
from perennial.store import Store, open_store
from perennial.store.migrate import migrate
from perennial.store.schema import ensure_data_tables

# the same examples every time, and no failure because the machine is busy
hypothesis.settings.register_profile("perennial", deadline=None, derandomize=True)
hypothesis.settings.load_profile("perennial")

TEST_MODELS = Path(__file__).parent / "models"


def free_port() -> int:
    """A TCP port on loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[URL]:
    """A running PostgreSQL whose user may create databases."""
    if given := os.environ.get("PERENNIAL_TEST_POSTGRES"):
        yield make_url(given)
        return
    from stack.postgres import temporary_postgres

    with temporary_postgres(tmp_path_factory.mktemp("postgres")) as url:
        yield make_url(url)


def _create_database(server: URL, name: str, template: str = "template1") -> str:
    engine = create_engine(
        server.set(drivername="postgresql+psycopg2", database="postgres"), isolation_level="AUTOCOMMIT"
    )
    with engine.connect() as connection:
        connection.execute(text(f'CREATE DATABASE "{name}" TEMPLATE "{template}"'))
    engine.dispose()
    return server.set(database=name).render_as_string(hide_password=False)


@pytest.fixture(scope="session")
def migrated_template(postgres_server: URL) -> str:
    """The name of a migrated database that is copied for each test."""
    name = f"template_{uuid4().hex[:12]}"
    store = open_store(_create_database(postgres_server, name), "file:///nonexistent")
    migrate(store)
    store.close()
    return name


@pytest.fixture
def database_url(postgres_server: URL, migrated_template: str) -> str:
    """The URL of a fresh, migrated database."""
    return _create_database(postgres_server, f"test_{uuid4().hex[:12]}", migrated_template)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A state folder."""
    return tmp_path / "home"


@pytest.fixture
def store(database_url: str, home: Path) -> Iterator[Store]:
    """A store of its own, migrated and empty."""
    opened = open_store(database_url, (home / "storage").as_uri())
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def mlflow_uri(postgres_server: URL, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A running MLflow server on PostgreSQL with proxied artifacts, as the local stack runs it."""
    if given := os.environ.get("PERENNIAL_TEST_MLFLOW"):
        yield given
        return
    folder = tmp_path_factory.mktemp("mlflow")
    url = make_url(_create_database(postgres_server, f"mlflow_{uuid4().hex[:12]}")).set(
        drivername="postgresql+psycopg2"
    )
    port = free_port()
    environment = {
        **os.environ,
        "MLFLOW_BACKEND_STORE_URI": url.render_as_string(hide_password=False),
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += ["--serve-artifacts", "--artifacts-destination", str(folder / "artifacts")]
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=log, cwd=folder, start_new_session=True)
        try:
            _wait_for(f"http://127.0.0.1:{port}/health", server, folder / "log", deadline_s=180)
            yield f"http://127.0.0.1:{port}"
        finally:
            os.killpg(server.pid, 15)
            server.wait(30)


def _wait_for(url: str, process: subprocess.Popen[bytes], log: Path, *, deadline_s: float) -> None:
    end = time.monotonic() + deadline_s
    while time.monotonic() < end:
        if process.poll() is not None:
            break
        try:
            if httpx.get(url, timeout=2).status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.2)
    raise RuntimeError(f"{url} did not answer; its log ends:\n{log.read_text()[-2000:]}")


def unique_model(models_dir: Path, template: str) -> ModelConfig:
    """A copy of a test model under a name of its own, so that tests share one MLflow server and never meet."""
    name = f"{template[:8].rstrip('_')}_{uuid4().hex[:10]}"
    folder = models_dir / name
    shutil.copytree(TEST_MODELS / template, folder)
    declared = (folder / "model.yaml").read_text(encoding="utf-8")
    (folder / "model.yaml").write_text(declared.replace(f"model: {template}", f"model: {name}"), encoding="utf-8")
    return load_model(folder)


@pytest.fixture
def models_dir(tmp_path: Path) -> Path:
    """A folder for the models of one test."""
    folder = tmp_path / "models"
    folder.mkdir()
    return folder


@pytest.fixture
def wine(store: Store, models_dir: Path) -> ModelConfig:
    """The multiclass test model with its tables made; its landing folder stays ``landing/wine_cultivar``."""
    config = unique_model(models_dir, "wine_cultivar")
    ensure_data_tables(store, config)
    return config


@pytest.fixture
def diabetes(store: Store, models_dir: Path) -> ModelConfig:
    """The regression test model with its tables made; its landing folder stays ``landing/diabetes_progress``."""
    config = unique_model(models_dir, "diabetes_progress")
    ensure_data_tables(store, config)
    return config
