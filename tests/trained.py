"""A model with a first champion, made once by a real retrain, and put before each test as if it had just been made.

A test gets a copy of the database and of the folders, so nothing that it does to them meets another. MLflow has no
copies: there the model is registered anew, its alias and tags as they were, its files written again, and the runs that
the test before left are deleted.
"""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from mlflow.artifacts import download_artifacts
from sqlalchemy.engine import URL

from conftest import unique_model
from logs import day, deliver, delivery
from perennial.config import ModelConfig
from perennial.contracts import RetrainRequest
from perennial.contracts.tags import CHAMPION
from perennial.pipeline import Runtime, loops
from perennial.registry import Registry, alias_version, set_alias
from perennial.registry.runs import RunKey, ensure_experiment
from perennial.registry.trust import MODEL_FILE
from perennial.settings import Settings
from perennial.store import open_store
from servers import create_database, logged_in
from stack.environment import ADMIN

TEMPLATE = "wine_cultivar"


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """A model as it was after its first promotion; ``database`` is copied, and nobody is connected to it."""

    config: ModelConfig
    database: str
    folder: Path
    version: Any
    runs: frozenset[str]


def runtime_of(database_url: str, mlflow_uri: str, folder: Path) -> Runtime:
    """The runtime over ``folder/home`` and ``folder/models``."""
    home, models = folder / "home", folder / "models"
    settings = Settings(home=home, models_dir=models, database_url=database_url, mlflow_uri=mlflow_uri)
    return Runtime(open_store(database_url, (home / "storage").as_uri()), Registry(mlflow_uri), settings)


def asked(config: ModelConfig, run_id: str, number: int) -> RetrainRequest:
    """Someone's request as of the end of a day."""
    return RetrainRequest(model=config.model, run_id=run_id, as_of=day(number).end, cause="test", requested_by="t")


def play(config: ModelConfig, number: int, runtime: Runtime) -> str:
    """Deliver one day, scored by whoever is champion, and run the monitor over it; what it decided."""
    champion = alias_version(runtime.registry, config.model, CHAMPION) or "legacy"
    frame = delivery(TEMPLATE, day(number), seed=number).assign(model_version=champion)
    deliver(runtime.settings.home, TEMPLATE, day(number), frame)
    return loops.monitor(runtime.case(config), day(number)).action


def train(server: URL, migrated: str, mlflow_uri: str, folder: Path) -> Trained:
    """Three days of logs, and a retrain ``first`` as of the last of them, promoted."""
    (folder / "models").mkdir(parents=True)
    config = unique_model(folder / "models", TEMPLATE)
    database = f"trained_{uuid4().hex[:12]}"
    runtime = runtime_of(create_database(server, database, migrated), mlflow_uri, folder)
    assert [play(config, number, runtime) for number in range(3)] == ["stay", "stay", "retrain"]
    assert loops.retrain(runtime.case(config), asked(config, "first", 2)).ended == "promoted"
    return kept(config, database, runtime, folder)


def kept(config: ModelConfig, database: str, runtime: Runtime, folder: Path) -> Trained:
    """What copies of a model with a first champion are made of; the runtime that made it is closed."""
    runtime.close()
    version = runtime.registry.client.get_model_version(config.model, "1")
    place = runtime.registry.client.get_logged_model(version.source.removeprefix("models:/")).artifact_location
    download_artifacts(f"{place}/{MODEL_FILE}", dst_path=str(folder / "files"), tracking_uri=runtime.registry.uri)
    runs = _runs(config, runtime.registry)
    return Trained(config=config, database=database, folder=folder, version=version, runs=runs)


def _runs(config: ModelConfig, registry: Registry) -> frozenset[str]:
    experiment = ensure_experiment(registry, RunKey(model=config.model, snapshot_id="", request="").experiment)
    return frozenset(run.info.run_id for run in registry.client.search_runs([experiment]))


def restore(trained: Trained, registry: Registry) -> None:
    """The model in MLflow as it was after its first promotion, whatever a test did to it."""
    client, name, was = registry.client, trained.config.model, trained.version
    with logged_in(ADMIN):
        for run_id in _runs(trained.config, registry) - trained.runs:
            client.delete_run(run_id)
        client.delete_registered_model(name)
    client.create_registered_model(name)
    model_id = was.source.removeprefix("models:/")
    client.log_model_artifact(model_id, str(trained.folder / "files" / MODEL_FILE))
    made = client.create_model_version(
        name,
        source=was.source,
        run_id=was.run_id,
        tags=was.tags,
        description=was.description,
        model_id=model_id,
        await_creation_for=0,
    )
    assert made.version == was.version
    set_alias(registry, name, CHAMPION, made.version)


def copied(trained: Trained, server: URL, mlflow_uri: str, folder: Path) -> Runtime:
    """A runtime over copies of the database and the folders, and the model in MLflow restored."""
    for name in ("home", "models"):
        shutil.copytree(trained.folder / name, folder / name)
    runtime = runtime_of(create_database(server, f"test_{uuid4().hex[:12]}", trained.database), mlflow_uri, folder)
    restore(trained, runtime.registry)
    return runtime
