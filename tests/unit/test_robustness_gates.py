"""What should matter little: measurement error, a missing optional feature, a declared direction, an invariance."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pydantic import ValidationError

import trials
from perennial.config import ModelConfig, load_model
from perennial.contracts import Gate, Robustness
from perennial.signoff.conditions.robustness import robustness_gates
from perennial.training.measured.robustness import robustness

TUMOUR = load_model(Path(__file__).parents[1] / "models" / "tumour_malignant")
ROWS = pa.Table.from_pandas(trials.rows(5), preserve_index=False)


class Known:
    """A model whose answers are a function of the features."""

    classes_ = np.array([0, 1])

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def predict_proba(self, frame: pd.DataFrame) -> np.ndarray:
        scores = np.asarray(self.answer(frame), dtype=float)
        return np.column_stack([1 - scores, scores])


def by_radius(frame: pd.DataFrame, scale: float = 1.0) -> pd.Series:
    return 1 / (1 + np.exp(-(frame["mean_radius"].fillna(14) - 14) * scale))


def declared(**robust: Any) -> ModelConfig:
    whole = TUMOUR.model_dump()
    whole["signoff"]["robustness"] = robust
    return ModelConfig.model_validate(whole)


def gates(config: ModelConfig, answer: Any) -> dict[str, Gate]:
    return {gate.name: gate for gate in robustness_gates(config, robustness(config, Known(answer), ROWS))}


def test_numbers_off_by_their_measurement_error_move_the_answers_little() -> None:
    config = declared(measurement_error={"mean_radius": 0.2}, max_change=0.06)
    calm, nervous = gates(config, by_radius), gates(config, lambda frame: by_radius(frame, 5.0))
    assert calm["robustness/measurement_error"].passed
    assert calm["robustness/measurement_error"].value == pytest.approx(0.05, abs=0.005), "a quarter of 0.2 at most"
    assert not nervous["robustness/measurement_error"].passed
    assert "within the measurement error of mean_radius; 0.06 allowed" in nervous["robustness/measurement_error"].detail


def test_an_optional_feature_that_is_missing_still_gives_an_answer() -> None:
    assert gates(TUMOUR, by_radius)["robustness/missing"].passed

    def raises(frame: pd.DataFrame) -> pd.Series:
        if (frame["clinic"] == "(missing)").all():
            raise ValueError("what clinic?")
        return by_radius(frame)

    gate = gates(TUMOUR, raises)["robustness/missing"]
    assert not gate.passed
    assert gate.detail.startswith("without clinic: ")
    assert "what clinic?" in gate.detail
    blind = gates(TUMOUR, lambda frame: 1 / (1 + np.exp(-(frame["mean_radius"] - 14))))["robustness/missing"]
    assert blind.detail.startswith("without mean_radius: ")


def test_a_declared_direction_is_followed() -> None:
    config = declared(monotone={"mean_radius": "increasing", "mean_texture": "decreasing"})
    found = gates(config, by_radius)
    assert found["robustness/monotone/mean_radius"].value == 0.0
    assert found["robustness/monotone/mean_texture"].passed, "what it does not use goes in every direction"
    hump = gates(config, lambda frame: np.exp(-((frame["mean_radius"].fillna(14) - 14) ** 2)))
    assert hump["robustness/monotone/mean_radius"].value == 1.0
    assert not hump["robustness/monotone/mean_radius"].passed
    falling = declared(monotone={"mean_radius": "decreasing"})
    assert not gates(falling, by_radius)["robustness/monotone/mean_radius"].passed


def test_what_is_declared_to_make_no_difference_makes_none() -> None:
    config = declared(invariant={"clinic": 0.01, "mean_radius": 0.9999})
    found = gates(config, by_radius)
    assert all(gate.passed for gate in found.values())
    partial = gates(config, lambda frame: by_radius(frame) * np.where(frame["clinic"] == "north", 0.9, 1.0))
    assert not partial["robustness/invariant/clinic"].passed


def test_what_was_not_measured_never_passes() -> None:
    config = declared(
        measurement_error={"mean_radius": 0.2}, monotone={"mean_radius": "increasing"}, invariant={"clinic": 0.0}
    )
    assert [gate.passed for gate in robustness_gates(config, None)] == [False] * 4
    some = replace(Robustness(n_rows=9), violations={"mean_radius": float("nan")})
    assert [gate.passed for gate in robustness_gates(config, some)] == [False, True, False, False]


@pytest.mark.parametrize(
    ("told", "word"),
    [({"monotone": {"clinic": "increasing"}}, "no such number"), ({"invariant": {"age": 0.1}}, "no such feature")],
)
def test_expectations_of_what_is_no_feature_are_refused(told: dict[str, Any], word: str) -> None:
    with pytest.raises(ValidationError, match=word):
        declared(**told)
