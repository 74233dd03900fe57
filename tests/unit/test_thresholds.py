"""Every threshold is declared in ``model.yaml``: what stood in code before changes its verdict with the file."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from drifting import drift_of
from logs import day
from monitored import even_importance, log_of, reference_of, rows_of
from perennial.config import ModelConfig, load_model
from perennial.contracts import Signal, Subject
from perennial.evidence.answers import Answers
from perennial.evidence.maturity import Coverage
from perennial.monitoring.performance import served_signal, unmatched_signal

MODELS = Path(__file__).parents[1] / "models"
WINE, TUMOUR = load_model(MODELS / "wine_cultivar"), load_model(MODELS / "tumour_malignant")
REFERENCE = reference_of(WINE)


def declared(config: ModelConfig, section: str, **values: Any) -> ModelConfig:
    """The model with other values in one section of its file."""
    plain = config.model_dump()
    inner = plain
    for key in section.split("."):
        inner = inner[key]
    assert set(values) <= set(inner), "no such key in this section"
    inner.update(values)
    return ModelConfig.model_validate(plain)


def subject(config: ModelConfig = WINE) -> Subject:
    return Subject.of_run(config.model, day(0), "1")


def drift(config: ModelConfig, rows: pa.Table, importance: dict[str, float] | None = None) -> dict[str, Signal]:
    weights = importance or even_importance(WINE)
    return drift_of(config, rows, REFERENCE, importance=weights)


def test_a_score_means_the_positive_class_from_the_decision_threshold_on() -> None:
    answers = Answers(labels=np.array([0, 0, 1, 1]), scores=np.array([0.1, 0.3, 0.3, 0.4]))
    assert answers.metrics(TUMOUR)["accuracy"] == 0.5
    assert answers.metrics(declared(TUMOUR, "label", decision_threshold=0.3))["accuracy"] == 0.75
    assert answers.metrics(declared(TUMOUR, "label", decision_threshold=0.35))["accuracy"] == 0.75
    assert answers.metrics(declared(TUMOUR, "label", decision_threshold=0.4))["accuracy"] == 0.75


def test_how_much_the_champion_must_serve_is_declared() -> None:
    coverage = Coverage(window=day(0), n_rows=100, n_labelled=0, n_by_champion=40, n_by_champion_labelled=0)
    assert served_signal(WINE, subject(), coverage).status == "breached"
    less = declared(WINE, "signals", min_served_share=0.4)
    assert served_signal(less, subject(), coverage).status == "ok"


def test_how_many_labels_may_lack_a_prediction_is_declared() -> None:
    assert unmatched_signal(WINE, subject(), 100, 51).status == "breached"
    assert unmatched_signal(WINE, subject(), 100, 50).status == "ok"
    strict = declared(WINE, "signals", max_unmatched_labels=0.1)
    assert unmatched_signal(strict, subject(), 100, 50).status == "breached"


def test_how_many_values_make_a_distance_is_declared() -> None:
    rows = rows_of(WINE, log_of(WINE, 0, n_rows=29))
    assert drift(WINE, rows)["drift/hue"].status == "unknown"
    assert drift(declared(WINE, "signals.drift", min_values=29), rows)["drift/hue"].value is not None
