"""Weights by age, and shares under a cap."""

from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.calibration import CalibratedClassifierCV
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from conftest import TEST_MODELS
from logs import day
from perennial.backtest.policies import overlaid
from perennial.config import ModelConfig, load_model
from perennial.errors import ConfigError, TrainingError
from perennial.evidence.training.rows import quotas
from perennial.pipeline.checking import problems_of
from perennial.registry.scoring import score
from perennial.training.fitting.recipe import build_estimator
from perennial.training.fitting.weights import weight_name, weighted, weights_of
from perennial.training.fitting.worker import fit_recipe
from published import tumour_rows
from trials import fits, log, small

RECIPE = TEST_MODELS / "tumour_malignant" / "recipe.py"


def aged(days: float | None) -> ModelConfig:
    config = load_model(TEST_MODELS / "tumour_malignant")
    half_life = timedelta(days=days) if days else None
    return config.model_copy(update={"training": config.training.model_copy(update={"half_life": half_life})})


def turning(n_rows: int = 400) -> pa.Table:
    """An hour a row; in the older half the labels are the other way round."""
    frame = tumour_rows(n_rows, 1)
    frame["label"] = np.where(np.arange(n_rows) < n_rows // 2, 1 - frame["label"], frame["label"])
    times = pa.array([day(0).start + timedelta(hours=i) for i in range(n_rows)], pa.timestamp("us", "UTC"))
    return pa.Table.from_pandas(frame, preserve_index=False).append_column("event_time", times)


@given(st.dictionaries(st.text(max_size=3), st.integers(1, 10_000), min_size=1, max_size=6), st.integers(10, 20_000))
def test_quotas_add_up_keep_every_class_and_lie_within_one_of_its_share(counts: dict[str, int], most: int) -> None:
    found, n_rows = quotas(counts, most), sum(counts.values())
    assert found.keys() == counts.keys()
    assert sum(found.values()) == min(most, n_rows)
    assert all(1 <= found[name] <= n for name, n in counts.items())
    if n_rows > most and all(n * most >= n_rows for n in counts.values()):
        assert all(abs(found[name] - n * most / n_rows) < 1 for name, n in counts.items())


def test_a_row_a_half_life_older_counts_half_and_all_together_as_many_as_they_are() -> None:
    table = turning(49)
    weights = weights_of(aged(1), table)
    assert weights is not None
    assert weights[0] / weights[24] == pytest.approx(0.5)
    assert weights[24] / weights[48] == pytest.approx(0.5)
    assert weights.mean() == pytest.approx(1.0)
    assert weights_of(aged(None), table) is None


def test_weights_reach_the_fit() -> None:
    """With a short half-life the model believes the newer half, whose labels are the other way round."""
    table = turning()
    newest = table.slice(300)
    labels = newest["label"].to_numpy()
    right = {
        days: float(((score(aged(days), fit_recipe(aged(days), RECIPE, table), newest)[0] > 0.5) == labels).mean())
        for days in (None, 2.0)
    }
    assert right[2.0] > right[None] + 0.1


def test_who_takes_no_weights_is_refused_by_check_and_at_the_fit(tmp_path: Path) -> None:
    config = aged(2)
    folder = tmp_path / config.model
    folder.mkdir()
    recipe = folder / "recipe.py"
    recipe.write_text(
        "from sklearn.neighbors import KNeighborsClassifier\n\n"
        "def build(*, seed, max_iter): return KNeighborsClassifier()\n"
    )
    (problem,) = problems_of(tmp_path, config)
    assert "KNeighborsClassifier, the recipe's last estimator, takes no sample_weight" in problem
    assert "leave half_life out" in problem
    assert not list(problems_of(tmp_path, aged(None)))
    with pytest.raises(TrainingError, match="takes no sample_weight"):
        weighted(config, build_estimator(recipe, seed=1, params={"max_iter": 1}), turning(20))


def test_a_wrapped_pipeline_would_lose_its_weights_and_a_wrapped_estimator_does_not() -> None:
    plain, pipe = LogisticRegression(), make_pipeline(StandardScaler(), LogisticRegression())
    assert weight_name(CalibratedClassifierCV(pipe)) is None
    assert weight_name(make_pipeline(StandardScaler(), CalibratedClassifierCV(plain))) is not None
    assert weight_name(CalibratedClassifierCV(KNeighborsClassifier())) is None


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("training: {max_train_rows: 50}", "below min_train_rows"),
        ("training: {since: 2023-01-01T00:00:00Z}", "only window: growing"),
        ("training: {window: rolling}", "training.window"),
    ],
)
def test_what_can_not_be_meant_is_refused(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=says):
        overlaid(small(), path)


def test_a_policy_file_varies_window_cap_and_half_life_and_fits_are_told_apart(tmp_path: Path) -> None:
    path = tmp_path / "season.yaml"
    path.write_text("training: {window: seasonal, seasons: 2, max_train_rows: 200, half_life: 30d}\n")
    config = overlaid(small(), path).config
    assert (config.training.window, config.training.seasons, config.training.max_train_rows) == ("seasonal", 2, 200)
    history = log(config)
    made, rows = fits(history, tmp_path), (np.arange(100), slice(100, 200))
    assert made.key(config, *rows, candidate=False) != made.key(small(), *rows, candidate=False)
