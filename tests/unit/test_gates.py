"""The laws of the gates: more evidence of quality never fails what passed, and missing evidence never passes."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from branches import reached, reaches
from perennial.config import ModelConfig, load_model
from perennial.contracts import DataFacts, Estimate, Evaluation, Gate
from perennial.errors import SignoffError
from perennial.signoff.gates import judge
from perennial.statistics.intervals import around
from perennial.statistics.metrics import METRICS

MODELS = Path(__file__).parents[1] / "models"
WINE = load_model(MODELS / "wine_cultivar")
DIABETES = load_model(MODELS / "diabetes_progress")
TUMOUR = load_model(MODELS / "tumour_malignant")

SOUND = DataFacts(n_same_ids=0, shared_entities=None, gap_s=60.0, least_class={"train": 90, "holdout": 30})

scores = st.floats(0, 1)
broken = st.sampled_from([None, math.nan, math.inf, -math.inf])


def gain(value: float, error: float = 0.01) -> Estimate:
    return Estimate(value=value, interval=around(value, error, 200, 14, 0.95))


def evaluation(config: ModelConfig, candidate: float = 0.9, baseline: float = 0.8, **other: object) -> Evaluation:
    names = METRICS[config.task]
    made = Evaluation(
        model=config.model,
        mlflow_run_id="run",
        n_rows=200,
        data=SOUND,
        label_coverage=0.95,
        candidate=dict.fromkeys(names, candidate),
        candidate_paired=dict.fromkeys(names, candidate),
        baseline="1",
        baseline_metrics=dict.fromkeys(names, baseline),
        n_paired_rows=200,
        gains={name: gain(metric.loss(baseline, candidate)) for name, metric in names.items()},
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
        "data/same_ids",
        "data/gap",
        "data/classes",
        "parity",
    ]


def test_less_is_better_for_an_error_metric() -> None:
    gates = gates_of(DIABETES, evaluation(DIABETES, candidate=50.0, baseline=55.0))
    assert gates["versus_champion/rmse"].value == 5.0
    assert gates["versus_champion/rmse"].passed
    worse = gates_of(DIABETES, evaluation(DIABETES, candidate=55.0, baseline=50.0))
    assert not worse["versus_champion/rmse"].passed
    assert "a gain of -5, at least -5.018 at 95.000% by 14 blocks; not asked: at least 0, and surely above 0" in (
        worse["versus_champion/rmse"].detail
    )


def test_a_gain_has_to_be_large_enough_and_sure() -> None:
    """At fourteen blocks t(0.95) is 1.771: a gain of 0.02 with an error of 0.012 could be none."""
    config = with_gate(WINE, min_gain=0.01)
    assert versus(config, gain(0.02, 0.011)).passed
    unsure = versus(config, gain(0.02, 0.012))
    assert not unsure.passed
    assert "these rows could not tell" in unsure.detail
    assert not versus(config, gain(0.009, 0.001)).passed, "sure, and too small to be worth it"


def test_superiority_asks_that_the_gain_is_surely_large_enough() -> None:
    config = with_gate(WINE, min_gain=0.01, rule="superiority")
    assert versus(config, gain(0.02, 0.005)).passed
    assert not versus(config, gain(0.02, 0.006)).passed


def test_non_inferiority_allows_a_loss_up_to_its_margin() -> None:
    config = with_gate(WINE, min_gain=0.0, rule="non_inferiority", margin=0.01)
    assert versus(config, gain(-0.001, 0.005)).passed
    assert not versus(config, gain(-0.002, 0.005)).passed


def test_every_further_candidate_against_one_champion_has_less_error_to_spend() -> None:
    judged = replace(evaluation(WINE), gains={"accuracy": gain(0.02, 0.0105)})
    passed = [
        {gate.name: gate.passed for gate in judge(WINE, judged, parity_gap=0.0, parity_detail="", attempt=attempt)}[
            "versus_champion/accuracy"
        ]
        for attempt in (1, 2, 3, 4)
    ]
    assert passed == [True, False, False, False]


def test_a_second_metric_may_not_be_lost_for_the_first() -> None:
    config = with_gate(WINE, min_gain=0.0, no_worse={"balanced_accuracy": 0.01})
    good, bad = gain(-0.001, 0.005), gain(-0.002, 0.005)
    for found, passes in ((good, True), (bad, False), (Estimate(problem="no rows"), False)):
        judged = replace(evaluation(config), gains={"accuracy": gain(0.1), "balanced_accuracy": found})
        assert gates_of(config, judged)["no_worse/balanced_accuracy"].passed is passes


def test_a_whole_interval_may_have_to_keep_an_absolute_bound() -> None:
    declared = WINE.model_dump()
    declared["signoff"]["metrics"] = {"accuracy": {"min": 0.7, "of": "interval"}}
    config = ModelConfig.model_validate(declared)
    judged = replace(evaluation(config, 0.75), intervals={"accuracy": around(0.75, 0.03, 200, 14, 0.95)})
    assert not gates_of(config, judged)["metric/accuracy"].passed
    assert gates_of(WINE, judged)["metric/accuracy"].passed
    narrow = replace(judged, intervals={"accuracy": around(0.75, 0.02, 200, 14, 0.95)})
    assert gates_of(config, narrow)["metric/accuracy"].passed
    assert not gates_of(config, replace(judged, intervals={}))["metric/accuracy"].passed


def test_a_gain_on_rows_that_could_not_have_seen_it_is_borderline() -> None:
    """A gain of 0.05 is sure at an error of 0.02; rows that show 0.035 at the least do not show 0.01."""
    config = with_gate(WINE, min_gain=0.01)
    weak = versus(config, gain(0.04, 0.02))
    assert (weak.passed, weak.borderline) == (True, True)
    assert "these rows show differences from 0.03542 on, and 0.01 was to be seen" in weak.detail
    assert not versus(config, gain(0.04, 0.005)).borderline, "the rows would have shown 0.01"
    assert not versus(config, gain(0.06, 0.02)).borderline, "the whole interval lies above 0.01"
    lost = versus(config, gain(0.0, 0.02))
    assert (lost.passed, lost.borderline) == (False, False)
    assert "0.01 was to be seen" in lost.detail
    assert not versus(with_gate(WINE, min_gain=0.0), gain(0.04, 0.02)).borderline, "there is no margin to see"


def test_an_absolute_bound_inside_the_interval_is_borderline() -> None:
    judged = replace(evaluation(WINE, 0.75), intervals={"accuracy": around(0.75, 0.03, 200, 14, 0.95)})
    gate = gates_of(WINE, judged)["metric/accuracy"]
    assert (gate.passed, gate.borderline) == (True, True)
    narrow = replace(judged, intervals={"accuracy": around(0.75, 0.02, 200, 14, 0.95)})
    assert not gates_of(WINE, narrow)["metric/accuracy"].borderline


def test_a_binary_task_guards_its_calibration_unless_told_otherwise() -> None:
    assert TUMOUR.guards == {"log_loss": 0.02}
    judged = replace(evaluation(TUMOUR), gains={"roc_auc": gain(0.1), "log_loss": gain(-0.05)})
    assert not gates_of(TUMOUR, judged)["no_worse/log_loss"].passed
    assert "no_worse/log_loss" not in gates_of(with_gate(TUMOUR, "roc_auc", min_gain=0.0, no_worse={}), judged)
    assert WINE.guards == DIABETES.guards == {}, "there is no log loss of one score a row, or of numbers"


def with_gate(config: ModelConfig, metric: str = "accuracy", **gate: object) -> ModelConfig:
    declared = config.model_dump()
    declared["signoff"]["versus_champion"] = {"metric": metric, **gate}
    return ModelConfig.model_validate(declared)


def versus(config: ModelConfig, found: Estimate) -> Gate:
    return gates_of(config, replace(evaluation(config), gains={"accuracy": found}))["versus_champion/accuracy"]


def test_too_few_paired_rows_fail_and_say_how_many_there_were() -> None:
    gate = gates_of(WINE, evaluation(WINE, n_paired_rows=12))["versus_champion/accuracy"]
    assert not gate.passed
    assert gate.detail == "only 12 rows new to both candidate and champion 1; 50 are needed"


def test_a_candidate_judged_on_sixty_rows_is_stopped_by_the_gates_meant_for_it() -> None:
    flights = load_model(MODELS.parents[1] / "include" / "models" / "flight_delay")
    judged = evaluation(flights, n_rows=60, n_paired_rows=60)
    failed = {name: gate.detail for name, gate in gates_of(flights, judged).items() if not gate.passed}
    assert failed["min_holdout_rows"] == "labelled holdout rows: 60, at least 5000 needed"
    assert failed["versus_champion/roc_auc"] == "only 60 rows new to both candidate and champion 1; 5000 are needed"


def test_the_relative_gate_says_why_the_champion_could_not_be_compared() -> None:
    judged = evaluation(WINE, n_paired_rows=0, baseline_metrics={}, baseline_problem="champion 1 can not be loaded")
    gate = gates_of(WINE, judged)["versus_champion/accuracy"]
    assert not gate.passed
    assert gate.detail.endswith("50 are needed (champion 1 can not be loaded)")


def test_another_models_evaluation_is_refused() -> None:
    with pytest.raises(SignoffError, match="evaluation of other"):
        judge(WINE, evaluation(WINE, model="other"), parity_gap=0.0, parity_detail="")


@reaches(passes=0.05, fails=0.05)
@given(low=scores, high=scores, baseline=scores)
def test_a_better_metric_never_fails_what_a_worse_one_passes(low: float, high: float, baseline: float) -> None:
    low, high = sorted((low, high))
    worse, better = gates_of(WINE, evaluation(WINE, low, baseline)), gates_of(WINE, evaluation(WINE, high, baseline))
    reached("passes", worse["metric/accuracy"].passed)
    reached("fails", not worse["metric/accuracy"].passed)
    assert all(better[name].passed >= gate.passed for name, gate in worse.items())


@reaches(passes=0.05, versus=0.05)
@given(low=st.floats(0, 100), high=st.floats(0, 100), baseline=st.floats(0, 100))
def test_a_smaller_error_never_fails_what_a_larger_one_passes(low: float, high: float, baseline: float) -> None:
    low, high = sorted((low, high))
    names = ("metric/rmse", "versus_champion/rmse")
    better = gates_of(DIABETES, evaluation(DIABETES, low, baseline))
    worse = gates_of(DIABETES, evaluation(DIABETES, high, baseline))
    reached("passes", worse["metric/rmse"].passed)
    reached("versus", worse["versus_champion/rmse"].passed)
    assert all(better[name].passed >= worse[name].passed for name in names)


@reaches(passes=0.05, turns=0.05)
@given(strong=scores, weak=scores, candidate=scores)
def test_a_stronger_champion_never_makes_the_candidate_pass(strong: float, weak: float, candidate: float) -> None:
    weak, strong = sorted((weak, strong))
    name = "versus_champion/accuracy"
    against_strong = gates_of(WINE, evaluation(WINE, candidate, strong))[name]
    against_weak = gates_of(WINE, evaluation(WINE, candidate, weak))[name]
    reached("passes", against_strong.passed)
    reached("turns", against_weak.passed > against_strong.passed)
    assert against_weak.passed >= against_strong.passed


@reaches(passes=0.05, turns=0.05)
@given(few=st.integers(0, 500), many=st.integers(0, 500))
def test_more_rows_never_fail_what_fewer_rows_pass(few: int, many: int) -> None:
    few, many = sorted((few, many))
    less, more = (gates_of(WINE, evaluation(WINE, n_rows=n, n_paired_rows=n)) for n in (few, many))
    reached("passes", all(gate.passed for gate in less.values()))
    reached("turns", any(more[name].passed > gate.passed for name, gate in less.items()))
    assert all(more[name].passed >= gate.passed for name, gate in less.items())


@reaches(passes=0.05, fails=0.05)
@given(small=st.floats(0, 1), large=st.floats(0, 1))
def test_a_smaller_parity_gap_never_fails_what_a_larger_one_passes(small: float, large: float) -> None:
    small, large = sorted((small, large))
    judged = evaluation(WINE)
    smaller, larger = (gates_of(WINE, judged, gap)["parity"].passed for gap in (small, large))
    reached("passes", larger)
    reached("fails", not larger)
    assert smaller >= larger


def _without(values: dict[str, float], name: str, value: float | None) -> dict[str, float]:
    rest = {key: known for key, known in values.items() if key != name}
    return rest if value is None else {**rest, name: value}


@given(value=broken)
def test_a_metric_missing_nan_or_infinite_never_passes(value: float | None) -> None:
    judged = evaluation(WINE)
    gate = gates_of(WINE, replace(judged, candidate=_without(judged.candidate, "accuracy", value)))["metric/accuracy"]
    assert not gate.passed
    assert gate.value is None
    assert "could not be computed" in gate.detail


@pytest.mark.parametrize("found", [None, Estimate(problem="no rows"), Estimate(value=0.1, problem="4 blocks")])
def test_a_gain_that_could_not_be_estimated_never_passes(found: Estimate | None) -> None:
    gains = {} if found is None else {"accuracy": found}
    gate = gates_of(WINE, replace(evaluation(WINE), gains=gains))["versus_champion/accuracy"]
    assert not gate.passed
    assert gate.detail


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
