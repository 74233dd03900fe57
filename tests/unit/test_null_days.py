"""Nulls that come on every day, beside days that have no value at all."""

import numpy as np
import pytest

from perennial.monitoring.drift.judging import Effect, Judgement, judge
from perennial.profiles.profile import Numbers, Profile

N_REFERENCE, N_WINDOW, N_ROWS = 56, 14, 1000
NULLS = Effect(name="temp", method="null_rate", threshold=0.03)


def days_of(rates: list[float]) -> Profile:
    """Days of a thousand rows each, whose values are the same ones."""
    n_nulls = np.array(rates) * N_ROWS
    values = np.stack([N_ROWS - n_nulls, np.zeros(len(rates))], axis=1)
    nothing, at = np.zeros(len(rates)), np.full(len(rates), 40.0)
    column = Numbers(
        edges=np.array([50.0]), counts=values, sums=values * 40.0, squares=nothing, n_nulls=n_nulls, n_infinite=nothing,
        low=at, high=at,
    )  # fmt: skip
    return Profile(blocks=np.arange(len(rates)), n_rows=np.full(len(rates), float(N_ROWS)), numbers={"temp": column})


def judged(reference: list[float], window: list[float], alpha: float = 0.002) -> Judgement:
    return judge(days_of(reference), days_of(window), [NULLS], alpha=alpha, seed=7)[NULLS]


@pytest.mark.parametrize("n_outages", [0, 1])
def test_nulls_on_every_day_are_seen_beside_days_without_a_value(n_outages: int) -> None:
    found = judged([1.0] * n_outages + [0.0] * (N_REFERENCE - n_outages), [0.06] * N_WINDOW)
    assert found.status == "breached", found.detail


def test_a_day_without_a_value_is_none_where_such_days_happen() -> None:
    usual = [1.0] * 3 + [0.0] * (N_REFERENCE - 3)
    found = judged(usual, [1.0] * 2 + [0.0] * (N_WINDOW - 2))
    assert (found.value > NULLS.threshold, found.status) == (True, "undecided"), found.detail


def test_rates_that_swing_hide_what_is_within_their_swing() -> None:
    usual = [0.1 * (number % 10) for number in range(N_REFERENCE)]
    found = judged(usual, [0.1 * (number % 10) + 0.05 for number in range(N_WINDOW)])
    assert found.status != "breached", found.detail


def test_what_differs_in_no_day_is_no_drift() -> None:
    found = judged([0.02] * N_REFERENCE, [0.02] * N_WINDOW)
    assert (found.status, found.chance.p) == ("ok", 1.0)
