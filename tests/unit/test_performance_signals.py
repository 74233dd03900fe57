from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from logs import day
from monitored import log_of, reference_of, rows_of
from perennial.config import ModelConfig, load_model
from perennial.contracts import Signal, SignalName, Subject
from perennial.evidence.maturity import Coverage, maturity, newest_due
from perennial.monitoring.performance import coverage_signal, holdout_answers, performance_signals

MODELS = Path(__file__).parents[1] / "models"
WINE, DIABETES = load_model(MODELS / "wine_cultivar"), load_model(MODELS / "diabetes_progress")


def about(config: ModelConfig) -> Subject:
    return Subject(model=config.model, window=day(0), as_of=day(1).end, version="1")


def covered(n_rows: int = 200, n_labelled: int = 200, n_by_champion: int = 200) -> Coverage:
    n_by_champion_labelled = min(n_labelled, n_by_champion)
    return Coverage(
        window=day(0),
        n_rows=n_rows,
        n_labelled=n_labelled,
        n_by_champion=n_by_champion,
        n_by_champion_labelled=n_by_champion_labelled,
    )


def measured(
    config: ModelConfig, rows: pa.Table | None, *, coverage: Coverage | None = None, reference: bool = True
) -> dict[str, Signal]:
    holdout = holdout_answers(config, reference_of(config) if reference else None)
    found = performance_signals(config, about(config), coverage or covered(), rows, holdout=holdout)
    return {signal.name: signal for signal in found}


@pytest.mark.parametrize(("config", "metric"), [(WINE, "accuracy"), (DIABETES, "rmse")])
def test_a_good_window_is_ok_against_bound_and_holdout(config: ModelConfig, metric: str) -> None:
    found = measured(config, rows_of(config, log_of(config, 0)))
    assert {name: signal.status for name, signal in found.items()} == {
        f"performance/{metric}": "ok",
        f"performance/{metric}_loss": "ok",
    }
    assert {signal.role for signal in found.values()} == {"retrain"}
    assert found[f"performance/{metric}"].threshold == config.signals.performance[metric].bound


def test_a_bad_window_breaches_both_whichever_way_the_metric_points() -> None:
    frame = log_of(WINE, 0)
    found = measured(WINE, rows_of(WINE, frame.assign(predicted="barolo")))
    assert {signal.status for signal in found.values()} == {"breached"}
    assert found["performance/accuracy_loss"].value == pytest.approx(0.93 - 0.33, abs=0.1)
    frame = log_of(DIABETES, 0)
    found = measured(DIABETES, rows_of(DIABETES, frame.assign(score=frame["label"] + 200.0)))
    assert {signal.status for signal in found.values()} == {"breached"}


def test_without_its_reference_the_loss_is_unknown_and_the_bound_still_holds() -> None:
    found = measured(WINE, rows_of(WINE, log_of(WINE, 0)), reference=False)
    assert found["performance/accuracy"].status == "ok"
    assert found["performance/accuracy_loss"].status == "unknown"
    assert "holdout is gone" in found["performance/accuracy_loss"].detail


def test_too_few_labelled_rows_are_unknown_with_their_number() -> None:
    found = measured(WINE, rows_of(WINE, log_of(WINE, 0, n_rows=29)), coverage=covered(n_by_champion=29))
    assert {signal.status for signal in found.values()} == {"unknown"}
    assert found["performance/accuracy"].detail == "29 labelled rows of the champion, at least 30 are needed"


def test_a_window_that_never_matured_is_unknown() -> None:
    found = measured(WINE, None, coverage=covered(n_labelled=20))
    assert {signal.status for signal in found.values()} == {"unknown"}
    assert "20 of 200 predictions have a label" in found["performance/accuracy_loss"].detail


@pytest.mark.parametrize("bad", [np.nan, np.inf, None])
def test_a_score_that_is_no_number_makes_the_window_unknown(bad: float | None) -> None:
    frame = log_of(DIABETES, 0).astype({"score": object})
    frame.loc[7, "score"] = bad
    found = measured(DIABETES, rows_of(DIABETES, frame))
    assert {signal.status for signal in found.values()} == {"unknown"}
    assert "rmse can not be computed: 200 rows" in found["performance/rmse"].detail


def test_one_class_has_no_balanced_accuracy() -> None:
    declared = WINE.model_dump()
    declared["signals"]["performance"] = {"balanced_accuracy": {"role": "retrain", "bound": 0.5}}
    config = ModelConfig.model_validate(declared)
    found = measured(config, rows_of(config, log_of(config, 0).assign(label="barolo")))
    assert found["performance/balanced_accuracy"].status == "unknown"
    assert "1 distinct labels" in found["performance/balanced_accuracy"].detail


def test_maturity_goes_from_waiting_to_mature_or_overdue() -> None:
    end, wait = day(0).end, WINE.label.max_wait
    assert maturity(WINE, covered(n_labelled=179), end) == "waiting"
    assert maturity(WINE, covered(n_labelled=180), end) == "mature"
    assert maturity(WINE, covered(n_labelled=179), end + wait) == "overdue"
    assert maturity(WINE, covered(n_labelled=180), end + wait) == "mature"
    assert maturity(WINE, covered(n_rows=0, n_labelled=0), end + wait) == "empty"


def test_coverage_pages_someone_only_when_it_is_overdue() -> None:
    late = Subject(model=WINE.model, window=day(0), as_of=day(0).end + WINE.label.max_wait, version="1")
    found = [
        coverage_signal(WINE, subject, coverage)
        for subject, coverage in [
            (about(WINE), covered()),
            (about(WINE), covered(n_labelled=20)),
            (late, covered(n_labelled=20)),
            (late, covered(n_rows=0, n_labelled=0)),
        ]
    ]
    assert [(signal.status, signal.role, signal.value) for signal in found] == [
        ("ok", "watch", 1.0),
        ("breached", "watch", 0.1),
        ("breached", "alert", 0.1),
        ("unknown", "watch", None),
    ]


def test_labels_are_due_once_the_youngest_event_is_as_old_as_their_delay() -> None:
    windows, delay = (day(0), day(1)), WINE.label.delay
    assert newest_due(WINE, windows, day(0).end) is None
    assert newest_due(WINE, windows, day(0).end + delay) == day(0)
    assert newest_due(WINE, windows, day(1).end + delay - timedelta(seconds=1)) == day(0)


PATIENTS = rows_of(DIABETES, log_of(DIABETES, 0, n_rows=60))


@cache
def in_their_order() -> dict[str, Signal]:
    return measured(DIABETES, PATIENTS)


@settings(deadline=None, max_examples=20)
@given(st.permutations(range(60)))
def test_row_order_never_matters(order: list[int]) -> None:
    straight, shuffled = in_their_order(), measured(DIABETES, PATIENTS.take(order))
    assert {name: signal.status for name, signal in straight.items()} == {
        name: signal.status for name, signal in shuffled.items()
    }
    assert [signal.value for signal in straight.values()] == pytest.approx(
        [signal.value for signal in shuffled.values()], abs=1e-9
    )


def test_signals_refuse_a_nan_as_a_value() -> None:
    found: Any = about(WINE).known(SignalName("reference"), "watch", float("nan"), threshold=1.0, breached=False)
    assert (found.status, found.value, found.detail) == ("unknown", None, "the result is nan")
