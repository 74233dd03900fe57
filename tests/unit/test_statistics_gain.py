"""The laws of the accumulated gain, and of an interval against a bound."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from branches import reached, reaches
from perennial.contracts import Estimate, Interval
from perennial.statistics.gain import NOTHING, Gain, accumulate
from perennial.statistics.intervals import around

GAINS = st.floats(-0.1, 0.1) | st.floats(0.01, 0.1)
ERRORS = st.floats(1e-4, 0.1) | st.floats(1e-4, 0.02)
WINDOWS = st.lists(st.tuples(GAINS, ERRORS, st.integers(2, 60)), max_size=12)
PRICES = st.floats(0, 0.1)


def after(windows: list[tuple[float, float, int]]) -> Gain:
    gain = NOTHING
    for window in windows:
        gain = gain.plus(*window)
    return gain


@given(WINDOWS, PRICES)
def test_windows_without_a_gain_never_ask_for_a_retrain(windows: list[tuple[float, float, int]], price: float) -> None:
    for end in range(len(windows) + 1):
        losses = [(-abs(gain), error, n_blocks) for gain, error, n_blocks in windows[:end]]
        assert after(losses) == NOTHING
        assert not after(losses).fires(price=price, confidence=0.95)


@reaches(fires=0.1, turns=0.01)
@given(WINDOWS, GAINS, ERRORS, st.integers(2, 60), st.floats(0, 0.1), PRICES)
def test_a_larger_newest_gain_never_asks_for_less(
    windows: list[tuple[float, float, int]], gain: float, error: float, n_blocks: int, more: float, price: float
) -> None:
    small, large = (after([*windows, (figure, error, n_blocks)]) for figure in (gain, gain + more))
    less, more_of_it = (one.fires(price=price, confidence=0.95) for one in (small, large))
    reached("fires", less)
    reached("turns", more_of_it and not less)
    assert more_of_it or not less


@reaches(fires=0.1, turns=0.01)
@given(WINDOWS, st.integers(0, 11), st.floats(0, 0.1), PRICES)
def test_a_larger_error_anywhere_never_asks_for_more(
    windows: list[tuple[float, float, int]], place: int, more: float, price: float
) -> None:
    vaguer = [(g, s + more * (number == place), n) for number, (g, s, n) in enumerate(windows)]
    surer, vague = (after(one).fires(price=price, confidence=0.95) for one in (windows, vaguer))
    reached("fires", vague)
    reached("turns", surer and not vague)
    assert surer or not vague


@reaches(fires=0.04, dearer=0.02, surer=0.02)
@given(WINDOWS, PRICES, st.floats(0, 0.5))
def test_a_higher_price_or_confidence_never_asks_for_more(
    windows: list[tuple[float, float, int]], price: float, more: float
) -> None:
    gain = after(windows)
    fires = gain.fires(price=price, confidence=0.95)
    dearer, surer = gain.fires(price=price + more, confidence=0.95), gain.fires(price=price, confidence=0.99)
    reached("fires", dearer and surer)
    reached("dearer", fires and not dearer)
    reached("surer", fires and not surer)
    assert fires or not dearer
    assert fires or not surer


@given(WINDOWS, WINDOWS)
def test_a_reset_forgets_everything(
    before: list[tuple[float, float, int]], later: list[tuple[float, float, int]]
) -> None:
    assert after([*before, (-10.0, 0.01, 14), *later]) == after(later)


def test_the_sum_is_held_against_t_of_all_windows() -> None:
    gain = after([(0.02, 0.01, 14), (0.03, 0.02, 5)])
    assert (gain.total, gain.df, gain.n_windows) == (pytest.approx(0.05), 17, 2)
    assert gain.reach(0.95) == pytest.approx(stats.t.ppf(0.95, 17) * (0.01**2 + 0.02**2) ** 0.5)
    assert gain.fires(price=0.049, confidence=0.95)
    assert not gain.fires(price=0.05001, confidence=0.95)
    vague = after([(0.03, 0.0175, 14)])
    assert not vague.fires(price=0.02, confidence=0.95), "1.71 standard errors; t asks for 1.77, the normal for 1.64"
    assert vague.fires(price=0.02, confidence=0.94)


def test_a_window_without_an_interval_is_passed_over() -> None:
    seen = Estimate(value=0.02, interval=around(0.02, 0.01, 900, 14, 0.95))
    unseen = Estimate(value=-5.0, problem="4 blocks; an interval needs 10")
    assert accumulate([seen, unseen, seen]) == after([(0.02, 0.01, 14)] * 2)
    assert accumulate([seen], start=after([(0.02, 0.01, 14)])) == after([(0.02, 0.01, 14)] * 2)


@pytest.mark.parametrize(
    "window",
    [(float("nan"), 0.01, 14), (0.1, -0.1, 14), (0.1, float("nan"), 14), (0.1, 0.01, 1), (float("inf"), 0.01, 14)],
)
def test_what_is_no_measurement_is_refused(window: tuple[float, float, int]) -> None:
    with pytest.raises(ValueError, match="no measurement"):
        NOTHING.plus(*window)


@reaches(ok=0.1, breached=0.05, undecided=0.1)
@given(st.floats(-1, 1), st.floats(0, 1), st.floats(0, 1), st.floats(-3, 3))
def test_an_interval_stands_on_one_side_of_a_bound_or_is_undecided(
    value: float, below: float, above: float, bound: float
) -> None:
    interval = Interval(
        low=value - below, high=value + above, standard_error=0.1, n_rows=9, n_blocks=3, confidence=0.95
    )
    found = Estimate(value=value, interval=interval)
    least, most = (found.standing(bound, is_least=is_least) for is_least in (True, False))
    reached(least)
    assert {least, most} != {"ok"} or value - below == bound == value + above
    assert "breached" not in {least, most} or {least, most} == {"ok", "breached"}
    assert ("undecided" in {least, most}) == (value - below < bound < value + above) or bound in (
        interval.low,
        interval.high,
    )
    vaguer = replace(found, interval=replace(interval, low=interval.low - 0.5, high=interval.high + 0.5))
    assert vaguer.standing(bound, is_least=True) in (least, "undecided")


def test_a_bound_that_is_no_number_is_refused() -> None:
    with pytest.raises(ValueError, match="no number"):
        Estimate(problem="gone").standing(float("nan"), is_least=True)
