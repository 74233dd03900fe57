"""What a tired hand can write into a model.yaml, or into a URL, and what it is told."""

import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from conftest import TEST_MODELS
from perennial.cli import app
from perennial.config import load_model
from perennial.errors import ConfigError, RegistryUnavailable
from perennial.registry import Registry, alias_version
from perennial.store import open_store
from perennial.store.schema import predictions_table


def written(folder: Path, old: str, new: str) -> Path:
    """A copy of the multiclass test model with one change."""
    target = folder / "wine_cultivar"
    shutil.copytree(TEST_MODELS / "wine_cultivar", target)
    text = (target / "model.yaml").read_text(encoding="utf-8")
    assert old in text
    (target / "model.yaml").write_text(text.replace(old, new), encoding="utf-8")
    return target


BATCHES = "min_rows: 20"


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        (BATCHES, "min_rows: 20\n  max_rows: 19", "validation: min_rows 20 is above max_rows 19"),
        ("bound: 0.6, max_deficit", "bound: 1.2, max_deficit", "bake.bound = 1.2: no value keeps this bound"),
        ("bound: 0.6, max_deficit", "bound: 0.0, max_deficit", "bake.bound = 0: every value keeps this bound"),
        ("max_deficit: 0.05", "max_deficit: 1.0", "bake.max_deficit = 1: no two values of accuracy lie further apart"),
        ("bound: 0.7,", "bound: 1.01,", "signals.performance.accuracy.bound = 1.01: no value keeps this bound"),
        ("bound: 0.7,", "bound: 0.0,", "signals.performance.accuracy.bound = 0: every value keeps this bound"),
        ("max_loss: 0.2", "max_loss: 1.0", "signals.performance.accuracy.max_loss = 1: no two values"),
        ("accuracy: {min: 0.7}", "accuracy: {min: 1.1}", "signoff.metrics.accuracy.min = 1.1: no value keeps"),
        ("accuracy: {min: 0.7}", "accuracy: {min: 0.0}", "signoff.metrics.accuracy.min = 0: every value keeps"),
        ("accuracy: {min: 0.7}", "accuracy: {max: 1.0}", "signoff.metrics.accuracy.max = 1: every value keeps"),
        ("min_gain: 0.0", "min_gain: 1.1", "signoff.versus_champion.min_gain = 1.1: no two values"),
        (
            "jensenshannon, threshold: 0.2",
            "jensenshannon, threshold: 0.84",
            "signals.drift.category: threshold = 0.84 is never reached",
        ),
        (
            "wasserstein, threshold: 0.3",
            "hellinger, threshold: 1.01",
            "signals.drift.number: threshold = 1.01 is never reached",
        ),
        ("weighted_share: 0.5", "weighted_share: 0.0", "signals.drift.weighted_share = 0.0: "),
        ("max_age: 30d", "max_age: 53h", "policy.max_age = 2 days, 5:00:00: even a champion of today"),
        (
            BATCHES,
            "min_rows: 20\n  max_rows: 24",
            "training.min_train_rows = 100: training.train holds 96 rows at most",
        ),
        (BATCHES, "min_rows: 20\n  max_rows: 24", "signoff.min_holdout_rows = 50: training.holdout holds 48 rows"),
        (
            "max_deficit: 0.05",
            "max_deficit: 0.05, deadline: 47h",
            "bake.deadline = 1 day, 23:00:00: its 2 windows take",
        ),
    ],
)
def test_what_could_never_hold_is_refused_with_key_and_value(tmp_path: Path, old: str, new: str, told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_model(written(tmp_path, old, new))
    assert told in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (BATCHES, "min_rows: 20\n  max_rows: 25"),
        ("bound: 0.6, max_deficit", "bound: 1.0, max_deficit"),
        ("max_age: 30d", "max_age: 54h"),
        ("max_deficit: 0.05", "max_deficit: 0.05, deadline: 48h"),
        ("min_gain: 0.0", "min_gain: -1.5"),
        ("jensenshannon, threshold: 0.2", "jensenshannon, threshold: 0.83"),
        ("jensenshannon, threshold: 0.2", "hellinger, threshold: 1.0"),
    ],
)
def test_what_only_just_can_hold_is_taken(tmp_path: Path, old: str, new: str) -> None:
    load_model(written(tmp_path, old, new))


def test_all_contradictions_of_a_file_are_told_at_once(tmp_path: Path) -> None:
    folder = written(tmp_path, "bound: 0.6, max_deficit", "bound: 1.2, max_deficit")
    text = (folder / "model.yaml").read_text(encoding="utf-8").replace("max_age: 30d", "max_age: 1d")
    (folder / "model.yaml").write_text(text.replace("hue:", "score:"), encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_model(folder)
    lines = str(caught.value).splitlines()
    assert [line.split(": ")[1].split(" ")[0] for line in lines] == ["features", "bake.bound", "policy.max_age"]


def checked(models_dir: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[int, str]:
    monkeypatch.setenv("PERENNIAL_MODELS_DIR", str(models_dir))
    ended = CliRunner().invoke(app, ["check"])
    return ended.exit_code, ended.output


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("ExpectColumnMeanToBeBetween", "ExpectColumnMeanToBeNice", "no such expectation"),
        ("column: alcohol", "column: alcool", "no column alcool"),
        ("min_value: 11", "least: 11", "expectations.0 = ExpectColumnMeanToBeBetween"),
    ],
)
def test_check_knows_the_expectations(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, old: str, new: str, told: str
) -> None:
    folder = written(tmp_path, old, new)
    load_model(folder)  # a DAG is parsed without Great Expectations
    code, output = checked(tmp_path, monkeypatch)
    assert (code, told in output, str(folder / "model.yaml") in output) == (1, True, True), output


def test_check_says_that_a_model_yml_is_no_model_yaml(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = written(tmp_path, "owner", "owner")
    (folder / "model.yaml").rename(folder / "model.yml")
    code, output = checked(tmp_path, monkeypatch)
    assert (code, f"{folder / 'model.yml'}: call it model.yaml" in output) == (1, True), output


def test_check_tells_every_mistake_of_every_model_and_recipe_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(tmp_path, "column: alcohol", "column: alcool")
    for name in ("diabetes_progress", "tumour_malignant"):
        shutil.copytree(TEST_MODELS / name, tmp_path / name)
    for name in ("wine_cultivar", "diabetes_progress"):
        (tmp_path / name / "recipe.py").write_text("raise RuntimeError('spilt')\n", encoding="utf-8")
    path = tmp_path / "tumour_malignant" / "model.yaml"
    path.write_text(path.read_text(encoding="utf-8").replace("max_age", "max_agee"), encoding="utf-8")
    code, output = checked(tmp_path, monkeypatch)
    assert code == 1
    for told in (
        "policy.max_agee",
        "no column alcool",
        f"{tmp_path}/wine_cultivar/recipe.py:1: RuntimeError: spilt",
        f"{tmp_path}/diabetes_progress/recipe.py:1: RuntimeError: spilt",
    ):
        assert told in output, output


SCHEDULE = "start: 2024-01-01T00:00:00Z, end: 2024-03-01T00:00:00Z"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("max_age: 30d", "max_age: 99999999999999d"),
        ("cooldown: 1d", 'cooldown: "\u0661d"'),
        ("cooldown: 1d", 'cooldown: "1d\\n"'),
        ("owner: cellar", "owner: cellar\n? [a, b]\n: 1"),
        ("owner: cellar", "owner: cellar\n? {a: b}\n: 1"),
        (SCHEDULE, 'start: "0001-01-01T00:00:00+14:00"'),
        (SCHEDULE, "start: 20240101"),
        (SCHEDULE, "start: 2024-13-45T00:00:00Z"),
        ("sample_rows: 1000", "sample_rows: " + "9" * 5000),
        ("min: 50, max: 200", "min: 50, max: 1" + "0" * 400),
        ("accuracy: {min: 0.7}", "accuracy: {min: 0.9, max: 0.1}"),
        ("[barolo, grignolino, barbera]", "[barolo, barolo, barbera]"),
        ("[north, south]", "[north, north]"),
        ("{predicted: predicted, role: role}", "{predicted: alcohol, role: role}"),
        ("{predicted: predicted, role: role}", "{predicted: predicted, role: role, timestamp: prediction_id}"),
        ("delay: 6h", "delay: 30d"),
        ("predictions/{start:%Y-%m-%d}/*", "predictions/{begin}/*"),
        ("predictions/{start:%Y-%m-%d}/*", "predictions/{start.__class__}/*"),
        ("predictions/{start:%Y-%m-%d}/*", "predictions/{start"),
        ("allow_empty: true", "allow_empty: true, grace: 1d"),
        ("allow_empty: true", "allow_empty: true, grace: -1h"),
        ("allow_empty: true", "allow_empty: true, done_marker: ../_SUCCESS"),
        ("allow_empty: true", 'allow_empty: true, manifest: ""'),
    ],
)
def test_what_can_not_be_meant_is_refused_with_the_file(tmp_path: Path, old: str, new: str) -> None:
    with pytest.raises(ConfigError, match=r"wine_cultivar/model\.yaml: ") as caught:
        load_model(written(tmp_path, old, new))
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize(
    "url", ["postgresql://user@127.0.0.1:hunter2/db", "hunter2", "postgresql://user:hunter2@[::1/db"]
)
def test_a_broken_database_url_is_refused_without_showing_its_password(url: str) -> None:
    with pytest.raises(ConfigError, match="PERENNIAL_DATABASE_URL is not a URL") as caught:
        open_store(url, "file:///nonexistent")
    assert "hunter2" not in str(caught.value)


def test_an_address_of_mlflow_is_shown_without_its_password() -> None:
    registry = Registry("http://ada:hunter2@127.0.0.1:9")
    with pytest.raises(RegistryUnavailable, match=r"MLflow at http://127\.0\.0\.1:9, ") as caught:
        alias_version(registry, "nobody", "champion")
    assert "hunter2" not in f"{caught.value}{registry!r}"


def test_the_longest_model_name_still_gives_every_index_a_name(tmp_path: Path) -> None:
    longest = load_model(written(tmp_path, "owner: cellar", "owner: cellar")).model_copy(update={"model": "m" * 48})
    table = predictions_table(longest)
    assert all(len(str(item.name)) <= 63 for item in (table, *table.indexes))


def test_a_retrain_as_of_the_future_is_refused_since_it_would_hold_back_all_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(tmp_path, "owner: cellar", "owner: cellar")
    for name, value in {
        "PERENNIAL_HOME": str(tmp_path),
        "PERENNIAL_MODELS_DIR": str(tmp_path),
        "PERENNIAL_DATABASE_URL": "postgresql://nobody@127.0.0.1:9/none",
        "MLFLOW_TRACKING_URI": "http://127.0.0.1:9",
    }.items():
        monkeypatch.setenv(name, value)
    ran = CliRunner().invoke(app, ["run", "retrain", "wine_cultivar", "--as-of", "2999-01-01T00:00:00Z"])
    assert (ran.exit_code, "lies ahead" in ran.stderr) == (1, True), ran.output


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        (
            "hue: {type: float",
            "score: {type: float",
            "reserved names; call them otherwise, and say",
        ),
        ("hue: {type: float", "hue: {from: ash, type: float", "the delivered column ash is named for two things"),
        ("hue: {type: float", "hue: {from: score, type: float", "the delivered column score is named for two things"),
        ("hue: {type: float", 'hue: {from: "", type: float', "at least 1 character"),
        ("hue: {type: float", 'hue: {from: "a\\0b", type: float', "holds a NUL character"),
        ("organic: {type: bool", "organic: {from: 7, type: bool", "must be text"),
    ],
)
def test_a_feature_has_a_name_of_its_own_and_a_column_of_its_own(tmp_path: Path, old: str, new: str, why: str) -> None:
    with pytest.raises(ConfigError, match=r"wine_cultivar/model\.yaml: ") as caught:
        load_model(written(tmp_path, old, new))
    assert why in str(caught.value)


def test_a_reserved_name_in_the_log_is_a_feature_by_another_name(tmp_path: Path) -> None:
    folder = written(tmp_path, "hue: {type: float", "credit: {from: row_number, type: float")
    assert load_model(folder).delivered("predictions")["credit"] == "row_number"
