"""MLflow runs, one finished run for one retrain request: started, found again, filled and ended."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag
from mlflow.exceptions import MlflowException

from perennial.contracts.tags import PROBLEM_TAG, RECIPE_TAG, REQUEST_TAG, SNAPSHOT_TAG
from perennial.errors import PermanentError
from perennial.registry.client import Registry, asking
from perennial.storage.work import temporary_folder

_LONGEST_TAG = 5000
SOURCE = "source"
"""Where the artifacts of a run hold what it was made from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunKey:
    """What one retrain run is known by: the model, its frozen rows, the request, and the digest of the recipe."""

    model: str
    snapshot_id: str
    request: str
    recipe: str = ""

    @property
    def experiment(self) -> str:
        """The name of the MLflow experiment that holds all runs of the model."""
        return f"perennial/{self.model}"


def ensure_experiment(registry: Registry, name: str) -> str:
    """The id of the experiment ``name``, made when it is not there. Raises PermanentError when it was deleted."""
    with asking(registry, f"opening the experiment {name}"):
        client = registry.client
        found = client.get_experiment_by_name(name)
        if found is None:
            try:
                return str(client.create_experiment(name))
            except MlflowException as error:
                if error.error_code != "RESOURCE_ALREADY_EXISTS":
                    raise
                found = client.get_experiment_by_name(name)
    if found is None or found.lifecycle_stage != "active":
        raise PermanentError(f"the MLflow experiment {name} was deleted: restore it (mlflow experiments restore)")
    return str(found.experiment_id)


def find_runs(registry: Registry, key: RunKey) -> list[Any]:
    """The runs of this request, newest first, whatever became of them."""
    return [run for run in _fitted_on(registry, key) if run.data.tags.get(REQUEST_TAG) == key.request]


def runs_of_snapshot(registry: Registry, model: str, snapshot_id: str) -> tuple[str, ...]:
    """The ids of the runs that were fitted on a snapshot, for whichever request and whatever became of them."""
    runs = _fitted_on(registry, RunKey(model=model, snapshot_id=snapshot_id, request=""))
    return tuple(str(run.info.run_id) for run in runs)


def _fitted_on(registry: Registry, key: RunKey) -> list[Any]:
    experiment_id = ensure_experiment(registry, key.experiment)
    with asking(registry, f"looking for the runs of snapshot {key.snapshot_id}"):
        return list(registry.client.search_runs([experiment_id], f"tags.`{SNAPSHOT_TAG}` = '{key.snapshot_id}'"))


def tags_of_run(registry: Registry, run_id: str) -> dict[str, str]:
    """All tags of a run. Raises PermanentError when there is no such run, RegistryUnavailable."""
    with asking(registry, f"reading run {run_id}"):
        return dict(registry.client.get_run(run_id).data.tags)


def metrics_of_run(registry: Registry, run_id: str) -> dict[str, float]:
    """All metrics of a run, each as it was logged last. Raises as :func:`tags_of_run`."""
    with asking(registry, f"reading run {run_id}"):
        return dict(registry.client.get_run(run_id).data.metrics)


@contextmanager
def downloaded_source(registry: Registry, run_id: str) -> Iterator[Path]:
    """The recipe, ``model.yaml`` and list of packages of a run, in a temporary folder that is gone afterwards."""
    with temporary_folder("source-") as folder:
        with asking(registry, f"downloading the source of run {run_id}"):
            registry.client.download_artifacts(run_id, SOURCE, str(folder))
        yield folder / SOURCE


NAME_LENGTH = 24
"""Longer names of runs lie over their neighbours in MLflow's page of a version; the tag has the whole request."""


def start_run(registry: Registry, key: RunKey, *, tags: Mapping[str, str]) -> str:
    """A new run; those of the same request that were cut off are marked as failed."""
    for left in find_runs(registry, key):
        if left.info.status == "RUNNING":
            fail_run(registry, left.info.run_id, "cut off; a later try of the same request stands in for it")
    experiment_id = ensure_experiment(registry, key.experiment)
    with asking(registry, f"starting a run for {key.request}"):
        run = registry.client.create_run(
            experiment_id,
            run_name=key.request[:NAME_LENGTH],
            tags={**tags, SNAPSHOT_TAG: key.snapshot_id, REQUEST_TAG: key.request, RECIPE_TAG: key.recipe},
        )
    return str(run.info.run_id)


def finished_run(registry: Registry, key: RunKey) -> Any | None:
    """The finished run of this request by this recipe, or None. Runs from before the recipe was kept count as its."""
    finished = (run for run in find_runs(registry, key) if run.info.status == "FINISHED")
    return next((run for run in finished if run.data.tags.get(RECIPE_TAG, key.recipe) == key.recipe), None)


def finish_run(registry: Registry, run_id: str) -> None:
    """End a run well."""
    with asking(registry, f"ending run {run_id}"):
        registry.client.set_terminated(run_id, "FINISHED")


def fail_run(registry: Registry, run_id: str, problem: str) -> None:
    """End a run as failed, and say why in a tag."""
    with asking(registry, f"ending run {run_id}"):
        registry.client.set_tag(run_id, PROBLEM_TAG, problem[:_LONGEST_TAG])
        registry.client.set_terminated(run_id, "FAILED")


def log_values(
    registry: Registry,
    run_id: str,
    *,
    metrics: Mapping[str, float] | None = None,
    params: Mapping[str, object] | None = None,
    tags: Mapping[str, str] | None = None,
    at_ms: int,
    model_uri: str | None = None,
) -> None:
    """Metrics, parameters and tags in one request; the same again changes nothing.

    ``at_ms`` (event time, milliseconds since 1970) is the time of the metrics. A metric that has another value by now
    is logged under the next step, for MLflow refuses two values of one step. With ``model_uri`` (``models:/m-...``)
    they also stand on the page of that model.
    """
    model_id = model_uri.removeprefix("models:/") if model_uri else None
    with asking(registry, f"logging to run {run_id}"):
        news, step = _news(registry, run_id, metrics or {})
        registry.client.log_batch(
            run_id,
            metrics=[
                Metric(name, value, at_ms, step, model_id=model_id, run_id=run_id) for name, value in news.items()
            ],
            params=[Param(name, str(value)) for name, value in (params or {}).items()],
            tags=[RunTag(name, value[:_LONGEST_TAG]) for name, value in (tags or {}).items()],
        )


def _news(registry: Registry, run_id: str, metrics: Mapping[str, float]) -> tuple[dict[str, float], int]:
    """Metrics that the run does not show with this value, and the first step that none of them has yet."""
    shown = registry.client.get_run(run_id).data.metrics if metrics else {}
    news = {name: value for name, value in metrics.items() if shown.get(name) != value}
    before = [item.step for name in news if name in shown for item in registry.client.get_metric_history(run_id, name)]
    return news, max(before, default=-1) + 1


def log_rows(
    registry: Registry, run_id: str, *, context: str, name: str, digest: str, uri: str, columns: list[Any], n_rows: int
) -> None:
    """Name the rows a run has used (``context``: training or holdout): their digest, place, columns and number."""
    rows = Dataset(
        name=name,
        digest=digest,
        source_type="local",
        source=json.dumps({"uri": uri}),
        schema=json.dumps({"mlflow_colspec": columns}),
        profile=json.dumps({"num_rows": n_rows}),
    )
    with asking(registry, f"logging the {context} rows of run {run_id}"):
        registry.client.log_inputs(run_id, [DatasetInput(rows, [InputTag("mlflow.data.context", context)])])


def log_folder(registry: Registry, run_id: str, folder: Path, artifact_path: str) -> None:
    """Upload the files of a folder as artifacts of a run; the same again replaces them."""
    with asking(registry, f"logging {artifact_path} of run {run_id}"):
        registry.client.log_artifacts(run_id, str(folder), artifact_path)


def log_page(registry: Registry, run_id: str, name: str, text: str) -> None:
    """Upload a page (HTML, Markdown) as an artifact; the same name again replaces it."""
    with asking(registry, f"logging {name} of run {run_id}"):
        registry.client.log_text(run_id, text, name)


def log_figures(registry: Registry, run_id: str, figures: Mapping[str, Figure], artifact_path: str) -> None:
    """Upload figures as PNG under their file names."""
    with asking(registry, f"logging {artifact_path} of run {run_id}"):
        for name, figure in figures.items():
            registry.client.log_figure(run_id, figure, f"{artifact_path}/{name}")
