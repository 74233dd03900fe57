"""Concept drift that lasts: residuals by permuted blocks, and a test that may be looked at after every window."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perennial.config import ModelConfig, load_model
from perennial.contracts import Signal, Subject, Window
from perennial.monitoring.estimates.expectation import Expectation, learn
from perennial.monitoring.estimates.lasting import lasting_signals
from perennial.monitoring.judged.signals import judged_signals
from perennial.statistics.sequential import NOTHING, seen_of, shift_since, together

ROOT = Path(__file__).parents[2]
FLIGHTS = load_model(ROOT / "include" / "models" / "flight_delay")
DIABETES = load_model(ROOT / "tests" / "models" / "diabetes_progress")
START = FLIGHTS.schedule.start


def ratio_at(shift: float, before: np.ndarray, now: np.ndarray, effect: float) -> float:
    """The averaged likelihood ratio itself, as Gönen and others write it down."""
    m, n = len(before), len(now)
    n_d, nu = m * n / (m + n), m + n - 2
    pooled = (((before - before.mean()) ** 2).sum() + ((now - now.mean()) ** 2).sum()) / nu
    t = (now.mean() - before.mean() - shift) / (pooled / n_d) ** 0.5
    r = 1 + n_d * effect**2
    return float(r**-0.5 * ((1 + t**2 / nu) / (1 + t**2 / nu / r)) ** ((nu + 1) / 2))


@given(st.integers(0, 500), st.integers(10, 40), st.integers(12, 90), st.sampled_from([0.05, 0.01]))
def test_the_interval_ends_where_the_ratio_says_so(seed: int, m: int, n: int, alpha: float) -> None:
    rng = np.random.default_rng(seed)
    before, now = rng.normal(size=m), rng.normal(0.5, 1, size=n)
    found = shift_since(seen_of(before), seen_of(now), alpha=alpha, effect=1.0, n_rows=9)
    if found.interval is None:
        return
    for end in (found.interval.low, found.interval.high):
        assert ratio_at(end, before, now, 1.0) == pytest.approx(1 / alpha, rel=1e-6)


def test_where_nothing_changed_it_seldom_ever_alarms_however_often_it_is_asked() -> None:
    """182 looks each: a t test repeated as often, at the same level, alarms in a third of the half-years."""
    rng, alarmed = np.random.default_rng(4), 0
    for _ in range(120):
        drawn = rng.normal(size=14 + 182)
        before, now, hit = seen_of(drawn[:14]), NOTHING, False
        for value in drawn[14:]:
            now = now.plus(seen_of(np.array([value])))
            found = shift_since(before, now, alpha=0.05, effect=1.0, n_rows=1)
            hit |= found.interval is not None and not found.interval.low <= 0 <= found.interval.high
        alarmed += hit
    assert alarmed <= 0.05 * 120


def test_what_is_kept_of_parts_is_what_is_kept_of_all() -> None:
    values = np.random.default_rng(1).normal(size=40)
    whole = seen_of(values)
    parts = together(seen_of(part) for part in np.split(values, [3, 4, 20]))
    assert (parts.n, parts.mean, parts.squares) == pytest.approx((whole.n, whole.mean, whole.squares))


def rows(first: int, days: int, *, seed: int, fault: float = 0.0, per_day: int = 60) -> pa.Table:
    """Days of scored rows whose odds share a shock; with ``fault`` that share of labels is drawn without the score."""
    rng, n = np.random.default_rng(seed), days * per_day
    day = np.repeat(np.arange(days), per_day)
    hidden = rng.normal(size=n)
    shocks = 0.2 * rng.normal(size=days)[day]
    truth = rng.random(n) < 1 / (1 + np.exp(-hidden - shocks))
    truth = np.where(rng.random(n) < fault, rng.random(n) < 0.5, truth)
    times = [
        START + timedelta(days=int(first + number), seconds=int(place % per_day)) for place, number in enumerate(day)
    ]
    return pa.table(
        {
            "event_time": pa.array(times, pa.timestamp("us", "UTC")),
            "score": 1 / (1 + np.exp(-hidden)),
            "predicted": pa.nulls(n, pa.string()),
            "label": truth.astype(float),
        }
    )


def known(config: ModelConfig = FLIGHTS) -> Expectation:
    held = rows(-20, 20, seed=1)
    found = learn(config, held.append_column("part", pa.array(["holdout"] * held.num_rows)))
    assert isinstance(found, Expectation)
    return found


def window(number: int) -> Window:
    start = START + timedelta(days=14 * number)
    return Window(start=start, end=start + timedelta(days=14))


def run(config: ModelConfig, number: int, earlier: list[Signal], **kwargs: Any) -> dict[str, Signal]:
    subject = Subject.of_run(config.model, window(number), "1")
    found = lasting_signals(
        config, subject, rows(14 * number, 14, seed=10 + number, **kwargs), known=known(config), earlier=earlier
    )
    return {signal.name: signal for signal in found}


def followed(fault: float, n_windows: int = 4) -> list[dict[str, Signal]]:
    found: list[dict[str, Signal]] = []
    for number in range(n_windows):
        earlier = [one["concept/excess_in_window"] for one in found]
        found.append(run(FLIGHTS, number, earlier, fault=fault))
    return found


def test_labels_that_follow_the_scores_alarm_nobody_and_add_up_window_by_window() -> None:
    found = followed(0.0)
    assert {signal.status for one in found for signal in one.values()} <= {"ok", "undecided"}
    last = found[-1]["concept/excess"]
    assert "56 blocks of 4 windows beside 20" in last.detail
    assert last.interval is not None
    assert last.interval.confidence == pytest.approx(1 - FLIGHTS.alarm_level_of_champion)


def test_labels_that_follow_them_less_are_found_by_both() -> None:
    found = followed(0.6)
    assert found[0]["concept/residuals"].status == "breached"
    assert found[-1]["concept/excess"].status == "breached"
    assert (found[-1]["concept/excess"].value or 0) > FLIGHTS.signals.concept.max_excess
    widths = [one["concept/excess"].interval for one in found]
    assert all(width is not None for width in widths)


def test_a_window_measured_again_counts_once_and_a_later_one_not_yet() -> None:
    first, second = followed(0.0, 2)
    earlier = [first["concept/excess_in_window"], second["concept/excess_in_window"]]
    again = run(FLIGHTS, 0, earlier)
    assert again["concept/excess"] == first["concept/excess"]


def test_a_window_of_one_block_adds_what_it_is() -> None:
    whole = run(FLIGHTS, 0, [])["concept/excess"]
    held, table = known(), rows(0, 14, seed=10)
    found: list[Signal] = []
    for number in range(14):
        start = START + timedelta(days=number)
        subject = Subject.of_run(FLIGHTS.model, Window(start=start, end=start + timedelta(days=1)), "1")
        earlier = [signal for signal in found if signal.name == "concept/excess_in_window"]
        found += lasting_signals(FLIGHTS, subject, table, known=held, earlier=earlier)
    assert [one.interval for one in found if one.name == "concept/excess_in_window"] == [None] * 14
    last = found[-1]
    assert last.value == pytest.approx(whole.value)
    assert last.interval is not None
    assert whole.interval is not None
    assert last.interval.low == pytest.approx(whole.interval.low)


def test_numbers_whose_residuals_spread_are_found_though_their_mean_stayed() -> None:
    config = DIABETES
    rng = np.random.default_rng(3)

    def table(first: int, days: int, spread: float) -> pa.Table:
        base = rows(first, days, seed=first + 50)
        scores = rng.normal(100, 30, size=base.num_rows)
        base = base.set_column(base.column_names.index("score"), "score", pa.array(scores))
        return base.set_column(
            base.column_names.index("label"), "label", pa.array(scores + spread * rng.normal(size=len(scores)))
        )

    held = table(-20, 20, 10.0)
    expectation = learn(config, held.append_column("part", pa.array(["holdout"] * held.num_rows)))
    subject = Subject.of_run(config.model, window(0), "1")
    for spread, status in ((10.0, "ok"), (20.0, "breached")):
        found = next(iter(lasting_signals(config, subject, table(0, 14, spread), known=expectation)))
        assert (found.name, found.status) == ("concept/residuals", status)


def test_entities_that_come_back_are_no_new_blocks() -> None:
    told = FLIGHTS.model_dump()
    told["signals"]["uncertainty"]["block_by"] = "origin"
    config = ModelConfig.model_validate(told)
    held = rows(-20, 20, seed=1)
    origins = pa.array([f"A{place % 20}" for place in range(held.num_rows)])
    held = held.append_column("origin", origins).append_column("part", pa.array(["holdout"] * held.num_rows))
    table = rows(0, 14, seed=2)
    table = table.append_column("origin", origins.slice(0, table.num_rows))
    expectation = learn(config, held)
    subject = Subject.of_run(config.model, window(0), "1")
    found = {one.name: one for one in lasting_signals(config, subject, table, known=expectation)}
    assert found["concept/residuals"].status in ("ok", "undecided")
    assert found["concept/excess"].status == "unknown"
    assert "come back in every window" in found["concept/excess"].detail


def test_few_blocks_can_not_alarm_and_say_so() -> None:
    subject = Subject.of_run(FLIGHTS.model, window(0), "1")
    held = rows(-2, 2, seed=1)
    few = learn(FLIGHTS, held.append_column("part", pa.array(["holdout"] * held.num_rows)))
    found = {one.name: one for one in lasting_signals(FLIGHTS, subject, rows(0, 2, seed=2, fault=1.0), known=few)}
    assert found["concept/residuals"].status == "undecided"
    assert "too few" in found["concept/residuals"].detail
    assert found["concept/excess"].status == "undecided"
    assert "can not exclude any shift yet" in found["concept/excess"].detail


def test_tests_that_alarm_share_the_budget_and_those_that_are_watched_take_none_of_it() -> None:
    assert FLIGHTS.n_alarm_tests == 2
    told = FLIGHTS.model_dump()
    told["signals"]["concept"] = {"role": "alert"}
    alarming = ModelConfig.model_validate(told)
    assert alarming.n_alarm_tests == 4
    assert alarming.alarm_level(window(0)) == pytest.approx(FLIGHTS.alarm_level(window(0)) / 2)
    assert alarming.alarm_level_of_champion == pytest.approx(FLIGHTS.alarm_level_of_champion / 2)
    told["signals"]["estimate"] = {"enabled": False}
    assert ModelConfig.model_validate(told).n_alarm_tests == 2


def test_switched_off_they_say_nothing_and_the_metrics_go_on() -> None:
    told = FLIGHTS.model_dump()
    told["signals"]["concept"] = {"enabled": False}
    told["signals"]["slices"] = {"find": False}
    config = ModelConfig.model_validate(told)
    subject = replace(Subject.of_run(FLIGHTS.model, window(0), "1"))
    found = judged_signals(config, subject, None, reference=None, gone="gone", why="no labels")
    assert [one.name for one in found if one.family == "concept"] == ["concept/roc_auc", "concept/accuracy"]
