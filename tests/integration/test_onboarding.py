"""From a file that nobody made for Perennial to a candidate that waits for its review, without an edit by hand."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

import unfamiliar
from perennial.cli import app
from perennial.config import load_model
from perennial.config.signals.judgement import GainSignal


def perennial(*words: str) -> Any:
    done = CliRunner().invoke(app, list(words))
    assert done.exit_code == 0, done.output
    return done


def shortened(path: Path) -> None:
    """Of a model.yaml only what can not be guessed: where logs lie, and what their columns are."""
    said = yaml.safe_load(path.read_text(encoding="utf-8"))
    kept = {key: said[key] for key in ("model", "owner", "task", "schedule", "sources", "columns", "label", "features")}
    path.write_text(yaml.safe_dump(kept, sort_keys=False, default_flow_style=None, width=300), encoding="utf-8")
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 25


@pytest.mark.parametrize(
    ("make", "answers", "task"),
    [
        (unfamiliar.wide, (), "binary"),
        (unfamiliar.without_id, ("--label", "price"), "regression"),
        (unfamiliar.mixed, ("--time", "Datum"), "multiclass"),
    ],
)
def test_a_file_becomes_a_model_whose_monitor_and_retrain_pass(
    make: Callable[[Path], Path],
    answers: tuple[str, ...],
    task: str,
    tmp_path: Path,
    database_url: str,
    mlflow_uri: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    home, models = tmp_path / "home", tmp_path / "models"
    monkeypatch.setenv("PERENNIAL_DATABASE_URL", database_url)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_uri)
    monkeypatch.setenv("PERENNIAL_HOME", str(home))
    monkeypatch.setenv("PERENNIAL_MODELS_DIR", str(models))
    name = f"own_{task}"

    said = perennial("init", name, "--from", str(make(tmp_path)), *answers).output
    if task == "multiclass":  # and with every bound, stretch and threshold at its default
        shortened(models / name / "model.yaml")
        perennial("check")
    config = load_model(models / name)
    assert config.task == task
    assert GainSignal().probe == "small"  # nothing was switched off to pass
    assert config.signals.gain.probe == "small"
    monitor = next(line for line in said.splitlines() if line.startswith("  perennial run monitor")).split()[1:]
    decided = json.loads(perennial(*monitor, "--json").stdout)
    assert (decided["action"], decided["champion"]) == ("retrain", None)
    ended = json.loads(perennial("run", "retrain", name, "--json").stdout)
    assert (ended["ended"], ended["version"]) == ("waiting", "1"), ended
