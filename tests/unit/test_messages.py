"""What the typical mistakes of a first model.yaml and recipe.py are answered with."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from perennial.cli import app
from perennial.config import load_model
from perennial.errors import ConfigError, TrainingError
from perennial.training.fitting.recipe import build_estimator

DIABETES = Path(__file__).parents[1] / "models" / "diabetes_progress"


def write_model(models_dir: Path, old: str, new: str, *, recipe: str | None = None) -> Path:
    """The diabetes model with one mistake in its file."""
    folder = models_dir / "diabetes_progress"
    folder.mkdir()
    declared = (DIABETES / "model.yaml").read_text(encoding="utf-8")
    assert old in declared
    (folder / "model.yaml").write_text(declared.replace(old, new, 1), encoding="utf-8")
    code = recipe or (DIABETES / "recipe.py").read_text(encoding="utf-8")
    (folder / "recipe.py").write_text(code, encoding="utf-8")
    return folder


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("mature_share:", "mature_shares:", "label.mature_shares = 0.9: no such key"),
        ("start: 2024-01-01T00:00:00Z", "start: 2024-01-01", "schedule.start = 2024-01-01: carries no time zone"),
        ("1.0e-9", "1e-9", "write 1e-9 as 1.0e-9"),
        ("[one, two]", "[yes, no]", "features.sex.categories.0 = True: must be text; put it in quotes"),
        ("format: jsonl", "format: tsv", "sources.predictions.format = 'tsv'"),
        ("{start:%Y", "{begin:%Y", "it may hold {home}, {start:%Y-%m-%d} and {end:...}"),
        ("kind: files, ", "", "sources.predictions: give its kind"),
    ],
)
def test_a_mistake_is_answered_with_what_to_write(tmp_path: Path, old: str, new: str, told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_model(write_model(tmp_path, old, new))
    assert told in str(caught.value)


def test_check_names_the_line_of_a_recipe_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_model(tmp_path, "title", "title", recipe="import sys\nimport no_such_package\n")
    monkeypatch.setenv("PERENNIAL_MODELS_DIR", str(tmp_path))
    ended = CliRunner().invoke(app, ["check"])
    assert ended.exit_code == 1
    assert "recipe.py:2: ModuleNotFoundError" in ended.output


def test_a_recipe_that_returns_nothing_is_refused(tmp_path: Path) -> None:
    folder = write_model(tmp_path, "title", "title", recipe="def build(*, seed):\n    pass\n")
    with pytest.raises(TrainingError, match="build returns NoneType, not an unfitted estimator"):
        build_estimator(folder / "recipe.py", seed=1, params={})
