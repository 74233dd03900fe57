"""The laws of the gates: more evidence of quality never fails what passed, and missing evidence never passes."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perennial.config import ModelConfig, load_model
from perennial.contracts import Evaluation, Gate
from perennial.errors import SignoffError
from perennial.signoff.gates import judge
from perennial.statistics.metrics import METRICS

MODELS = Path(__file__).parents[1] / "models"
WINE = load_model(MODELS / "wine_cultivar")
DIABETES = load_model(MODELS / "diabetes_progress")

scores = st.floats(0, 1)
broken = st.sampled_from([None, math.nan, math.inf, -math.inf])


def evaluation(config: ModelConfig, candidate: float = 0.9, baseline: float = 0.8, **other: object) -> Evaluation:
    names = METRICS[config.task]
    made = Evaluation(
        model=config.model,
        mlflow_run_id="run",
        n_rows=200,
        label_coverage=0.95,
        candidate=dict.fromkeys(names, candidate),
        candidate_paired=dict.fromkeys(names, candidate),
        baseline="1",
        baseline_metrics=dict.fromkeys(names, baseline),
        n_paired_rows=200,
    )
    return replace(made, **other)  # type: ignore[arg-type]


def gates_of(config: ModelConfig, judged: Evaluation, gap: float | None = 0.0) -> dict[str, Gate]:
    return {gate.name: gate for gate in judge(config, judged, parity_gap=gap, parity_detail="200 rows scored")}


def test_a_good_candidate_passes_every_gate() -> None:
    gates = gates_of(WINE, evaluation(WINE))
    assert all(gate.passed for gate in gates.values())
    assert list(gates) == [
        "metric/accuracy",
        "versus_champion/accuracy",
        "min_holdout_rows",
        "min_label_coverage",
        "parity",
    ]


def test_less_is_better_for_an_error_metric() -> None:
    gates = gates_of(DIABETES, evaluation(DIABETES, candidate=50.0, baseline=55.0))
    assert gates["versus_champion/rmse"].value == 5.0
    assert gates["versus_champion/rmse"].passed
    worse = gates_of(DIABETES, evaluation(DIABETES, candidate=55.0, baseline=50.0))
    assert not worse["versus_champion/rmse"].passed
    assert "a gain of -5, less than the 0 asked for" in worse["versus_champion/rmse"].detail


def test_too_few_paired_rows_fail_and_say_how_many_there_were() -> None:
    gate = gates_of(WINE, evaluation(WINE, n_paired_rows=12))["versus_champion/accuracy"]
    assert not gate.passed
    assert gate.detail == "only 12 rows new to both candidate and champion 1; 50 are needed"


def test_the_relative_gate_says_why_the_champion_could_not_be_compared() -> None:
    judged = evaluation(WINE, n_paired_rows=0, baseline_metrics={}, baseline_problem="champion 1 can not be loaded")
    gate = gates_of(WINE, judged)["versus_champion/accuracy"]
    assert not gate.passed
    assert gate.detail.endswith("50 are needed (champion 1 can not be loaded)")


def test_another_models_evaluation_is_refused() -> None:
    with pytest.raises(SignoffError, match="evaluation of other"):
        judge(WINE, evaluation(WINE, model="other"), parity_gap=0.0, parity_detail="")


@given(low=scores, high=scores, baseline=scores)
def test_a_better_metric_never_fails_what_a_worse_one_passes(low: float, high: float, baseline: float) -> None:
    low, high = sorted((low, high))
    worse, better = gates_of(WINE, evaluation(WINE, low, baseline)), gates_of(WINE, evaluation(WINE, high, baseline))
    assert all(better[name].passed >= gate.passed for name, gate in worse.items())


@given(low=st.floats(0, 100), high=st.floats(0, 100), baseline=st.floats(0, 100))
def test_a_smaller_error_never_fails_what_a_larger_one_passes(low: float, high: float, baseline: float) -> None:
    low, high = sorted((low, high))
    names = ("metric/rmse", "versus_champion/rmse")
    better = gates_of(DIABETES, evaluation(DIABETES, low, baseline))
    worse = gates_of(DIABETES, evaluation(DIABETES, high, baseline))
    assert all(better[name].passed >= worse[name].passed for name in names)


@given(strong=scores, weak=scores, candidate=scores)
def test_a_stronger_champion_never_makes_the_candidate_pass(strong: float, weak: float, candidate: float) -> None:
    weak, strong = sorted((weak, strong))
    name = "versus_champion/accuracy"
    against_strong = gates_of(WINE, evaluation(WINE, candidate, strong))[name]
    assert gates_of(WINE, evaluation(WINE, candidate, weak))[name].passed >= against_strong.passed


@given(few=st.integers(0, 500), many=st.integers(0, 500))
def test_more_rows_never_fail_what_fewer_rows_pass(few: int, many: int) -> None:
    few, many = sorted((few, many))
    less, more = (gates_of(WINE, evaluation(WINE, n_rows=n, n_paired_rows=n)) for n in (few, many))
    assert all(more[name].passed >= gate.passed for name, gate in less.items())


@given(small=st.floats(0, 1), large=st.floats(0, 1))
def test_a_smaller_parity_gap_never_fails_what_a_larger_one_passes(small: float, large: float) -> None:
    small, large = sorted((small, large))
    judged = evaluation(WINE)
    assert gates_of(WINE, judged, small)["parity"].passed >= gates_of(WINE, judged, large)["parity"].passed


def _without(values: dict[str, float], name: str, value: float | None) -> dict[str, float]:
    rest = {key: known for key, known in values.items() if key != name}
    return rest if value is None else {**rest, name: value}


@given(value=broken, field=st.sampled_from(["candidate", "candidate_paired", "baseline_metrics"]))
def test_a_metric_missing_nan_or_infinite_never_passes(value: float | None, field: str) -> None:
    judged = evaluation(WINE)
    gates = gates_of(WINE, replace(judged, **{field: _without(getattr(judged, field), "accuracy", value)}))
    gate = gates["metric/accuracy" if field == "candidate" else "versus_champion/accuracy"]
    assert not gate.passed
    assert gate.value is None
    assert "could not be computed" in gate.detail


@given(value=broken)
def test_parity_that_could_not_be_measured_never_passes(value: float | None) -> None:
    assert not gates_of(WINE, evaluation(WINE), value)["parity"].passed


@given(value=st.sampled_from([math.nan, math.inf, -math.inf]))
def test_label_coverage_that_is_no_number_never_passes(value: float) -> None:
    assert not gates_of(WINE, evaluation(WINE, label_coverage=value))["min_label_coverage"].passed


@given(
    candidate=st.one_of(scores, broken),
    baseline=st.one_of(scores, broken),
    rows=st.integers(0, 200),
    gap=st.one_of(scores, broken),
)
def test_every_gate_explains_itself_and_carries_only_finite_numbers(
    candidate: float | None, baseline: float | None, rows: int, gap: float | None
) -> None:
    judged = evaluation(WINE, n_rows=rows, n_paired_rows=rows)
    judged = replace(
        judged,
        candidate=_without(judged.candidate, "accuracy", candidate),
        candidate_paired=_without(judged.candidate_paired, "accuracy", candidate),
        baseline_metrics=_without(judged.baseline_metrics, "accuracy", baseline),
    )
    for gate in gates_of(WINE, judged, gap).values():
        assert gate.detail
        assert gate.value is None or math.isfinite(gate.value)
