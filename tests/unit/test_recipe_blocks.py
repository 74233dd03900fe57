"""The building blocks of recipes, over every task: the fit of the product, kept and loaded as skops."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import skops.io as sio

from conftest import TEST_MODELS
from logs import ROWS
from perennial.config import ModelConfig, load_model
from perennial.recipes import boosting, encoded, forest, linear, scaled
from perennial.registry.scoring import score
from perennial.registry.trust import read_model
from perennial.training.fitting.worker import fit_recipe
from published import tumour_rows

MODELS = {"binary": "tumour_malignant", "multiclass": "wine_cultivar", "regression": "diabetes_progress"}
BLOCKS = ("linear", "forest", "boosting")
OPTIONS = ("", ", calibrate='isotonic'", ", balanced=True, calibrate='sigmoid'")


def rows_of(config: ModelConfig, n_rows: int = 240) -> pa.Table:
    """With a number that is always missing: the hardest column there is."""
    frame = tumour_rows(n_rows, 1) if config.task == "binary" else ROWS[config.model](n_rows, 1)
    table = pa.Table.from_pandas(frame, preserve_index=False)
    name = config.numbers[-1]
    return table.set_column(table.column_names.index(name), name, pa.nulls(n_rows, pa.float64()))


@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize(
    ("task", "options"), [(task, told) for task in MODELS for told in OPTIONS if not told or task != "regression"]
)
def test_two_lines_of_a_recipe_are_fitted_kept_and_loaded_and_answer_the_same(
    tmp_path: Path, task: str, block: str, options: str
) -> None:
    config = load_model(TEST_MODELS / MODELS[task])
    config = config.model_copy(update={"training": config.training.model_copy(update={"params": {}})})
    recipe, size = tmp_path / "recipe.py", {"linear": "", "forest": ", trees=5", "boosting": ", max_iter=5"}[block]
    recipe.write_text(
        f"from perennial.recipes import {block}\n\n"
        f"def build(*, seed): return {block}({task!r}, seed=seed{size}{options})\n"
    )
    table = rows_of(config)
    model = fit_recipe(config, recipe, table)
    sio.dump(model, tmp_path / "model.skops")
    loaded = read_model(tmp_path / "model.skops", trusted_types=[], what="the model")
    unseen = table.slice(0, 50)
    for name in config.categories:
        if config.features[name].type == "category":
            unseen = unseen.set_column(unseen.column_names.index(name), name, pa.array(["never seen"] * 50))
    answers = score(config, model, unseen)[0]
    assert np.isfinite(answers).all()
    assert np.array_equal(answers, score(config, loaded, unseen)[0])


FRAME = pd.DataFrame(
    {
        "size": [1.0, np.nan, 3.0, 4.0] * 20,
        "void": np.nan,
        "hour": [0.0, 23.0, 12.0, 1.0] * 20,
        "town": pd.array(["a", "b"] * 39 + ["rare", "rarer"], dtype="str"),
    }
)


@pytest.mark.parametrize("columns", [encoded(rare=5), scaled(rare=5)])
def test_no_column_is_lost_and_rare_categories_are_one(columns: object) -> None:
    made = columns.fit(FRAME)  # type: ignore[attr-defined]
    origins = " ".join(made.get_feature_names_out())
    assert all(name in origins for name in FRAME.columns)
    rare, rarer = (made.transform(FRAME.iloc[[78]].assign(town=name)) for name in ("rare", "rarer"))
    assert np.array_equal(rare, rarer)
    assert not np.array_equal(rare, made.transform(FRAME.iloc[[78]].assign(town="a")))


def test_what_was_missing_is_told_apart_from_the_median() -> None:
    for columns in (encoded(), scaled()):
        made = columns.fit(FRAME)
        missing, median = (made.transform(FRAME.iloc[[0]].assign(size=value)) for value in (np.nan, 3.0))
        assert not np.array_equal(missing, median)


def test_in_a_cycle_the_last_hour_lies_beside_the_first() -> None:
    made = scaled(cycles={"hour": 24}).fit(FRAME)
    splines = [number for number, name in enumerate(made.get_feature_names_out()) if name.startswith("cycle_hour")]
    midnight, late, noon = (made.transform(FRAME.iloc[[0]].assign(hour=hour))[0, splines] for hour in (0.0, 23.9, 12.0))
    assert np.abs(midnight - late).max() < 0.1 < np.abs(midnight - noon).max()


@pytest.mark.parametrize("block", [linear, forest, boosting])
def test_times_become_hour_weekday_and_season_and_a_fit_of_them_is_loaded(tmp_path: Path, block: Any) -> None:
    moments = pd.date_range("2024-01-01", "2025-01-01", freq="97min").to_series(index=None)
    frame = pd.DataFrame({"at": moments.astype("datetime64[s]").astype("int64").astype(float).to_numpy(), "x": 1.0})
    frame.loc[0, "at"] = np.nan
    busy = ((moments.dt.hour == 17) | (moments.dt.dayofweek == 6)).to_numpy().astype(int)
    options = {"trees": 30} if block is forest else {}
    model = block("binary", seed=0, times=["at"], **options).fit(frame, busy)
    made = model.named_steps["columns"].transform(frame)
    names = [name.partition("__")[0] for name in model.named_steps["columns"].get_feature_names_out()]
    hours, days = ([at for at, name in enumerate(names) if name == part] for part in ("hour_at", "weekday_at"))
    assert "numbers__at" not in model.named_steps["columns"].get_feature_names_out()
    assert np.array_equal(made[1:, hours].argmax(axis=1), moments.dt.hour.to_numpy()[1:])
    assert np.array_equal((made[1:, days].argmax(axis=1) + 3) % 7, moments.dt.dayofweek.to_numpy()[1:])
    assert (made[:, hours].sum(axis=1) == 1).all() and (made[:, days].sum(axis=1) == 1).all()
    assert made[:, names.index("missing_at")].tolist() == [1.0] + [0.0] * (len(frame) - 1)
    later = frame.assign(at=frame["at"] + 364 * 86_400).iloc[1:]  # no moment that training has seen, the same weekdays
    assert ((model.predict_proba(later)[:, 1] > 0.5) == busy[1:]).mean() > 0.97
    sio.dump(model, tmp_path / "model.skops")
    loaded = read_model(tmp_path / "model.skops", trusted_types=[], what="the model")
    assert np.array_equal(loaded.predict_proba(later), model.predict_proba(later))


def test_balanced_weights_find_the_rare_class_and_calibration_gives_its_share_back() -> None:
    rng = np.random.default_rng(2)
    frame = pd.DataFrame({"x": rng.normal(size=3000)})
    label = (frame["x"] + rng.normal(0, 1.5, 3000) > 2.5).astype(int).to_numpy()
    plain, heavy, mended = (
        linear("binary", seed=0, **told).fit(frame, label).predict_proba(frame)[:, 1]  # type: ignore[arg-type]
        for told in ({}, {"balanced": True}, {"balanced": True, "calibrate": "sigmoid"})
    )
    assert (heavy > 0.5).sum() > 3 * (plain > 0.5).sum()
    assert heavy.mean() > 2 * label.mean()
    assert mended.mean() == pytest.approx(label.mean(), rel=0.1)


@pytest.mark.parametrize("block", [linear, forest, boosting])
@pytest.mark.parametrize("told", [{"balanced": True}, {"calibrate": "sigmoid"}])
def test_a_regression_has_no_classes_to_weigh_or_calibrate(block: object, told: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="a regression has none"):
        block("regression", seed=0, **told)  # type: ignore[operator]
