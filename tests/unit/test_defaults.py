"""What may be left out of a model.yaml, what it is then, and what still has to be said."""

from datetime import timedelta
from pathlib import Path

import pytest
import yaml

from perennial.config import ModelConfig, load_model
from perennial.errors import ConfigError

SHORT = """
model: churn
owner: ada
task: {task}
schedule: {{every: 7d, start: 2024-01-01T00:00:00Z}}
sources:
  predictions: {{kind: files, format: parquet, uri: "{{home}}/p/{{start:%Y-%m-%d}}/*.parquet"}}
  labels: {{kind: files, format: parquet, uri: "{{home}}/l/{{start:%Y-%m-%d}}/*.parquet"}}
columns: {{predicted: predicted}}
label: {{delay: 1d{classes}}}
features:
  age: {{type: float}}
  town: {{type: category, categories: [a, b], unseen: allow}}
"""
CLASSES = {"binary": "", "multiclass": ", classes: [a, b, c, d]", "regression": ""}


def written(folder: Path, task: str, more: str = "") -> Path:
    target = folder / "churn"
    target.mkdir(exist_ok=True)
    (target / "model.yaml").write_text(SHORT.format(task=task, classes=CLASSES[task]) + more, encoding="utf-8")
    (target / "recipe.py").touch()
    return target


@pytest.mark.parametrize(
    ("task", "metric", "bound"), [("binary", "roc_auc", 0.5), ("multiclass", "balanced_accuracy", 0.25),
                                  ("regression", "r2", 0.0)],
)  # fmt: skip
def test_a_dozen_lines_declare_a_model_that_is_judged_against_no_skill(
    tmp_path: Path, task: str, metric: str, bound: float
) -> None:
    config = load_model(written(tmp_path, task))
    assert {name: told.bound for name, told in config.signals.performance.items()} == {metric: bound}
    assert (config.signoff.metrics[metric].min, config.signoff.versus_champion.min_gain) == (bound, 0.005)
    assert (config.bake.metric, config.bake.bound, config.bake.max_deficit, config.price) == (metric, bound, 0.02, 0.02)
    assert (config.training.holdout, config.training.train) == (timedelta(days=14), timedelta(days=42))
    assert (config.policy.cooldown, config.policy.max_age) == (timedelta(days=7), timedelta(days=4 * 56))
    assert config.signoff.review.mode == "borderline"
    assert config.signoff.review.first_version == "manual"
    assert config.title == "churn"


def test_a_file_that_says_its_defaults_has_the_same_digest(tmp_path: Path) -> None:
    short = load_model(written(tmp_path, "binary"))
    said = ModelConfig.model_validate(short.model_dump(by_alias=True))
    assert said.digest == short.digest
    spelled = "title: churn\nbake: {windows: 2, metric: roc_auc, bound: 0.5, max_deficit: 0.02}\n"
    assert load_model(written(tmp_path, "binary", spelled)).digest == short.digest
    assert load_model(written(tmp_path, "binary", "bake: {max_deficit: 0.03}\n")).digest != short.digest


def test_stretches_follow_the_block_and_what_is_said_of_them(tmp_path: Path) -> None:
    config = load_model(written(tmp_path, "binary", "signals: {uncertainty: {block: 1h}}\n"))
    assert config.training.holdout == timedelta(days=7)
    config = load_model(written(tmp_path, "binary", "training: {holdout: 28d}\nsignoff: {min_holdout_rows: 500}\n"))
    assert config.training.train == timedelta(days=84)
    assert (config.training.min_train_rows, config.policy.min_new_labels) == (1500, 500)


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ("bake: {metric: rmse}\n", "bake.bound: is required"),
        ("bake: {metric: rmse}\n", "bake.max_deficit: is required"),
        ("signoff: {versus_champion: {metric: rmse}}\n", "signoff.versus_champion.min_gain: is required"),
        ("policy: 7\n", "policy = 7: must be a mapping"),
        ("training: {houldout: 7d}\n", "training.houldout"),
        ("schedule: soon\n", "stands twice"),
    ],
)
def test_what_has_a_unit_or_makes_no_sense_is_asked_for(tmp_path: Path, more: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        load_model(written(tmp_path, "regression", more))


@pytest.mark.parametrize("key", ["model", "owner", "task", "schedule", "sources", "label", "features"])
def test_what_can_not_be_guessed_is_required(tmp_path: Path, key: str) -> None:
    folder = written(tmp_path, "binary")
    told = yaml.safe_load((folder / "model.yaml").read_text(encoding="utf-8"))
    del told[key]
    (folder / "model.yaml").write_text(yaml.safe_dump(told), encoding="utf-8")
    with pytest.raises(ConfigError, match=key) as caught:
        load_model(folder)
    assert str(caught.value).count("\n") < 3  # and nothing that only follows from it
