"""Fit the recipes on a snapshot, in one MLflow run that says everything about how the model came to be."""

import json
import shutil
from functools import cache
from importlib.metadata import distributions
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, DataType, Schema, TensorSpec
from numpy import dtype

from perennial.config import ModelConfig
from perennial.contracts import FittedRun, RetrainRequest, Snapshot, from_record, to_record
from perennial.contracts.measured.chosen import Chosen
from perennial.contracts.tags import (
    AIRFLOW_TAG,
    AS_OF_TAG,
    CAUSE_TAG,
    CHOSEN_TAG,
    CODE_TAG,
    CONFIG_TAG,
    LOCK_TAG,
    MODEL_TAG,
    MODEL_URI_TAG,
    REQUESTED_BY_TAG,
)
from perennial.errors import PermanentError
from perennial.registry.client import Registry
from perennial.registry.models import log_model
from perennial.registry.runs import (
    SOURCE,
    RunKey,
    downloaded_source,
    fail_run,
    finish_run,
    finished_run,
    log_figures,
    log_folder,
    log_rows,
    log_values,
    start_run,
)
from perennial.registry.scoring import features_frame
from perennial.registry.trust import MODEL_FILE, read_model
from perennial.storage.work import temporary_folder
from perennial.store import Store
from perennial.training.drawn.plots import learning_figure
from perennial.training.fitting.recipe import FrozenRecipe, digest_of_all, freeze_recipes
from perennial.training.search.best import Best, fit_best
from perennial.training.search.keeping import Keeping
from perennial.training.snapshot import verify_snapshot
from perennial.training.turns import in_turn

PINNED = ("scikit-learn", "numpy", "scipy", "pandas", "skops")
CPU_METRIC, PEAK_METRIC = "fit_cpu_s", "fit_peak_mb"
CHOSEN_FILE = "chosen.json"
CURVE = "learning_curve.png"
_EXAMPLE_ROWS = 5


def fit(
    config: ModelConfig,
    snapshot: Snapshot,
    request: RetrainRequest,
    *,
    store: Store,
    registry: Registry,
    models_dir: Path,
    code_version: str = "unknown",
    lock_digest: str = "unknown",
    airflow_url: str | None = None,
) -> FittedRun:
    """The best of the recipes fitted on the snapshot's training rows, logged and ready to be evaluated; not registered.

    The same request over the same snapshot and recipes gives the finished run again; one that was cut off is marked as
    failed and done anew, and its searches go on; one that another process is at is waited for. What is fitted and
    logged are copies of the recipes, taken once. ``airflow_url`` is the page of the Airflow run that asks for it.
    Raises TrainingError when a recipe raises, does not converge, takes too long or answers NaN, IntegrityError when
    the snapshot was changed, LockTimeout, RegistryUnavailable.
    """
    with in_turn(config, request, store=store) as turn, temporary_folder("fit-") as folder:
        recipes = freeze_recipes(models_dir / config.model, folder, config.training.recipes)
        together = digest_of_all(recipes)
        key = RunKey(model=config.model, snapshot_id=snapshot.snapshot_id, request=request.run_id, recipe=together)
        if done := finished_run(registry, key):
            return _of_run(done, snapshot, registry=registry)
        verify_snapshot(snapshot, storage=store.storage)
        run_id = start_run(registry, key, tags=_tags(config, request, code_version, lock_digest, airflow_url))
        keeping = Keeping(
            snapshot_id=snapshot.snapshot_id,
            run_id=run_id,
            at_ms=_at_ms(snapshot),
            storage=store.storage,
            registry=registry,
        )
        try:
            _fetch(snapshot.train_uri, folder / "train.parquet", store=store)
            best = fit_best(config, recipes, folder, keeping=keeping)
            model_uri = _log(
                config, snapshot, run_id, best=best, folder=folder, recipes=recipes, store=store, registry=registry
            )
            if best.curve:
                log_figures(registry, run_id, {CURVE: learning_figure(config, best.curve)}, "plots")
        except PermanentError as error:
            fail_run(registry, run_id, str(error))
            raise
        turn.require()  # or another one has begun, and marked this run as cut off
        finish_run(registry, run_id)
        if config.training.search:
            for recipe in recipes:
                keeping.forget(config, recipe)
    return _run_record(snapshot, run_id, model_uri, cv=best.cv, cpu_s=best.cpu_s, chosen=best.chosen)


def _at_ms(snapshot: Snapshot) -> int:
    return int(snapshot.as_of.timestamp() * 1000)


def _run_record(
    snapshot: Snapshot, run_id: str, model_uri: str, *, cv: dict[str, float], cpu_s: float, chosen: Chosen | None
) -> FittedRun:
    return FittedRun(
        model=snapshot.model,
        mlflow_run_id=run_id,
        model_uri=model_uri,
        snapshot_id=snapshot.snapshot_id,
        n_train=snapshot.n_train,
        cv=cv,
        cpu_s=cpu_s,
        chosen=chosen,
    )


def _of_run(run: Any, snapshot: Snapshot, *, registry: Registry) -> FittedRun:
    cv = {name: float(value) for name, value in run.data.metrics.items() if name.startswith("cv_")}
    cpu_s = float(run.data.metrics.get(CPU_METRIC, 0.0))  # absent from runs of before it was kept
    run_id = str(run.info.run_id)
    with downloaded_source(registry, run_id) as source:
        chosen = read_chosen(source)
    return _run_record(snapshot, run_id, str(run.data.tags[MODEL_URI_TAG]), cv=cv, cpu_s=cpu_s, chosen=chosen)


def read_chosen(source: Path) -> Chosen | None:
    """What a fit chose, from the source of its run; None for one of before that was kept."""
    path = source / CHOSEN_FILE
    return from_record(Chosen, json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else None


def _tags(
    config: ModelConfig, request: RetrainRequest, code_version: str, lock_digest: str, airflow_url: str | None
) -> dict[str, str]:
    return {
        MODEL_TAG: config.model,
        CAUSE_TAG: request.cause,
        REQUESTED_BY_TAG: request.requested_by,
        AS_OF_TAG: request.as_of.isoformat(),
        CONFIG_TAG: config.digest,
        CODE_TAG: code_version,
        LOCK_TAG: lock_digest,
        **({AIRFLOW_TAG: airflow_url} if airflow_url else {}),
    }


@cache
def installed_packages() -> str:
    """Every package of this environment with its version, one a line; read once a process."""
    described = (
        package.metadata for package in distributions()
    )  # a version asked of the package is read from it again
    found = {f"{metadata['Name']}=={metadata['Version']}" for metadata in described}
    return "\n".join(sorted(found, key=str.lower)) + "\n"


def _fetch(uri: str, path: Path, *, store: Store) -> None:
    with store.storage.filesystem.open_input_stream(store.storage.path(uri)) as source, path.open("wb") as target:
        shutil.copyfileobj(source, target, 1 << 20)


def _log(
    config: ModelConfig,
    snapshot: Snapshot,
    run_id: str,
    *,
    best: Best,
    folder: Path,
    recipes: tuple[FrozenRecipe, ...],
    store: Store,
    registry: Registry,
) -> str:
    """Everything about the fit into the run; the tag with the model's URI comes last."""
    _log_inputs(config, snapshot, run_id, store=store, registry=registry)
    _log_source(run_id, best=best, folder=folder, recipes=recipes, registry=registry)
    model = read_model(
        best.folder / MODEL_FILE,
        trusted_types=config.training.trusted_types,
        what=f"the model of {best.recipe.original}",
    )
    first = next(pq.ParquetFile(folder / "train.parquet").iter_batches(batch_size=_EXAMPLE_ROWS))
    model_uri = log_model(
        registry,
        run_id,
        model,
        name=config.model,
        signature=signature(config),
        example=features_frame(config, pa.Table.from_batches([first])),
        requirements=[f"{package}=={installed_version(package)}" for package in PINNED],
        trusted_types=config.training.trusted_types,
        predict_with="predict" if config.task == "regression" else "predict_proba",
    )
    log_values(
        registry,
        run_id,
        metrics=_metrics(best),
        params=_params(config, snapshot, best.chosen),
        tags={**({CHOSEN_TAG: best.chosen.recipe} if len(recipes) > 1 else {}), MODEL_URI_TAG: model_uri},
        at_ms=_at_ms(snapshot),
        model_uri=model_uri,
    )
    return model_uri


def _log_source(
    run_id: str, *, best: Best, folder: Path, recipes: tuple[FrozenRecipe, ...], registry: Registry
) -> None:
    """What the model was made from, and what was chosen."""
    evidence = folder / "evidence"
    evidence.mkdir()
    (evidence / "packages.txt").write_text(installed_packages(), encoding="utf-8")
    (evidence / CHOSEN_FILE).write_text(json.dumps(to_record(best.chosen), indent=2) + "\n", encoding="utf-8")
    model_yaml = best.recipe.original.parent / "model.yaml"
    for source in (*(recipe.copy for recipe in recipes), model_yaml, best.folder / "fit.txt"):
        if source.is_file():
            shutil.copy(source, evidence)
    log_folder(registry, run_id, evidence, SOURCE)


def _metrics(best: Best) -> dict[str, float]:
    """Those of the recipe that was chosen by their names, those of others below the name of their file."""
    others = {
        f"{Path(name).stem}/{metric}": value
        for name, cv in best.chosen.tried.items()
        if name != best.chosen.recipe
        for metric, value in cv.items()
    }
    return {**best.cv, **others, CPU_METRIC: best.cpu_s, PEAK_METRIC: best.peak_mb}


def _log_inputs(config: ModelConfig, snapshot: Snapshot, run_id: str, *, store: Store, registry: Registry) -> None:
    parts = (
        ("training", snapshot.train_uri, snapshot.n_train),
        ("holdout", snapshot.holdout_uri, snapshot.n_holdout),
    )
    columns = [{"name": name, "type": _type(config, name), "required": True} for name in config.features]
    for context, uri, n_rows in parts:
        log_rows(
            registry,
            run_id,
            context=context,
            name=f"{config.model}/{context}",
            digest=snapshot.digest,
            uri=store.storage.path(uri),
            columns=columns,
            n_rows=n_rows,
        )


def _params(config: ModelConfig, snapshot: Snapshot, chosen: Chosen) -> dict[str, object]:
    return {
        **{f"recipe.{name}": value for name, value in chosen.params.items()},
        **({"threshold": chosen.threshold} if chosen.threshold is not None else {}),
        "seed": config.training.seed,
        "cv_folds": config.training.cv_folds,
        "train": snapshot.train.key,
        "window": config.training.window,
        **({"earlier": ", ".join(stretch.key for stretch in snapshot.earlier)} if snapshot.earlier else {}),
        **({"half_life": str(half_life)} if (half_life := config.training.half_life) else {}),
        "holdout": snapshot.holdout.key,
        "n_train": snapshot.n_train,
        "n_holdout": snapshot.n_holdout,
    }


def _type(config: ModelConfig, feature: str) -> str:
    return "double" if feature in config.numbers else "string"


def signature(config: ModelConfig) -> ModelSignature:
    """Numbers as double, so that a later null is a NaN and no error; the rest as text. Answers are double.

    >>> signature(flights).inputs.input_names()[:2]
    ['scheduled_hour', 'scheduled_minute']
    """
    inputs = [ColSpec(DataType[_type(config, name)], name) for name in config.features]
    shape = (-1,) if config.task == "regression" else (-1, len(config.label.classes or ()))
    return ModelSignature(inputs=Schema(inputs), outputs=Schema([TensorSpec(dtype("float64"), shape)]))
