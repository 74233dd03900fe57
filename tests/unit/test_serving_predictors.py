"""A predictor without pandas answers as the pipeline does, on rows it was not compared on; or the pipeline answers."""

import pickle
from typing import Any

import numpy as np
import pytest
from sklearn.dummy import DummyRegressor

from perennial.config import load_model
from perennial.errors import IntegrityError
from perennial.recipes import boosting, forest, linear
from perennial.registry.scoring import features_frame, score
from perennial.serving.predictors import predictor as predictors
from perennial.serving.predictors.columns import blocks_of, matrix
from perennial.serving.predictors.predictor import build, table_of
from perennial.serving.predictors.samples import sample
from perennial.serving.predictors.trees import Trees
from perennial.settings import ROOT
from perennial.training.fitting.threshold import deciding_by
from serving import fitted

MODELS = {
    name: load_model(ROOT / "tests" / "models" / name)
    for name in ("wine_cultivar", "tumour_malignant", "diabetes_progress")
}
MODELS["flight_delay"] = load_model(ROOT / "include" / "models" / "flight_delay")


def recipe_of(name: str) -> Any:
    root = ROOT / ("include" if name == "flight_delay" else "tests") / "models" / name
    scope: dict[str, Any] = {}
    exec((root / "recipe.py").read_text(encoding="utf-8"), scope)  # noqa: S102 - our own recipe
    return scope["build"](seed=0)


ESTIMATORS = {
    "flights": ("flight_delay", lambda: recipe_of("flight_delay"), "trees"),
    "tumours": ("tumour_malignant", lambda: recipe_of("tumour_malignant"), "trees"),
    "wines": ("wine_cultivar", lambda: recipe_of("wine_cultivar"), "arrays"),
    "diabetes": ("diabetes_progress", lambda: recipe_of("diabetes_progress"), "arrays"),
    "boosting": ("wine_cultivar", lambda: boosting("multiclass", seed=0, max_iter=5), "trees"),
    "forest": ("diabetes_progress", lambda: forest("regression", seed=0, trees=5), "trees"),
    "linear": ("tumour_malignant", lambda: linear("binary", seed=0), "arrays"),
    "calibrated": ("tumour_malignant", lambda: forest("binary", seed=0, trees=5, calibrate="sigmoid"), "arrays"),
}


@pytest.mark.parametrize("case", ESTIMATORS)
def test_it_answers_as_the_pipeline_does(case: str) -> None:
    name, make, kind = ESTIMATORS[case]
    config = MODELS[name]
    model = fitted(config, make())
    built = build(config, model)
    assert built.kind == kind, built.why
    moved = pickle.loads(pickle.dumps(built.predictor, protocol=5))  # noqa: S301 - our own
    columns = sample(config, 200, seed=77)
    scores, predicted = score(config, model, table_of(config, columns))
    found, classes = moved(columns)
    np.testing.assert_allclose(found, scores, rtol=1e-12, atol=1e-12)
    assert (None if classes is None else list(classes)) == (None if predicted is None else predicted.tolist())


@pytest.mark.parametrize("case", ["flights", "tumours", "wines", "boosting"])
def test_columns_become_what_the_pipeline_makes_of_them(case: str) -> None:
    """Also where no answer depends on it, as on a category that the model has no use for."""
    name, make, _ = ESTIMATORS[case]
    config = MODELS[name]
    encode = fitted(config, make()).steps[0][1]
    columns = sample(config, 200, seed=78)
    expected = encode.transform(features_frame(config, table_of(config, columns)))
    found = matrix(blocks_of(config, encode), columns)
    np.testing.assert_array_equal(found, expected.toarray() if hasattr(expected, "toarray") else expected)


def test_a_version_with_a_threshold_of_its_own_is_as_fast_and_says_it() -> None:
    config = MODELS["flight_delay"]
    model = fitted(config, recipe_of("flight_delay"))
    plain, tuned = build(config, model), build(config, deciding_by(model, 0.2))
    assert (plain.threshold, tuned.threshold) == (None, 0.2)
    assert (tuned.kind, tuned.why) == (plain.kind, plain.why)


class Off(Trees):
    """Trees that are wrong by a little on every row."""

    def __call__(self, found: Any) -> Any:
        return super().__call__(found) + 1e-6


def test_a_shortcut_that_answers_otherwise_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    config = MODELS["flight_delay"]
    model = fitted(config, recipe_of("flight_delay"))
    real = predictors.compiled
    monkeypatch.setattr(predictors, "compiled", lambda last: Off(real(last)._model, softmax=False))
    built = build(config, model)
    assert built.kind == "arrays"
    assert built.why.startswith("trees: its answers differ by up to 1e-06")


def test_a_pipeline_of_unknown_steps_answers_itself() -> None:
    config = MODELS["diabetes_progress"]
    built = build(config, fitted(config, DummyRegressor()))
    assert (built.kind, built.why.count("of another form than columns, model")) == ("pipeline", 2)


def test_a_model_of_other_classes_is_refused() -> None:
    config = MODELS["wine_cultivar"]
    model = fitted(config, recipe_of("wine_cultivar"))
    other = config.model_copy(update={"label": config.label.model_copy(update={"classes": ["barolo", "barbera"]})})
    with pytest.raises(IntegrityError, match="the model knows the classes"):
        build(other, model)
