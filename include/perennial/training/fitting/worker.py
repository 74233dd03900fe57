"""The process that runs a recipe: a search, cross-validation in time order, the fit, the first look at its answers.

It is a process of its own so that a recipe that never ends, eats all memory or crashes can be ended from outside,
inside an Airflow task as well as under the CLI. It reads ``job.json`` and ``train.parquet`` in its folder and leaves
``result.json``, and ``model.skops`` when all went well. A search leaves the parameters it chose in place of a model. A
probe is only asked for its answers: it reads ``judged.parquet`` besides, and leaves ``answers.parquet``.
"""

import json
import resource
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from perennial.apart.process import end_with_the_parent
from perennial.config import ModelConfig
from perennial.errors import PerennialError
from perennial.registry.scoring import own_threshold, score
from perennial.training.fitting.curve import curve_of
from perennial.training.fitting.folds import converging, fit_rows, fold_answers, refuse_one_class, summed_up
from perennial.training.fitting.recipe import blame, build_estimator, params_of
from perennial.training.fitting.threshold import deciding_by, tuned_threshold

TRAIN_FILE, JUDGED_FILE, ANSWERS_FILE = "train.parquet", "judged.parquet", "answers.parquet"
FIRST_LOOK_ROWS = 10_000
_MOST_OF_WHAT_IS_LEFT = 0.25
"""Of the time that a fit may take: nothing that is only drawn may cost the candidate."""


def main(folder: Path) -> None:
    """Do the job in ``folder``. A problem of the recipe or the data is part of the result, not an exit code."""
    job = json.loads((folder / "job.json").read_text(encoding="utf-8"))
    end_with_the_parent(float(job["timeout_s"]))
    if most_mb := job.get("memory_mb"):
        resource.setrlimit(resource.RLIMIT_DATA, (most_mb << 20, most_mb << 20))
    config = ModelConfig.model_validate(job["config"])
    recipe, shown = Path(job["recipe"]), Path(job["shown"])
    try:
        result = _WORK[job["kind"]](config, recipe, folder, shown=shown)
    except PerennialError as error:
        result = {"problem": str(error)}
    except (Exception, SystemExit) as error:  # a recipe may raise anything
        result = {"problem": blame(recipe, error, shown=shown)}
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    result["cpu_s"] = sum(usage.ru_utime + usage.ru_stime for usage in used)
    result["peak_mb"] = max(usage.ru_maxrss for usage in used) / 1024
    (folder / "result.json").write_text(json.dumps(result), encoding="utf-8")


def _train(config: ModelConfig, recipe: Path, folder: Path, *, shown: Path) -> dict[str, Any]:
    """Folds, fit, and a learning curve in what is left of the time and of its share."""
    # which imports all of scikit-learn: a probe does without
    from perennial.registry.skops_imports import sio
    from perennial.registry.trust import MODEL_FILE, check_types

    began, began_cpu = time.monotonic(), time.process_time()
    table = pq.read_table(folder / TRAIN_FILE, memory_map=False)
    refuse_one_class(config, table)
    params = params_of(config, recipe)

    def build() -> Any:
        return build_estimator(recipe, seed=config.training.seed, params=params)

    with converging():
        folds = list(fold_answers(config, build, table, config.training.cv_folds))
        model = fit_rows(config, build(), table)
    if config.training.tune_threshold:
        model = deciding_by(model, tuned_threshold(config, folds))
    score(config, model, table.slice(0, FIRST_LOOK_ROWS))
    path = folder / MODEL_FILE
    sio.dump(model, path)
    check_types(sio.get_untrusted_types(file=path), config.training.trusted_types, what=f"the model of {shown}")
    threshold = own_threshold(model) if config.task == "binary" else None
    cv = summed_up(config, [replace(answers, threshold=threshold) for answers in folds])
    spent_s, took_s = time.process_time() - began_cpu, time.monotonic() - began
    left_s = _MOST_OF_WHAT_IS_LEFT * (config.training.timeout.total_seconds() - took_s)
    curve = curve_of(config, build, table, min(config.training.learning_curve * spent_s, left_s))
    return {"cv": cv, "params": params, "threshold": threshold, "curve": curve}


def _search(config: ModelConfig, recipe: Path, folder: Path, *, shown: Path) -> dict[str, Any]:
    from perennial.training.search.study import search

    table = pq.read_table(folder / TRAIN_FILE, memory_map=False)
    refuse_one_class(config, table)
    params, n_tried = search(config, recipe, table, folder=folder, shown=shown)
    return {"params": params, "n_tried": n_tried}


def _probe(config: ModelConfig, recipe: Path, folder: Path, *, shown: Path) -> dict[str, Any]:  # noqa: ARG001 - as others
    """Fit on ``train.parquet`` and answer for ``judged.parquet``, in its order."""
    model = fit_recipe(config, recipe, pq.read_table(folder / TRAIN_FILE, memory_map=False))
    scores, predicted = score(config, model, pq.read_table(folder / JUDGED_FILE, memory_map=False))
    classes = pa.nulls(len(scores), pa.string()) if predicted is None else pa.array(predicted.tolist(), pa.string())
    pq.write_table(pa.table({"score": scores, "predicted": classes}), folder / ANSWERS_FILE)
    return {}


def fit_recipe(config: ModelConfig, recipe: Path, table: pa.Table) -> Any:
    """The recipe's estimator fitted on ``table`` (features and ``label``), here and now.

    Raises TrainingError for labels of one class only; whatever the recipe raises passes.
    """
    refuse_one_class(config, table)
    estimator = build_estimator(recipe, seed=config.training.seed, params=params_of(config, recipe))
    return fit_rows(config, estimator, table)


_WORK = {"fit": _train, "search": _search, "probe": _probe}
