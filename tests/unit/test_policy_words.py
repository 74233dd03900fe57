"""The policy in words: what changes in ``model.yaml`` changes what is said."""

import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest

from perennial.config import ModelConfig, load_model
from perennial.config.rules import Breaches, Budget, QuietPeriod
from perennial.orchestration.docs import describe
from perennial.reporting.policy import policy_in_words, roles_in_words
from perennial.settings import ROOT

CONFIG = load_model(ROOT / "include" / "models" / "flight_delay")


def with_policy(**given: object) -> ModelConfig:
    return CONFIG.model_copy(update={"policy": CONFIG.policy.model_copy(update=given)})


@pytest.mark.parametrize(
    ("given", "about", "said"),
    [
        ({"breaches": Breaches(k=1, n=4)}, "how often", "in 1 of the last 4 scheduled windows"),
        ({"breaches": Breaches(sticky=True)}, "how often", "counts as the one before it"),
        ({"cooldown": timedelta(hours=36)}, "cooldown", "within 36h of the one before"),
        ({"max_age": timedelta(days=7)}, "age", "older than 7d is fitted again"),
        ({"min_new_labels": 1234}, "news", "before 1,234 labels"),
        ({"budget": Budget(retrains=1, cpu_s=900, per=timedelta(days=30))}, "budget",
         "At most 1 retrain is requested, and fits take at most 900 CPU seconds within 30d."),
        ({"quiet": [QuietPeriod(start=datetime(2013, 6, 1, tzinfo=UTC), end=datetime(2013, 7, 1, tzinfo=UTC),
                                reason="moving")]}, "quiet", "None from 2013-06-01 to 2013-07-01: moving."),
    ],
)  # fmt: skip
def test_each_part_of_the_policy_is_said(given: dict[str, object], about: str, said: str) -> None:
    config = with_policy(**given)
    assert said in dict(policy_in_words(config))[about]
    assert said in describe(config, "monitor")


def test_every_signal_stands_under_the_role_it_has() -> None:
    roles = roles_in_words(CONFIG)
    assert "roc_auc surely below 0.6, or 0.025 worse than on its holdout" in roles["watch"]
    assert "halt" not in roles
    performance = {"roc_auc": CONFIG.signals.performance["roc_auc"].model_copy(update={"role": "halt"})}
    halting = CONFIG.model_copy(update={"signals": CONFIG.signals.model_copy(update={"performance": performance})})
    assert roles_in_words(halting)["halt"] == ("roc_auc surely below 0.6, or 0.025 worse than on its holdout",)


def test_it_is_said_without_anything_heavy() -> None:
    """Airflow imports it with every DAG file."""
    heavy = ("pandas", "mlflow", "sklearn", "scipy", "psycopg2")
    asked = f"import sys; import perennial.orchestration.docs; print([one for one in {heavy} if one in sys.modules])"
    said = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "[]"
