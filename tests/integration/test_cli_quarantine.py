"""What is in quarantine, on the command line: counted, with examples, and nothing in a logged value does anything."""

import json
from datetime import timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from ingesting import DAY, landing, rows_of, take, write_lines
from perennial.cli import app
from perennial.config import ModelConfig
from perennial.store import Store

WINE = "wine_cultivar"
MALFORMED = '{"prediction_id": [red]\x1b[2J'


@pytest.fixture
def asked(
    wine: ModelConfig, store: Store, home: Path, models_dir: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> ModelConfig:
    """A model with a published batch that has three rows in quarantine, and a halted one of labels."""
    values = {
        "PERENNIAL_DATABASE_URL": database_url,
        "MLFLOW_TRACKING_URI": "http://127.0.0.1:9",
        "PERENNIAL_HOME": str(home),
        "PERENNIAL_MODELS_DIR": str(models_dir),
    }
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    rows = rows_of(WINE)
    rows[3]["hue"], rows[5]["hue"] = "[bold]red[/bold]", "blue"
    write_lines(landing(home, WINE) / "a.jsonl", [*rows, MALFORMED])
    label = {"label": "merlot", "labelled_at": "2024-01-01T00:00:00Z"}
    write_lines(landing(home, WINE, "labels") / "a.jsonl", [{"prediction_id": str(i), **label} for i in range(4)])
    assert [take(wine, home, store, source)[2].status for source in ("predictions", "labels")] == [
        "published",
        "halted",
    ]
    return wine


def ask(*words: str) -> Result:
    return CliRunner().invoke(app, ["quarantine", *words])


def test_causes_are_counted_and_halted_batches_included(asked: ModelConfig) -> None:
    shown = ask(asked.model, "--examples", "1", "--json")
    assert shown.exit_code == 0, shown.output
    predictions, labels = json.loads(shown.stdout)
    assert (predictions["status"], predictions["n_quarantined"]) == ("published", 3)
    assert [(one["cause"], one["n_rows"]) for one in predictions["causes"]["first"]] == [
        ("hue: is no number", 2),
        ("malformed: not a complete record of this format", 1),
    ]
    assert [len(one["examples"]) for one in predictions["causes"]["first"]] == [1, 1]
    assert (labels["status"], labels["n_quarantined"]) == ("halted", 4)
    assert labels["causes"]["first"][0]["cause"] == "label: not among barolo, grignolino, barbera"


def test_logged_values_are_shown_as_they_are(asked: ModelConfig) -> None:
    shown = ask(asked.model)
    assert shown.exit_code == 0, shown.output
    assert "hue: is no number: 2 rows" in shown.stdout
    assert "row 3: hue: '[bold]red[/bold]' is no number" in shown.stdout
    assert '{"prediction_id": [red]\\x1b[2J' in shown.stdout
    assert "\x1b[2J" not in shown.stdout
    assert "halted: 4 of 4 rows are bad" in shown.stdout


def test_one_window_and_none(asked: ModelConfig) -> None:
    span = ("--start", DAY.start.isoformat(), "--end", DAY.end.isoformat())
    assert len(json.loads(ask(asked.model, *span, "--json").stdout)) == 2
    later = ("--start", DAY.end.isoformat(), "--end", (DAY.end + timedelta(days=1)).isoformat())
    assert "nothing is in quarantine" in ask(asked.model, *later).stdout
    half = ask(asked.model, "--start", DAY.start.isoformat())
    assert (half.exit_code, "give --start and --end together" in half.stderr) == (1, True)
