"""The laws of a bake's end, whatever became of its windows."""

from typing import get_args

from hypothesis import given
from hypothesis import strategies as st

from branches import reached, reaches
from logs import day
from perennial.bake.settlement import BakeWindow, WindowOutcome, apart, bake_outcome
from perennial.contracts import Window

outcomes: st.SearchStrategy[list[WindowOutcome]] = st.lists(st.sampled_from(get_args(WindowOutcome)), max_size=8)
needed, allowed = st.integers(1, 4), st.integers(0, 2)


@reaches(passed=0.1, failed=0.1, running=0.1)
@given(outcomes, st.sampled_from(get_args(WindowOutcome)), needed, allowed)
def test_an_end_is_an_end_and_only_windows_measured_bring_it(
    before: list[WindowOutcome], next_one: WindowOutcome, windows: int, allowed_failures: int
) -> None:
    found = bake_outcome(before, windows=windows, allowed_failures=allowed_failures)
    after = bake_outcome([*before, next_one], windows=windows, allowed_failures=allowed_failures)
    reached(found)
    known = [outcome for outcome in before if outcome != "unknown"]
    assert found == bake_outcome(known, windows=windows, allowed_failures=allowed_failures)
    assert after == found or (found == "running" and after == next_one)


@reaches(passed=0.1, failed=0.1)
@given(outcomes, st.integers(0, 8), needed, allowed)
def test_one_more_failed_window_never_lets_a_bake_pass_that_did_not(
    seen: list[WindowOutcome], place: int, windows: int, allowed_failures: int
) -> None:
    found = bake_outcome(seen, windows=windows, allowed_failures=allowed_failures)
    worse = bake_outcome([*seen[:place], "failed", *seen[place:]], windows=windows, allowed_failures=allowed_failures)
    if found in ("passed", "failed"):
        reached(found)
    assert worse in (found, "failed")


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
