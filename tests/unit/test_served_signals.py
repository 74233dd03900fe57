"""Signals that need no label: deliveries, predictions and scores; and labels beside those of the reference."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from logs import day
from monitored import log_of, reference_of, rows_of
from perennial.config import ModelConfig, load_model
from perennial.contracts import Signal, Subject
from perennial.evidence.deliveries.delivered import Delivered
from perennial.monitoring.served.answers import label_signals, prediction_signals
from perennial.monitoring.served.deliveries import delivery_signals
from perennial.statistics.comparing.limits import control_limits
from perennial.statistics.comparing.shares import chebyshev, shift

MODELS = Path(__file__).parents[1] / "models"
WINE, DIABETES = load_model(MODELS / "wine_cultivar"), load_model(MODELS / "diabetes_progress")


def about(config: ModelConfig, number: int = 0) -> Subject:
    return Subject(model=config.model, window=day(number), as_of=day(number).end, version="1")


def by_name(found: Any) -> dict[str, Signal]:
    return {signal.name: signal for signal in found}


def delivered(number: int, n_rows: int = 1000, **account: Any) -> Delivered:
    told = {"n_staged": n_rows, "n_duplicate": 0, "n_expected": None, **account}
    return Delivered(window=day(number), n_rows=n_rows, **told)


def of_delivery(*known: Delivered, quiet_h: float = 2.0) -> dict[str, Signal]:
    number = len(known) - 1
    return by_name(delivery_signals(WINE, about(WINE, number), known, day(number).end - timedelta(hours=quiet_h)))


USUAL = [delivered(number, 1000 + 30 * (number % 3)) for number in range(8)]


def test_a_delivery_as_usual_is_ok() -> None:
    assert {signal.status for signal in of_delivery(*USUAL, delivered(8, 1020)).values()} == {"ok"}


@pytest.mark.parametrize(("n_rows", "nearer"), [(600, "low"), (1700, "high")])
def test_half_as_many_rows_and_twice_as_many_are_out_of_control(n_rows: int, nearer: str) -> None:
    volume = of_delivery(*USUAL, delivered(8, n_rows))["quality/volume"]
    assert (volume.status, volume.value) == ("breached", n_rows / 24)
    assert volume.threshold is not None
    assert (volume.threshold < 1000 / 24) == (nearer == "low")


def test_four_earlier_windows_do_not_say_what_is_usual() -> None:
    volume = of_delivery(*USUAL[:4], delivered(4, 10))["quality/volume"]
    assert (volume.status, volume.threshold) == ("undecided", None)
    assert "4 earlier windows, limits need 5" in volume.detail


def test_windows_of_one_size_leave_room_for_chance() -> None:
    same = [delivered(number, 1000) for number in range(8)]
    assert of_delivery(*same, delivered(8, 1030))["quality/volume"].status == "ok"
    assert of_delivery(*same, delivered(8, 1300))["quality/volume"].status == "breached"


def test_duplicates_missing_rows_and_a_missing_end_are_seen() -> None:
    found = of_delivery(*USUAL, delivered(8, 800, n_staged=1000, n_duplicate=100), quiet_h=13.0)
    assert {name for name, signal in found.items() if signal.status == "breached"} == {
        "quality/duplicates", "quality/completeness", "quality/freshness", "quality/volume",
    }  # fmt: skip
    assert found["quality/duplicates"].value == 0.1
    assert found["quality/freshness"].value == pytest.approx(13 / 24)
    promised = of_delivery(*USUAL, delivered(8, 1000, n_staged=1000, n_expected=1250))["quality/completeness"]
    assert (promised.value, promised.detail) == (0.8, "1000 rows published of 1250 promised")


@given(st.lists(st.floats(-100, 100), min_size=5, max_size=30), st.floats(0.5, 5))
def test_limits_hold_the_mean_and_widen_with_sigmas(earlier: list[float], sigmas: float) -> None:
    narrow, wide = control_limits(earlier, sigmas), control_limits(earlier, sigmas + 1)
    assert narrow is not None
    assert wide is not None
    assert wide[0] <= narrow[0] <= np.mean(earlier) + 1e-9
    assert np.mean(earlier) - 1e-9 <= narrow[1] <= wide[1]


def test_limits_are_left_as_seldom_as_they_say() -> None:
    chance = np.random.default_rng(3)
    out = 0
    for _ in range(4000):
        series = chance.normal(size=7)
        low, high = control_limits(series[:6].tolist(), 2.0) or (0, 0)
        out += not low <= series[6] <= high
    assert out / 4000 == pytest.approx(0.0455, abs=0.01)


def drifted(share: float, n_blocks: int, seed: int) -> np.ndarray:
    """Classes of 40 rows a block, of which a share is of class b: more in one block than in another."""
    chance = np.random.default_rng(seed)
    levels = np.clip(share + 0.08 * chance.normal(size=n_blocks), 0, 1).repeat(40)
    drawn = chance.random(40 * n_blocks)
    return np.where(drawn < levels, "b", np.where(drawn < levels + (1 - levels) / 2, "c", "a"))


def test_the_interval_of_the_largest_difference_holds_it() -> None:
    held = []
    for seed in range(150):
        now, before = drifted(0.45, 14, seed), drifted(0.3, 20, 999 + seed)
        blocks = (np.arange(14).repeat(40), np.arange(20).repeat(40))
        found, _ = chebyshev(now, before, blocks=blocks)
        assert found.interval is not None
        held.append(found.interval.low <= 0.15 <= found.interval.high)
    assert np.mean(held) >= 0.93


def test_three_classes_have_a_wider_interval_than_one_alone() -> None:
    """Any of them may lie furthest out by chance."""
    now, before, blocks = (
        drifted(0.45, 14, 1),
        drifted(0.3, 20, 2),
        (np.arange(14).repeat(40), np.arange(20).repeat(40)),
    )
    every, largest = chebyshev(now, before, blocks=blocks)
    alone, _ = chebyshev(now == largest, before == largest, blocks=blocks)
    assert every.value == alone.value
    assert every.interval is not None
    assert alone.interval is not None
    assert every.interval.high > alone.interval.high + 0.01


def test_a_mean_that_moved_is_told_in_standard_deviations() -> None:
    chance = np.random.default_rng(1)
    before, blocks = 5 + 2 * chance.normal(size=4000), np.arange(4000) % 20
    found = shift(before[:2000] - 2.0, before, blocks=(blocks[:2000], blocks))
    assert found.value == pytest.approx(1.0, abs=0.1)
    assert shift(before, np.ones(9), blocks=(blocks, np.arange(9))).problem == "what it is compared with is constant"


@pytest.mark.parametrize("config", [WINE, DIABETES])
def test_predictions_as_in_the_holdout_keep_their_bounds(config: ModelConfig) -> None:
    found = by_name(
        prediction_signals(config, about(config), rows_of(config, log_of(config, 0)), reference=reference_of(config))
    )
    assert set(found) == {"prediction/score"} | ({"prediction/classes"} if config is WINE else set())
    assert {signal.status for signal in found.values()} <= {"ok", "undecided"}
    assert {signal.role for signal in found.values()} == {"watch"}


def test_one_class_predicted_throughout_breaches_and_names_a_class() -> None:
    rows = rows_of(WINE, log_of(WINE, 0).assign(predicted="barolo"))
    found = by_name(prediction_signals(WINE, about(WINE), rows, reference=reference_of(WINE)))["prediction/classes"]
    assert found.status == "breached"
    assert found.detail.startswith("share of barolo 1.0000, 0.")


def test_labels_that_moved_breach_whatever_they_are() -> None:
    rows = rows_of(DIABETES, log_of(DIABETES, 0).assign(label=lambda frame: frame["label"] + 150))
    (found,) = label_signals(DIABETES, about(DIABETES), rows, reference=reference_of(DIABETES))
    assert (found.name, found.status) == ("labels/mean", "breached")
    rows = rows_of(WINE, log_of(WINE, 0).assign(label="barbera"))
    (found,) = label_signals(WINE, about(WINE), rows, reference=reference_of(WINE))
    assert (found.name, found.status) == ("labels/classes", "breached")


@pytest.mark.parametrize("config", [WINE, DIABETES])
def test_what_there_is_nothing_to_compare_with_is_unknown(config: ModelConfig) -> None:
    rows = rows_of(config, log_of(config, 0))
    gone = [
        *prediction_signals(config, about(config), rows, reference=None, gone="gone"),
        *label_signals(config, about(config), None, reference=reference_of(config), why="overdue"),
    ]
    assert {(signal.status, signal.detail) for signal in gone} == {("unknown", "gone"), ("unknown", "overdue")}
    old = reference_of(config).drop_columns(["event_time"])
    for signal in prediction_signals(config, about(config), rows, reference=old):
        assert signal.status == "unknown"
        assert "no event time" in signal.detail
    bad = rows.set_column(rows.schema.get_field_index("score"), "score", pa.nulls(rows.num_rows, pa.float64()))
    found = by_name(prediction_signals(config, about(config), bad, reference=reference_of(config)))
    assert found["prediction/score"].status == "unknown"
