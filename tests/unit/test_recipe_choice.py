"""Which recipes a model has and what is searched of them: what ``perennial check`` refuses, and what it changes."""

import json
from datetime import timedelta
from pathlib import Path

import pytest
import yaml

from conftest import TEST_MODELS
from perennial.config import ModelConfig, load_model
from perennial.errors import ConfigError
from perennial.pipeline.checking import problems_of
from perennial.training.fitting.process import _plain

TAKES = "from sklearn.dummy import DummyClassifier\n\ndef build(*, seed, {}): return DummyClassifier()\n"


def declare(folder: Path, training: dict[str, object], **recipes: str) -> ModelConfig:
    """The binary test model with these recipes beside its own, and more under ``training``."""
    place = folder / "tumour_malignant"
    place.mkdir()
    text = (TEST_MODELS / place.name / "model.yaml").read_text("utf-8")
    (line,) = (line for line in text.splitlines() if line.startswith("training: "))
    told = json.dumps({**yaml.safe_load(line)["training"], **training})
    (place / "model.yaml").write_text(text.replace(line, f"training: {told}"), encoding="utf-8")
    (place / "recipe.py").write_text((TEST_MODELS / place.name / "recipe.py").read_text("utf-8"), encoding="utf-8")
    for stem, taken in recipes.items():
        (place / f"{stem}.py").write_text(TAKES.format(taken), encoding="utf-8")
    return load_model(place)


def search(**told: object) -> dict[str, object]:
    return {"search": {"space": {"max_iter": {"low": 5, "high": 50}}, **told}}


@pytest.mark.parametrize(
    ("training", "says"),
    [
        (search(space={}), "training.search.space"),
        (search(space={"seed": [1, 2]}), "build gets the seed from training.seed"),
        (search(space={"max_iter": {"low": 5, "high": 5}}), "low 5 is not below high 5"),
        (search(space={"c": {"low": 0.0, "high": 5.0, "log": True}}), "every number has to be above 0"),
        (search(space={"c": {"low": 1, "high": 5, "step": 0.5}}), "of whole numbers it is whole"),
        (search(space={"c": {"low": 1, "high": 5, "step": 9}}), "longer than the range"),
        (search(space={"c": [1, 2, 1]}), "a value stands in it twice"),
        (search(space={"c": {"low": 0.1, "high": 5.0}}, sampler="grid"), "a grid has to know its values"),
        (search(sampler="bayes"), "training.search.sampler"),
        (search(trials=0), "training.search.trials"),
        (search(seconds=0), "training.search.seconds"),
        ({"metric": "rmse"}, "metrics rmse: a binary task has"),
        ({"tune_threshold": "recall"}, "training.tune_threshold = recall: one of accuracy, f1"),
        ({"recipes": []}, "training.recipes"),
        ({"recipes": ["recipe.py", "recipe.py"]}, "one of them stands there twice"),
        ({"recipes": ["../recipe.py"]}, "training.recipes"),
        ({"recipes": ["recipe.py", "none.py"]}, "none.py: no such file"),
    ],
)
def test_what_can_not_be_meant_is_refused(tmp_path: Path, training: dict[str, object], says: str) -> None:
    with pytest.raises(ConfigError) as refused:
        declare(tmp_path, training)
    assert says in str(refused.value)


def test_check_tries_what_is_searched_and_names_what_no_recipe_takes(tmp_path: Path) -> None:
    (problem,) = problems_of(tmp_path, declare(tmp_path, search(space={"depth": [1, 2]})))
    assert "unexpected keyword argument 'depth'; build takes seed and all of training.params" in problem
    several = {"recipes": ["recipe.py", "other.py"], "params": {"max_iter": 20, "c": 1, "typo": 2}}
    (tmp_path / "two").mkdir()
    (idle,) = problems_of(tmp_path / "two", declare(tmp_path / "two", several, other="c"))
    assert idle.endswith("model.yaml: training: no recipe takes typo")


def test_what_was_declared_before_keeps_its_digest_and_what_is_declared_now_has_another(tmp_path: Path) -> None:
    plain = load_model(TEST_MODELS / "tumour_malignant")
    assert not {"recipes", "search", "metric"} & set(plain.model_dump()["training"])
    configs = []
    for number, training in enumerate(({}, search(), {"metric": "f1"}, {"recipes": ["recipe.py", "other.py"]})):
        (tmp_path / str(number)).mkdir()
        configs.append(declare(tmp_path / str(number), training, other="max_iter"))
    assert configs[0].digest == plain.digest
    assert len({config.digest for config in configs}) == len(configs)
    assert all(ModelConfig.model_validate(_plain(config)) == config for config in configs)


def test_a_fit_may_take_as_long_as_all_its_recipes_and_searches(tmp_path: Path) -> None:
    training = {"recipes": ["recipe.py", "other.py"], "timeout": "10min", **search(seconds=300)}
    config = declare(tmp_path, training, other="max_iter")
    assert config.training.longest == 2 * timedelta(minutes=5 + 10 + 10)
    assert load_model(TEST_MODELS / "tumour_malignant").training.longest == timedelta(minutes=10)
