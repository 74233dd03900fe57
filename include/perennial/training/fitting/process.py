"""Code of a model in a process of its own, without secrets, no longer than allowed, and nothing left of it behind."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import perennial
from perennial.config import ModelConfig
from perennial.contracts.measured.chosen import Value
from perennial.errors import TrainingError
from perennial.training.drawn.learning import Point, from_record
from perennial.training.fitting.recipe import FrozenRecipe

_START = """
import sys
from importlib import import_module
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import_module(sys.argv[2]).main(Path(sys.argv[3]))
"""
WORKER = "perennial.training.fitting.worker"
PRINTED = "fit.txt"
_LOG_TAIL = 800
_LOOK_EVERY_S = 1.0
_KEPT = frozenset({"PATH", "LANG", "LC_ALL", "TZ", "LD_LIBRARY_PATH", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"})


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


def run_apart(module: str, folder: Path, timeout_s: float, *, watch: Callable[[], None] | None = None) -> int | None:
    """Have ``module.main(folder)`` run; the exit code, or None when the time ran out and it was ended.

    ``watch`` is called every second meanwhile; what it raises ends the process.

    Its home is ``folder``, what it prints is ``folder/fit.txt``, and of the environment it knows nothing that could
    hold a secret. A main that calls :func:`~perennial.training.fitting.worker.end_with_the_parent` outlives nobody.
    """
    include = Path(perennial.__file__).parents[1]
    command = [sys.executable, "-P", "-c", _START, str(include), module, str(folder)]
    with (folder / PRINTED).open("wb") as log:
        process = subprocess.Popen(  # noqa: S603 - our own interpreter and code
            command,
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            cwd=folder,
            env=_environment(folder),
            process_group=0,
        )
        try:
            return _wait(process, timeout_s, watch)
        except subprocess.TimeoutExpired:
            return None
        finally:
            # the whole group: a recipe may have started processes of its own
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            if process.stdin:
                process.stdin.close()


def _wait(process: subprocess.Popen[bytes], timeout_s: float, watch: Callable[[], None] | None) -> int:
    """The exit code. Raises subprocess.TimeoutExpired."""
    if watch is None:
        return process.wait(timeout_s)
    until = time.monotonic() + timeout_s
    while True:
        try:
            return process.wait(min(_LOOK_EVERY_S, max(until - time.monotonic(), 0.0)))
        except subprocess.TimeoutExpired:
            if time.monotonic() >= until:
                raise
            watch()


def _environment(folder: Path) -> dict[str, str]:
    """What a recipe may know of the environment: nothing that could hold a secret."""
    kept = {name: value for name, value in os.environ.items() if name in _KEPT or name.startswith("OMP_")}
    return {**kept, "HOME": str(folder), "TMPDIR": str(folder)}


def how_it_ended(code: int, folder: Path) -> str:
    """That a process ended before its work was done, how, and the end of what it printed."""
    printed = (folder / PRINTED).read_text(encoding="utf-8", errors="replace")
    return f"the process ended with {_ending(code)}; it printed: {printed[-_LOG_TAIL:]}"


def _ending(code: int) -> str:
    return f"signal {signal.Signals(-code).name} (out of memory?)" if code < 0 else f"exit code {code}"


def _plain(config: ModelConfig) -> Any:
    """The configuration as JSON that ``ModelConfig`` reads back: durations in whole minutes, times as ISO 8601."""

    def written(value: object) -> str:
        if isinstance(value, timedelta):
            return f"{-(-value // timedelta(minutes=1))}min"
        if isinstance(value, datetime):
            return value.isoformat()
        raise TypeError(f"{value!r} has no place in model.yaml")

    return json.loads(json.dumps(config.model_dump(by_alias=True), default=written))
