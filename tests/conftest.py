"""The real parts that tests talk to: one PostgreSQL and one MLflow server per session, one database per test.

Both can be reused between sessions while developing: PERENNIAL_TEST_POSTGRES is the URL of a server whose user may
create databases, PERENNIAL_TEST_MLFLOW the URI of an MLflow server with a login, and PERENNIAL_TEST_MLFLOW_PASSWORD
what its admin logs in with and its other accounts get. That is also how parallel workers share them.
"""

import gc
import os
import secrets
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from uuid import uuid4

import hypothesis
import pytest
from _pytest.nodeid import NodeId
from sqlalchemy.engine import URL, make_url

import forked
import undrawn
from perennial.config import ModelConfig, load_model
from perennial.store import Store, open_store
from perennial.store.migrate import migrate
from perennial.store.tables import ensure_data_tables
from servers import (
    create_database,
    free_port,
    logged_in,
    reachable_folder,
    temporary_mlflow,
    temporary_postgres,
    wait_for_mlflow,
)
from stack.environment import ADMIN, PIPELINE

__all__ = ["free_port", "unique_model"]

# the same examples every time, and no failure because the machine is busy
hypothesis.settings.register_profile("perennial", deadline=None, derandomize=True)
hypothesis.settings.load_profile("perennial")

POSTGRES, MLFLOW = "PERENNIAL_TEST_POSTGRES", "PERENNIAL_TEST_MLFLOW"
MLFLOW_PASSWORD = f"{MLFLOW}_PASSWORD"
# No database of a test lives long enough for it, and there are hundreds to be looked through by turns.
NO_VACUUM = {"autovacuum": "off"}
TEST_MODELS = Path(__file__).parent / "models"


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_setupnodes(config: pytest.Config) -> None:
    """Start one PostgreSQL and one MLflow server for all workers, which start next and inherit it."""
    # Two workers on two cores: threads of one would only wait for those of the other.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    servers = ExitStack()
    config.add_cleanup(servers.close)
    if POSTGRES not in os.environ:
        os.environ[POSTGRES] = servers.enter_context(
            temporary_postgres(servers.enter_context(reachable_folder()), **NO_VACUUM)
        )
    if MLFLOW not in os.environ:
        password = os.environ[MLFLOW_PASSWORD] = secrets.token_urlsafe(12)
        os.environ[MLFLOW] = servers.enter_context(temporary_mlflow(make_url(os.environ[POSTGRES]), password))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The longest first: what waits for a scheduler or for servers of its own must not be what all wait for at last.

    Between workers, groups go by the ends of ids: pytest-xdist 3.8 writes them where pytest 9.2 reads no more.
    """
    first = ("airflow", "stack", "trained")

    def rank(item: pytest.Item) -> int:
        group = group_of(item)
        return first.index(group) if group in first else len(first) + (group is None)

    items.sort(key=rank)
    if getattr(config.option, "loadgroup", False):
        for item in items:
            if (group := group_of(item)) and not item.nodeid.endswith(f"@{group}"):
                item._id = NodeId.parse(f"{item.nodeid}@{group}")


def pytest_collection_finish() -> None:
    """What is imported by now stays: the garbage collector need not walk through it again and again."""
    gc.collect()
    gc.freeze()


def group_of(item: pytest.Item) -> str | None:
    """The group that its mark names; those that share a fixture of their module, which is made once, are one, too."""
    if marker := item.get_closest_marker("xdist_group"):
        return str(marker.args[0])
    known = item._fixtureinfo.name2fixturedefs if isinstance(item, pytest.Function) else {}
    shares = any(made.scope == "module" for name in item.fixturenames for made in known.get(name, ())[-1:])
    return item.path.stem if shares else None


def pytest_runtest_setup(item: pytest.Item) -> None:
    """The scheduler of the longest test goes before whatever runs beside it, which is not waited for at last."""
    is_beside = "PYTEST_XDIST_WORKER" in os.environ and group_of(item) != "airflow"
    if is_beside and os.getpriority(os.PRIO_PROCESS, 0) == 0:
        os.nice(5)


@pytest.fixture(scope="session", autouse=True)
def forked_processes() -> Iterator[None]:
    """Fits, parity checks and backtests in processes that need not import (see forked.py)."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(subprocess, "Popen", forked.Forked)
        yield
    forked.close()


@pytest.fixture(scope="session", autouse=True)
def undrawn_pages() -> Iterator[None]:
    """Nothing is drawn in Evidently's pages, at which few tests look (see undrawn.py)."""
    with undrawn.undrawn():
        yield


@pytest.fixture
def drawn() -> Iterator[None]:
    """This test looks at pages and pictures."""
    with undrawn.drawn():
        yield


@pytest.fixture
def fresh_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every process of this test is started as the product starts it, and imports for itself."""
    monkeypatch.setattr(subprocess, "Popen", forked.STARTED)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[URL]:
    """A running PostgreSQL whose user may create databases."""
    if given := os.environ.get(POSTGRES):
        yield make_url(given)
        return
    with reachable_folder() as folder, temporary_postgres(folder, **NO_VACUUM) as url:
        yield make_url(url)


@pytest.fixture(scope="session")
def migrated_template(postgres_server: URL) -> str:
    """The name of a migrated database that is copied for each test."""
    name = f"template_{uuid4().hex[:12]}"
    store = open_store(create_database(postgres_server, name), "file:///nonexistent")
    migrate(store)
    store.close()
    return name


@pytest.fixture
def database_url(postgres_server: URL, migrated_template: str) -> str:
    """The URL of a fresh, migrated database."""
    return create_database(postgres_server, f"test_{uuid4().hex[:12]}", migrated_template)


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
def mlflow_uri(request: pytest.FixtureRequest) -> Iterator[str]:
    """A running MLflow server on PostgreSQL with proxied artifacts, as the local stack runs it.

    Its clients log in as the admin, whose requests cost MLflow half of those of an account whose rights it looks up;
    what is about rights asks for ``as_pipeline`` or ``logged_in``.
    """
    from mlflow.tracking.request_header.databricks_request_header_provider import DatabricksRequestHeaderProvider

    with ExitStack() as servers:
        uri, password = os.environ.get(MLFLOW), os.environ.get(MLFLOW_PASSWORD) or secrets.token_urlsafe(12)
        if uri is None:
            uri = servers.enter_context(temporary_mlflow(request.getfixturevalue("postgres_server"), password))
        wait_for_mlflow(uri, password)
        servers.enter_context(logged_in(ADMIN, password))
        patched = servers.enter_context(pytest.MonkeyPatch.context())
        undrawn.undrawn_pictures(patched)
        # each request would look for four packages that only Databricks has, on all of the path
        patched.setattr(DatabricksRequestHeaderProvider, "in_context", lambda _: False)
        yield uri


@pytest.fixture
def as_pipeline(mlflow_uri: str) -> Iterator[None]:
    """MLflow is asked as the product does, by an account that may do what it needs and nothing else."""
    with logged_in(PIPELINE):
        yield


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
