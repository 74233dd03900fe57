"""A backtest of what the store has published, in a process that knows no secret: recipes are fitted in it.

The parent writes ``history.parquet`` and ``job.json`` into a folder; the process leaves ``backtest.html``,
``backtest.json`` and ``result.json`` there.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from perennial.apart.process import end_with_the_parent, how_it_ended, run_apart
from perennial.config import ModelConfig, load_model
from perennial.contracts.tags import CONFIG_TAG, MODEL_TAG
from perennial.errors import ConfigError, PerennialError, TrainingError
from perennial.evidence.deliveries.logged import read_logged
from perennial.registry import Registry
from perennial.registry.runs import RunKey, ensure_experiment, finish_run, finished_run, log_folder, start_run
from perennial.storage.work import temporary_folder
from perennial.store import Store

HISTORY, JOB, RESULT, OVERLAYS = "history.parquet", "job.json", "result.json", "policies"
REPORT = ("backtest.html", "backtest.json")


@dataclass(frozen=True, slots=True, kw_only=True)
class BacktestJob:
    """What to try: ``policies`` are parts of ``model.yaml`` by the name they are shown under."""

    policies: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    since: datetime | None = None
    until: datetime | None = None
    people: str = "approve"


def report(
    config: ModelConfig,
    asked: BacktestJob,
    *,
    run_id: str,
    store: Store,
    registry: Registry,
    models_dir: Path,
    timeout_s: float,
) -> tuple[str, str]:
    """Replay, and keep the report in MLflow; the ids of the experiment, which is the model's, and of the run there.

    Once for every ``run_id``. Raises ConfigError for a policy that is none or a history without a window,
    TrainingError when the process was cut off or took longer than ``timeout_s``, StoreUnavailable,
    RegistryUnavailable.
    """
    key = RunKey(model=config.model, snapshot_id="backtest", request=run_id, recipe="backtest")
    experiment_id = ensure_experiment(registry, key.experiment)
    if done := finished_run(registry, key):
        return experiment_id, str(done.info.run_id)
    with temporary_folder("backtest-") as folder:
        _prepare(config, asked, folder, store=store, models_dir=models_dir, timeout_s=timeout_s)
        _replay(config, folder, timeout_s)
        mlflow_run_id = start_run(registry, key, tags={MODEL_TAG: config.model, CONFIG_TAG: config.digest})
        kept = folder / "report"
        kept.mkdir()
        for name in REPORT:
            (folder / name).rename(kept / name)
        log_folder(registry, mlflow_run_id, kept, "backtest")
    finish_run(registry, mlflow_run_id)
    return experiment_id, mlflow_run_id


def _prepare(
    config: ModelConfig, asked: BacktestJob, folder: Path, *, store: Store, models_dir: Path, timeout_s: float
) -> None:
    logged = read_logged(config, until=asked.until, store=store)
    names = {**config.delivered("predictions"), **config.delivered("labels")}
    pq.write_table(logged.rename_columns([names[name] for name in logged.column_names]), folder / HISTORY)
    job = {
        "model": str(models_dir / config.model),
        "policies": {name: dict(parts) for name, parts in asked.policies.items()},
        "since": asked.since.isoformat() if asked.since else None,
        "until": asked.until.isoformat() if asked.until else None,
        "people": asked.people,
        "timeout_s": timeout_s,
    }
    (folder / JOB).write_text(json.dumps(job), encoding="utf-8")


def _replay(config: ModelConfig, folder: Path, timeout_s: float) -> None:
    code = run_apart(__name__, folder, timeout_s)
    if code is None:
        raise TrainingError(f"{config.model}: the backtest took longer than {timeout_s:.0f} s and was ended")
    if code != 0 or not (folder / RESULT).is_file():
        raise TrainingError(f"{config.model}: {how_it_ended(code, folder)}")
    if problem := json.loads((folder / RESULT).read_text(encoding="utf-8")):
        raise ConfigError(problem)


def main(folder: Path) -> None:
    """What the process does. A problem of the policies or the history is its result, and no exit code."""

    job = json.loads((folder / JOB).read_text(encoding="utf-8"))
    end_with_the_parent(float(job["timeout_s"]))
    try:
        _compare(job, folder)
        problem = ""
    except PerennialError as error:
        problem = str(error)
    (folder / RESULT).write_text(json.dumps(problem), encoding="utf-8")


def _compare(job: dict[str, Any], folder: Path) -> None:
    import yaml

    from perennial.backtest import command

    config = load_model(Path(job["model"]))
    overlays = []
    (folder / OVERLAYS).mkdir()
    for name, parts in job["policies"].items():
        if Path(name).name != name:
            raise ConfigError(f"{name!r} is no name of a policy: it may hold no path")
        overlays.append(folder / OVERLAYS / f"{name}.yaml")
        overlays[-1].write_text(yaml.safe_dump(parts), encoding="utf-8")
    begin, end = (datetime.fromisoformat(job[key]) if job[key] else None for key in ("since", "until"))
    log = command.read_log(config, history=folder / HISTORY, until=end, store=None)
    found = command.run(
        config, log, overlays, folder=Path(job["model"]), scratch=folder, kept=folder / "fits", since=begin, until=end,
        people=job["people"], progress=lambda name, window: print(f"{name}, {window.start:%Y-%m-%d}"),  # noqa: T201
    )  # fmt: skip
    command.write(found, folder)
