"""What a tired hand can write into a model.yaml, or into a URL, and what it is told."""

import shutil
from pathlib import Path

import pytest

from conftest import TEST_MODELS
from perennial.config import load_model
from perennial.errors import ConfigError
from perennial.store import open_store


def written(folder: Path, old: str, new: str) -> Path:
    """A copy of the multiclass test model with one change."""
    target = folder / "wine_cultivar"
    shutil.copytree(TEST_MODELS / "wine_cultivar", target)
    text = (target / "model.yaml").read_text(encoding="utf-8")
    assert old in text
    (target / "model.yaml").write_text(text.replace(old, new), encoding="utf-8")
    return target


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
