"""A fit, a search or a probe in a process apart, and what it found."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from perennial.apart.process import how_it_ended, run_apart
from perennial.config import ModelConfig
from perennial.contracts.measured.chosen import Value
from perennial.errors import TrainingError
from perennial.training.drawn.learning import Point, from_record
from perennial.training.fitting.recipe import FrozenRecipe

WORKER = "perennial.training.fitting.worker"


@dataclass(frozen=True, slots=True)
class Fitting:
    """What a fit found and cost: the metrics of its cross-validation, the CPU seconds of its process and of what that
    started, and the most memory that one of them held, in MB (2**20 bytes); and the parameters it was built with, and
    from which score on it predicts the positive class, None where it was told none. ``curve`` is its learning curve.
    """

    cv: dict[str, float]
    cpu_s: float
    peak_mb: float
    params: dict[str, Value]
    threshold: float | None = None
    curve: tuple[Point, ...] = ()


@dataclass(frozen=True, slots=True)
class Searched:
    """The parameters that a search chose, how many sets it tried, and what it cost, as of :class:`Fitting`."""

    params: dict[str, Value]
    n_tried: int
    cpu_s: float
    peak_mb: float


def run_worker(config: ModelConfig, recipe: FrozenRecipe, folder: Path) -> Fitting:
    """Fit ``recipe`` on ``folder/train.parquet``, and draw a learning curve; the model is then ``folder/model.skops``.

    Raises TrainingError when the recipe raised, did not converge, took longer than ``training.timeout`` or was ended
    from outside. What it printed is in ``folder/fit.txt``.
    """
    limit = ("training.timeout", config.training.timeout)
    found = _work(config, recipe, folder, limit=limit, job={"kind": "fit"})
    cv = {str(name): float(value) for name, value in found["cv"].items()}
    return Fitting(
        cv,
        float(found["cpu_s"]),
        float(found["peak_mb"]),
        found["params"],
        found["threshold"],
        from_record(found["curve"]),
    )


def run_search(config: ModelConfig, recipe: FrozenRecipe, folder: Path, *, watch: Callable[[], None]) -> Searched:
    """Search the parameters of ``recipe`` on ``folder/train.parquet``; ``watch`` is called every second meanwhile.

    What was tried stands in ``folder/tried.jsonl`` (:mod:`perennial.training.search.tried`). Raises TrainingError as
    :func:`run_worker`: after ``training.search.seconds`` what was begun has ``training.timeout`` to end in.
    """
    seconds = config.training.search.seconds if config.training.search else 0.0
    limit = ("training.search.seconds and training.timeout", timedelta(seconds=seconds) + config.training.timeout)
    found = _work(config, recipe, folder, limit=limit, job={"kind": "search"}, watch=watch)
    return Searched(found["params"], int(found["n_tried"]), float(found["cpu_s"]), float(found["peak_mb"]))


def run_probe(config: ModelConfig, recipe: FrozenRecipe, folder: Path) -> None:
    """Fit ``recipe`` as a probe on ``folder/train.parquet``; its answers for ``folder/judged.parquet`` lie beside them.

    They are ``folder/answers.parquet``: ``score`` (double), ``predicted`` (text, null but for multiclass). Raises
    TrainingError as :func:`run_worker`, of ``signals.gain.timeout`` and ``signals.gain.memory_mb``.
    """
    gain = config.signals.gain
    limit = ("signals.gain.timeout", gain.timeout)
    _work(as_probe(config), recipe, folder, limit=limit, job={"kind": "probe", "memory_mb": gain.memory_mb})


def as_probe(config: ModelConfig) -> ModelConfig:
    """The configuration that the recipe is built with as a probe. Pure.

    >>> as_probe(flights).training.params["max_iter"]
    30
    >>> gain = flights.signals.gain.model_copy(update={"probe": "full"})
    >>> full = flights.model_copy(update={"signals": flights.signals.model_copy(update={"gain": gain})})
    >>> as_probe(full).training == flights.training
    True
    """
    gain = config.signals.gain
    params = {**config.training.params, **(gain.params if gain.probe == "small" else {})}
    return config.model_copy(update={"training": config.training.model_copy(update={"params": params})})


def _work(
    config: ModelConfig,
    recipe: FrozenRecipe,
    folder: Path,
    *,
    limit: tuple[str, timedelta],
    job: dict[str, Any],
    watch: Callable[[], None] | None = None,
) -> dict[str, Any]:
    """What the worker found; ``limit`` is the key in ``model.yaml`` that bounds its time, and its value."""
    name, timeout = limit
    given = {"config": _plain(config), "recipe": str(recipe.copy), "shown": str(recipe.original)}
    given["timeout_s"] = timeout.total_seconds()
    (folder / "job.json").write_text(json.dumps({**given, **job}), encoding="utf-8")
    code = run_apart(WORKER, folder, timeout.total_seconds(), watch=watch)
    if code is None:
        raise TrainingError(
            f"{recipe.original}: not fitted within {name} = {timeout} and ended; make the recipe smaller or raise the "
            "timeout"
        )
    result = folder / "result.json"
    if code != 0 or not result.is_file():
        raise TrainingError(f"{recipe.original}: {how_it_ended(code, folder)}")
    found: dict[str, Any] = json.loads(result.read_text(encoding="utf-8"))
    if "problem" in found:
        raise TrainingError(found["problem"])
    return found


def _plain(config: ModelConfig) -> Any:
    """The configuration as JSON that ``ModelConfig`` reads back: durations in whole minutes, times as ISO 8601."""

    def written(value: object) -> str:
        if isinstance(value, timedelta):
            return f"{-(-value // timedelta(minutes=1))}min"
        if isinstance(value, datetime):
            return value.isoformat()
        raise TypeError(f"{value!r} has no place in model.yaml")

    return json.loads(json.dumps(config.model_dump(by_alias=True), default=written))
