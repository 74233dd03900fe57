"""The laws of a bake's end, whatever became of its windows."""

from dataclasses import replace
from typing import get_args

from hypothesis import given
from hypothesis import strategies as st

from branches import reached, reaches
from logs import day
from perennial.bake.settlement import BakeWindow, WindowOutcome, apart, bake_so_far, bake_windows
from perennial.config import ModelConfig, load_model
from perennial.contracts import BakeState, Estimate, ReleaseState, Signal, SignalName, Subject, Window
from perennial.settings import ROOT
from perennial.statistics.intervals import around

FLIGHTS = load_model(ROOT / "include" / "models" / "flight_delay")
OWN, PAIRED = SignalName.bake("roc_auc"), SignalName.bake_vs_stable("roc_auc")
ALONE = ReleaseState(model="flight_delay", champion="3")
Shown = tuple[float, float] | None
"""The ROC AUC of a window and its standard error; None for one that was not measured."""
shown: st.SearchStrategy[Shown] = st.none() | st.tuples(
    st.sampled_from([0.3, 0.45, 0.52, 0.54, 0.56, 0.58, 0.7]), st.sampled_from([0.01, 0.03, 0.1])
)
drawn_windows = st.lists(shown, max_size=6)
needed, allowed = st.integers(1, 4), st.integers(0, 2)
BROKEN: Shown = (0.3, 0.01)
"""Fails by itself: the bound of the flights is 0.55."""


def baking(windows: int, allowed_failures: int) -> ModelConfig:
    bake = FLIGHTS.bake.model_copy(update={"windows": windows, "allowed_failures": allowed_failures})
    return FLIGHTS.model_copy(update={"bake": bake})


def signals_of(seen: list[Shown]) -> list[Signal]:
    """The own figures of a bake, a window a day."""
    found = []
    for number, one in enumerate(seen):
        subject = Subject(model="flight_delay", window=day(number), as_of=day(number).end, version="3")
        estimate = Estimate(value=one[0], interval=around(*one, 900, 14, 0.95)) if one else Estimate(problem="no label")
        found.append(subject.estimated(OWN, "alert", estimate, threshold=FLIGHTS.bake.bound, is_least=True))
    return found


def ended(config: ModelConfig, seen: list[Shown]) -> BakeState:
    return bake_so_far(config, ALONE, signals_of(seen), at=day(9).end)[0]


@reaches(passed=0.1, failed=0.1, running=0.1)
@given(drawn_windows, shown, needed, allowed)
def test_an_end_is_an_end_and_only_windows_measured_bring_it(
    before: list[Shown], next_one: Shown, windows: int, allowed_failures: int
) -> None:
    config = baking(windows, allowed_failures)
    found = ended(config, before)
    reached(found)
    assert found == ended(config, [one for one in before if one is not None])
    assert ended(config, [*before, next_one]) == found or (found == "running" and next_one is not None)


@reaches(passed=0.1, failed=0.1)
@given(drawn_windows, st.integers(0, 6), needed, allowed)
def test_one_more_failed_window_never_lets_a_bake_pass_that_did_not(
    seen: list[Shown], place: int, windows: int, allowed_failures: int
) -> None:
    config = baking(windows, allowed_failures)
    found = ended(config, seen)
    if found in ("passed", "failed"):
        reached(found)
    assert ended(config, [*seen[:place], BROKEN, *seen[place:]]) in (found, "failed")


@reaches(passed=0.1, better=0.02)
@given(st.lists(shown, min_size=3, max_size=6), st.sampled_from([0.02, 0.1, 0.3]), st.integers(1, 2), allowed)
def test_better_figures_never_fail_a_bake_that_passed(
    seen: list[Shown], better: float, windows: int, allowed_failures: int
) -> None:
    config = baking(windows, allowed_failures)
    found = ended(config, seen)
    risen = ended(config, [one and (one[0] + better, one[1]) for one in seen])
    reached("passed", found == "passed")
    reached("better", found == "failed" and risen == "passed")
    assert found != "passed" or risen != "failed"


def test_windows_show_together_what_none_of_them_shows_and_the_ledger_says_so() -> None:
    config, faint = baking(2, 0), (0.52, 0.02)
    assert [window.outcome for window in bake_windows(config, ALONE, signals_of([faint] * 2))] == ["unknown"] * 2
    assert ended(config, [faint]) == "running"
    outcome, entry = bake_so_far(config, ALONE, signals_of([faint] * 2), at=day(9).end)
    assert outcome == "failed"
    assert entry is not None
    assert entry.reason == (
        "bake failed: bake/roc_auc 0.52 (0.4909 to 0.5491) against 0.55 over 2 windows together; 0 windows failed by "
        "themselves (0 allowed)"
    )
    assert ended(baking(2, 1), [faint] * 2) == "running", "one failure is allowed"
    assert ended(baking(2, 1), [BROKEN, *[faint] * 2]) == "failed", "that of a window is one more"
    assert ended(config, [(0.54, 0.02), (0.57, 0.02)]) == "passed", "the one makes up for the other"


def test_a_champion_is_judged_beside_the_stable_version_over_windows_together() -> None:
    state = replace(ALONE, stable=("2",))

    def beside(*deficits: float) -> BakeState:
        signals = signals_of([(0.7, 0.01)] * len(deficits))
        pairs = [
            Subject(model="flight_delay", window=one.window, as_of=one.as_of, version="3").estimated(
                PAIRED,
                "alert",
                Estimate(value=deficit, interval=around(deficit, 0.01, 900, 14, 0.95)),
                threshold=FLIGHTS.bake.max_deficit,
                is_least=False,
            )
            for one, deficit in zip(signals, deficits, strict=True)
        ]
        return bake_so_far(baking(2, 0), state, [*signals, *pairs], at=day(9).end)[0]

    assert beside(0.037) == beside(0.037, 0.01) == "running"
    assert beside(0.037, 0.037) == "failed", "each by itself is undecided, at most 0.02 is asked for"
    assert beside(0.037, -0.03) == "passed"
    assert bake_so_far(baking(2, 0), state, signals_of([(0.7, 0.01)] * 3), at=day(9).end)[0] == "running"


@reaches(overlap=0.2)
@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 3), st.sampled_from(get_args(WindowOutcome))), max_size=6))
def test_windows_that_count_share_no_moment_and_a_failed_one_gives_way_to_failed_ones_alone(
    drawn: list[tuple[int, int, WindowOutcome]],
) -> None:
    windows = {
        (start, length): BakeWindow(
            window=Window(start=day(start).start, end=day(start + length).end), outcome=outcome, detail=""
        )
        for start, length, outcome in drawn
    }.values()
    kept = apart(windows)
    reached("overlap", len(kept) < len(windows))
    assert not any(one.window.overlaps(other.window) for one in kept for other in kept if one is not other)
    for left_out in set(windows) - set(kept):
        beside = {one.outcome for one in kept if one.window.overlaps(left_out.window)}
        assert beside
        assert left_out.outcome != "failed" or "failed" in beside
