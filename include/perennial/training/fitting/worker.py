"""The process that runs a recipe: cross-validation in time order, the fit, and the first look at its answers.

It is a process of its own so that a recipe that never ends, eats all memory or crashes can be ended from outside,
inside an Airflow task as well as under the CLI. It reads ``job.json`` and ``train.parquet`` in its folder and leaves
``result.json``, and ``model.skops`` when all went well. A probe is only asked for its answers: it reads
``judged.parquet`` besides, and leaves ``answers.parquet`` in place of a model.
"""

import contextlib
import json
import os
import resource
import signal
import threading
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import skops.io as sio
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import TimeSeriesSplit

from perennial.config import ModelConfig
from perennial.errors import PerennialError, TrainingError
from perennial.evidence.answers import Answers
from perennial.registry.scoring import features_frame, score
from perennial.registry.trust import MODEL_FILE, check_types
from perennial.training.drawn.learning import as_record, curve_metric, learning_curve
from perennial.training.fitting.recipe import blame, build_estimator
from perennial.training.fitting.weights import weighted
from perennial.training.rows import labels_of

TRAIN_FILE, JUDGED_FILE, ANSWERS_FILE = "train.parquet", "judged.parquet", "answers.parquet"
FIRST_LOOK_ROWS = 10_000
_GRACE_S = 60
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
        probing = job["kind"] == "probe"
        if probing:
            result = _probe(config, recipe, folder)
        else:
            timeout_s = float(job["timeout_s"]) if job["curve"] else 0.0
            result = _train(config, recipe, folder, shown=shown, timeout_s=timeout_s)
    except PerennialError as error:
        result = {"problem": str(error)}
    except ConvergenceWarning as error:
        result = {"problem": f"{shown}: the fit did not converge: {' '.join(str(error).split())[:500]}"}
    except (Exception, SystemExit) as error:  # a recipe may raise anything
        result = {"problem": blame(recipe, error, shown=shown)}
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    result["cpu_s"] = sum(usage.ru_utime + usage.ru_stime for usage in used)
    result["peak_mb"] = max(usage.ru_maxrss for usage in used) / 1024
    (folder / "result.json").write_text(json.dumps(result), encoding="utf-8")


def _train(config: ModelConfig, recipe: Path, folder: Path, *, shown: Path, timeout_s: float) -> dict[str, Any]:
    """Folds, fit, and a learning curve in what is left of ``timeout_s`` then: none where that is nothing."""
    began, began_cpu = time.monotonic(), time.process_time()
    table = pq.read_table(folder / TRAIN_FILE, memory_map=False)
    _refuse_one_class(config, table)

    def build() -> Any:
        return build_estimator(recipe, seed=config.training.seed, params=config.training.params)

    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        cv = cross_validate(config, build, table)
        model = _fit(config, build(), table)
    score(config, model, table.slice(0, FIRST_LOOK_ROWS))
    path = folder / MODEL_FILE
    sio.dump(model, path)
    check_types(sio.get_untrusted_types(file=path), config.training.trusted_types, what=f"the model of {shown}")
    spent, left_s = time.process_time() - began_cpu, timeout_s - (time.monotonic() - began)
    budget_s = min(config.training.learning_curve * spent, _MOST_OF_WHAT_IS_LEFT * left_s)
    return {"cv": cv, "curve": _curve(config, build, table, budget_s)}


def _curve(config: ModelConfig, build: Callable[[], Any], table: pa.Table, budget_s: float) -> list[list[Any]]:
    """The newest of the rows before the last fold, ever more of them, judged by that fold."""
    past, later = list(TimeSeriesSplit(n_splits=config.training.cv_folds).split(np.arange(table.num_rows)))[-1]
    unseen, name = table.slice(int(later[0]), len(later)), curve_metric(config)

    def tried(n_rows: int) -> tuple[float, float]:
        known = table.slice(len(past) - n_rows, n_rows)
        _refuse_one_class(config, known)
        with warnings.catch_warnings():
            warnings.simplefilter("error", ConvergenceWarning)
            model = _fit(config, build(), known)
        newest = known.slice(max(0, n_rows - FIRST_LOOK_ROWS))
        own, ahead = (_answers(config, model, rows).metrics(config)[name] for rows in (newest, unseen))
        return own, ahead

    return as_record(learning_curve(len(past), tried, budget_s=budget_s, clock=time.process_time))


def _answers(config: ModelConfig, model: Any, rows: pa.Table) -> Answers:
    scores, predicted = score(config, model, rows)
    times = rows.column("event_time").to_numpy()
    return Answers(times=times, labels=labels_of(config, rows), scores=scores, predicted=predicted)


def _probe(config: ModelConfig, recipe: Path, folder: Path) -> dict[str, Any]:
    """Fit on ``train.parquet`` and answer for ``judged.parquet``, in its order."""
    model = fit_recipe(config, recipe, pq.read_table(folder / TRAIN_FILE, memory_map=False))
    scores, predicted = score(config, model, pq.read_table(folder / JUDGED_FILE, memory_map=False))
    classes = pa.nulls(len(scores), pa.string()) if predicted is None else pa.array(predicted.tolist(), pa.string())
    pq.write_table(pa.table({"score": scores, "predicted": classes}), folder / ANSWERS_FILE)
    return {"cv": {}}


def fit_recipe(config: ModelConfig, recipe: Path, table: pa.Table) -> Any:
    """The recipe's estimator fitted on ``table`` (features and ``label``), here and now.

    Raises TrainingError for labels of one class only; whatever the recipe raises passes.
    """
    _refuse_one_class(config, table)
    estimator = build_estimator(recipe, seed=config.training.seed, params=config.training.params)
    return _fit(config, estimator, table)


def _fit(config: ModelConfig, model: Any, table: pa.Table) -> Any:
    return model.fit(features_frame(config, table), labels_of(config, table), **weighted(config, model, table))


def _refuse_one_class(config: ModelConfig, table: pa.Table) -> None:
    if config.task == "regression":
        return
    found = np.unique(labels_of(config, table))
    if len(found) < 2:  # noqa: PLR2004 - nothing to tell apart
        raise TrainingError(
            f"{config.model}: all {table.num_rows} training rows have the label {found[0]}; lengthen training.train"
        )


def cross_validate(config: ModelConfig, build: Callable[[], Any], table: pa.Table) -> dict[str, float]:
    """``cv_<metric>_mean`` and ``cv_<metric>_std`` over folds that each lie after what was fitted for them.

    ``table`` is in the order of time, with the features, ``event_time`` (timestamp[us], UTC) and ``label`` (double,
    text for multiclass). A fold whose past holds one class only, or too few for its metric, is left out; ``cv_folds``
    counts those used. (scikit-learn's TimeSeriesSplit; the deviation is that of the population.)

    >>> from sklearn.dummy import DummyClassifier
    >>> columns = {name: ["a"] * 8 if name in flights.categories else [1.0] * 8 for name in flights.features}
    >>> times = pa.array([day(number).start for number in range(8)], pa.timestamp("us", "UTC"))
    >>> table = pa.table({**columns, "event_time": times, "label": [0.0, 1.0] * 4})
    >>> cross_validate(flights, DummyClassifier, table)["cv_roc_auc_mean"]
    0.5
    """
    found: dict[str, list[float]] = {}
    n_used = 0
    for past, later in TimeSeriesSplit(n_splits=config.training.cv_folds).split(np.arange(table.num_rows)):
        known, unseen = table.slice(0, len(past)), table.slice(int(later[0]), len(later))
        if config.task != "regression" and len(np.unique(labels_of(config, known))) < 2:  # noqa: PLR2004
            continue
        n_used += 1
        answers = _answers(config, _fit(config, build(), known), unseen)
        for name, value in answers.metrics(config).items():
            found.setdefault(name, []).append(value)
    summary = {"cv_folds": float(n_used)}
    for name, values in found.items():
        summary[f"cv_{name}_mean"], summary[f"cv_{name}_std"] = float(np.mean(values)), float(np.std(values))
    return summary


def end_with_the_parent(timeout_s: float) -> None:
    """Leave no orphan: end when the parent's end of stdin closes, and at the latest a while after the timeout.

    The alarm keeps its default action, which also ends a fit that never comes back from C.
    """
    signal.setitimer(signal.ITIMER_REAL, timeout_s + _GRACE_S)

    def watch() -> None:
        with contextlib.suppress(OSError):
            # not through sys.stdin: its lock, held by a daemon thread, aborts the interpreter when it ends
            while os.read(0, 1):
                pass
        os.killpg(os.getpgid(0), signal.SIGKILL)

    threading.Thread(target=watch, daemon=True).start()
