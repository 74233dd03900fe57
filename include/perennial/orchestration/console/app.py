"""The routes of the console that read. Each asks for Airflow's login, and shows a model to whoever may read its DAG."""

from typing import Annotated

from airflow.api_fastapi.core_api.security import GetUserDep
from fastapi import FastAPI, HTTPException, Path, Response
from fastapi.responses import HTMLResponse

from perennial.orchestration.console import ROOT, alerts, metrics
from perennial.orchestration.console.access import readable, seen
from perennial.orchestration.console.acting import router
from perennial.orchestration.console.answering import SANDBOXED, answered, mlflow_uri, secured, store

app = FastAPI(title="Perennial", docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False)
app.include_router(metrics.router)
app.include_router(alerts.router)
app.middleware("http")(secured)
Model = Annotated[str, Path(max_length=64)]
Key = Annotated[str, Path(max_length=40)]


@app.get("/", response_class=HTMLResponse)
def models(user: GetUserDep) -> str:
    """Every model that the user may see."""
    from perennial.orchestration.console.airflow_state import next_runs
    from perennial.orchestration.console.pages.overview import overview
    from perennial.pipeline.health.overview import read_healths

    with answered():
        configs = seen(user)
        runs = next_runs(config.model for config in configs)
        healths = read_healths(configs, store=store())
        return overview([(config, healths[config.model], runs.get(config.model)) for config in configs], root=ROOT)


@app.get("/models/{model}", response_class=HTMLResponse)
def model(model: Model, user: GetUserDep) -> str:
    """One model, or 404 for one that is not there or that the user may not see."""
    from perennial.orchestration.console.pages.model import model_page
    from perennial.pipeline.health.whole import read_model

    with answered():
        config = readable(model, user)
        return model_page(config, read_model(config, store=store()), root=ROOT)


@app.get("/dags/{dag_id}", response_class=HTMLResponse)
def of_dag(dag_id: Annotated[str, Path(max_length=250)], user: GetUserDep) -> str:
    """The model whose DAG this is."""
    return model(dag_id.rpartition("__")[0], user)


@app.get("/models/{model}/windows/{key}", response_class=HTMLResponse)
def window(model: Model, key: Key, user: GetUserDep) -> str:
    """Why something was decided about a window."""
    from perennial.orchestration.console.airflow_state import runs_about
    from perennial.orchestration.console.pages.window import window_page
    from perennial.pipeline.health.window import read_window, window_of_key

    with answered():
        config = readable(model, user)
        found = read_window(config, window_of_key(key), store=store())
        runs = runs_about(config.model, found.window)
        return window_page(config, found, root=ROOT, mlflow=mlflow_uri(), runs=runs)


@app.get("/models/{model}/windows/{key}/pages/{kind}")
def page_of_window(model: Model, key: Key, kind: Annotated[str, Path(max_length=40)], user: GetUserDep) -> Response:
    """A page that a library made: what it runs has no origin, and can not act for whoever looks at it."""
    from perennial.pipeline.health.window import read_page, window_of_key

    with answered():
        content = read_page(readable(model, user), window_of_key(key), kind, store=store())
    if content is None:
        raise HTTPException(404, "no such page of this window")
    return Response(content, media_type="text/html; charset=utf-8", headers={"content-security-policy": SANDBOXED})


@app.get("/models/{model}/quarantine", response_class=HTMLResponse)
def quarantine(model: Model, user: GetUserDep) -> str:
    """Which windows have rows in quarantine."""
    from perennial.orchestration.console.pages.quarantine import quarantine_page
    from perennial.pipeline.health.window import quarantined_windows

    with answered():
        config = readable(model, user)
        return quarantine_page(config, quarantined_windows(config, store=store()), root=ROOT)


@app.get("/models/{model}/quarantine/{key}", response_class=HTMLResponse)
def quarantine_of_window(model: Model, key: Key, user: GetUserDep) -> str:
    """What rows of a window are in quarantine for, with examples."""
    from perennial.orchestration.console.pages.quarantine import window_quarantine_page
    from perennial.pipeline.health.window import in_quarantine, window_of_key

    with answered():
        config, of = readable(model, user), window_of_key(key)
        return window_quarantine_page(config, of, in_quarantine(config, of, store=store()), root=ROOT)


app.include_router(router)
