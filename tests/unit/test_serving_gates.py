"""Too slow, too large, or open to anything: stopped by the gate meant for it; what is not measured never passes."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from mlflow.models import ModelSignature
from mlflow.types import Schema

from logs import wine_rows
from perennial.config import ModelConfig, load_model
from perennial.contracts import Gate, ServingBehaviour
from perennial.signoff.conditions.serving import serving_gates
from perennial.signoff.timing import costs, signature_problem
from perennial.training.fit import signature

MODELS = Path(__file__).parents[1] / "models"
WINE, TUMOUR = load_model(MODELS / "wine_cultivar"), load_model(MODELS / "tumour_malignant")
QUICK = ServingBehaviour(
    single_p50_ms=3.0,
    single_p99_ms=9.0,
    n_single=200,
    batch_p50_ms=20.0,
    batch_p99_ms=30.0,
    batch_rows=1000,
    n_batches=20,
    model_mb=0.5,
    memory_mb=300.0,
    signature="",
)


def bounded(**bounds: Any) -> ModelConfig:
    whole = WINE.model_dump()
    whole["signoff"]["serving"] = bounds
    return ModelConfig.model_validate(whole)


def gates(config: ModelConfig, serving: ServingBehaviour | None) -> dict[str, Gate]:
    return {gate.name: gate for gate in serving_gates(config, serving)}


def test_without_bounds_everything_is_measured_shown_and_passes() -> None:
    found = gates(WINE, QUICK)
    assert all(gate.passed for gate in found.values())
    assert found["serving/single_p99_ms"].detail == (
        "99 % of the answers of one row, 200 requests took at most 9 ms; no bound is set"
    )
    assert len(found) == 6


@pytest.mark.parametrize(
    ("bound", "name"),
    [
        ("max_p50_ms", "serving/single_p50_ms"),
        ("max_p99_ms", "serving/single_p99_ms"),
        ("max_batch_p99_ms", "serving/batch_p99_ms"),
        ("max_model_mb", "serving/model_mb"),
        ("max_memory_mb", "serving/memory_mb"),
    ],
)
def test_a_version_that_costs_too_much_is_stopped_by_the_gate_meant_for_it(bound: str, name: str) -> None:
    value = getattr(QUICK, name.removeprefix("serving/"))
    strict, fitting = (gates(bounded(**{bound: value * by}), QUICK) for by in (0.9, 1.0))
    assert [key for key, gate in strict.items() if not gate.passed] == [name]
    assert all(gate.passed for gate in fitting.values())
    assert not gates(bounded(**{bound: value}), None)[name].passed


def test_a_signature_that_lets_anything_in_is_stopped() -> None:
    loose = replace(QUICK, signature="its signature takes a request without alcohol")
    failed = [gate for gate in gates(WINE, loose).values() if not gate.passed]
    assert [(gate.name, gate.detail) for gate in failed] == [("serving/signature", loose.signature)]
    assert not gates(WINE, None)["serving/signature"].passed
    assert "serving/signature" not in gates(bounded(signature=False), None)


ROWS = pa.Table.from_pandas(wine_rows(5, seed=1), preserve_index=False)


def test_the_signature_that_is_logged_keeps_wrong_requests_out() -> None:
    logged = signature(WINE)
    assert signature_problem(WINE, logged, ROWS) == ""
    assert signature_problem(WINE, None, ROWS).startswith("the version carries no signature")
    foreign = ModelSignature(inputs=Schema([*logged.inputs.inputs, *signature(TUMOUR).inputs.inputs[:1]]))
    assert signature_problem(WINE, foreign, ROWS) == "its signature asks for mean_radius, no feature in model.yaml"
    texts = [column for column in signature(WINE).inputs.inputs if column.name in WINE.categories]
    narrow = ModelSignature(inputs=Schema([type(texts[0])("double", texts[0].name)]))
    assert signature_problem(WINE, narrow, ROWS) == "its signature refuses a row as it is logged"


def test_a_slow_version_is_slow_after_a_few_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(np.arange(10_000) * 0.25)
    monkeypatch.setattr("perennial.signoff.timing.time.perf_counter", lambda: float(next(clock)))
    monkeypatch.setattr("perennial.signoff.timing.score", lambda *_: None)
    found = costs(bounded(batch_rows=7), None, ROWS)
    assert found["single_p50_ms"] == found["batch_p99_ms"] == 250.0
    assert found["n_single"] < 5
    assert found["batch_rows"] == 7


def test_as_many_requests_are_made_as_the_model_asks_for(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    monkeypatch.setattr("perennial.signoff.timing.score", lambda _, __, rows: asked.append(rows.num_rows))
    found = costs(bounded(batch_rows=7, requests=30), None, ROWS)
    assert (found["n_single"], found["n_batches"]) == (30, 3)
    assert (asked.count(1), asked.count(7)) == (33, 6)  # three of each to warm up
