"""The routes of the console. Each asks for Airflow's login, and shows a model to whoever may read its monitor DAG."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Annotated

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.core_api.security import GetUserDep
from fastapi import FastAPI, HTTPException, Path
from fastapi.responses import HTMLResponse

from perennial.config import ModelConfig, read_models
from perennial.errors import PerennialError, redacted
from perennial.orchestration.console import ROOT, metrics
from perennial.settings import load_settings

if TYPE_CHECKING:
    from perennial.store import Store

app = FastAPI(title="Perennial", docs_url=None, redoc_url=None, openapi_url=None)
app.include_router(metrics.router)


@app.get("/", response_class=HTMLResponse)
def models(user: GetUserDep) -> str:
    """Every model that the user may see."""
    from perennial.orchestration.console.pages import overview
    from perennial.pipeline.timeline import status

    with _answered():
        store = _store()
        return overview([(config, status(config, store=store)) for config in _seen(user)], root=ROOT)


@app.get("/models/{model}", response_class=HTMLResponse)
def model(model: Annotated[str, Path(max_length=64)], user: GetUserDep) -> str:
    """One model, or 404 for one that is not there or that the user may not see."""
    from perennial.orchestration.console.pages import model_page
    from perennial.pipeline.readings import read_signals
    from perennial.pipeline.timeline import status, timeline

    with _answered():
        found = next((config for config in _seen(user) if config.model == model), None)
        if found is None:
            raise HTTPException(404, "no such model, or none that you may see")
        store = _store()
        return model_page(
            found, status(found, store=store), timeline(found, store=store), read_signals(found, store=store), root=ROOT
        )


@app.get("/dags/{dag_id}", response_class=HTMLResponse)
def of_dag(dag_id: Annotated[str, Path(max_length=250)], user: GetUserDep) -> str:
    """The model whose DAG this is."""
    return model(dag_id.rpartition("__")[0], user)


def _seen(user: GetUserDep) -> list[ModelConfig]:
    configs, _ = read_models(load_settings().models_dir)
    readable = get_auth_manager().get_authorized_dag_ids(user=user, method="GET")
    return [config for config in configs if f"{config.model}__monitor" in readable]


@contextmanager
def _answered() -> Iterator[None]:
    """What can not be read now is said as such, without a secret."""
    try:
        yield
    except PerennialError as error:
        raise HTTPException(503, redacted(f"{type(error).__name__}: {error}")) from error


@cache
def _store() -> "Store":
    from perennial.store import open_store

    settings = load_settings()
    return open_store(settings.require_database_url(), settings.storage)
