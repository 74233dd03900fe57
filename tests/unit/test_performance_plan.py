"""What one run measures, planned before anything is read."""

from datetime import timedelta
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from branches import reached, reaches
from logs import day
from perennial.config import load_model
from perennial.contracts import ReleaseState, Window
from perennial.evidence.maturity import Coverage, LabelsIn, maturity
from perennial.monitoring.performance import plan

WINE = load_model(Path(__file__).parents[1] / "models" / "wine_cultivar")
NOW = day(9)
SERVING = ReleaseState(model=WINE.model, champion="2", champion_since=day(5).end)


def coverage(window: Window, n_labelled: int = 100, n_by_champion: int = 100) -> Coverage:
    return Coverage(
        window=window,
        n_rows=100,
        n_labelled=n_labelled,
        n_by_champion=n_by_champion,
        n_by_champion_labelled=min(n_labelled, n_by_champion),
    )


def labels(*covered: Coverage, ended: frozenset[Window] = frozenset(), due: Window | None = None) -> LabelsIn:
    return LabelsIn(as_of=NOW.end, covered=covered, ended=ended, due=due)


def test_a_mature_window_is_measured_for_the_champion_where_it_served_else_for_who_did() -> None:
    mine, other = coverage(day(8)), coverage(day(7), n_by_champion=0)
    made = plan(WINE, NOW, labels(other, mine), state=SERVING)
    assert (made.of_champion, made.of_others) == ((mine,), (other,))
    assert made.coverage == (other, mine)


def test_a_window_that_an_earlier_run_ended_is_only_looked_at_again_when_its_labels_are_due() -> None:
    ended = coverage(day(8))
    made = plan(WINE, NOW, labels(ended, ended=frozenset({day(8)}), due=day(8)), state=SERVING)
    assert (made.of_champion, made.of_others) == ((), ())
    assert made.coverage == (ended,)


def test_a_window_that_waits_for_labels_is_said_only_when_they_are_due() -> None:
    waiting = coverage(day(9), n_labelled=10)
    assert maturity(WINE, waiting, NOW.end) == "waiting"
    assert plan(WINE, NOW, labels(waiting), state=SERVING).coverage == ()
    assert plan(WINE, NOW, labels(waiting, due=day(9)), state=SERVING).coverage == (waiting,)


def test_who_serves_is_asked_of_the_runs_own_window_once_the_champion_could_have_served_it() -> None:
    own = coverage(NOW)
    assert plan(WINE, NOW, labels(own), state=SERVING).served == own
    young = ReleaseState(model=WINE.model, champion="2", champion_since=NOW.start + timedelta(hours=1))
    assert plan(WINE, NOW, labels(own), state=young).served is None
    assert plan(WINE, NOW, labels(coverage(day(8))), state=SERVING).served is None
    assert plan(WINE, NOW, labels(own), state=ReleaseState(model=WINE.model)).served is None


coverages = st.lists(
    st.builds(coverage, st.integers(0, 9).map(day), st.integers(0, 100), st.sampled_from([0, 40, 100])),
    unique_by=lambda found: found.window,
)


@reaches(over=0.2, of_others=0.2, ended=0.2)
@given(coverages, st.frozensets(st.integers(0, 9).map(day)))
def test_every_window_that_ended_now_is_measured_exactly_once(
    covered: list[Coverage], ended: frozenset[Window]
) -> None:
    made = plan(WINE, NOW, labels(*covered, ended=ended), state=SERVING)
    assert not set(made.of_champion) & set(made.of_others)
    over = {
        found
        for found in covered
        if found.window not in ended and maturity(WINE, found, NOW.end) in ("mature", "overdue")
    }
    reached("over", bool(over))
    reached("of_others", bool(made.of_others))
    reached("ended", any(found.window in ended for found in covered))
    assert over <= {*made.of_champion, *made.of_others}
    assert not ended & {found.window for found in (*made.of_champion, *made.of_others)}
