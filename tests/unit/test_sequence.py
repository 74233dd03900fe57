"""The laws of the places that k of n counts."""

from datetime import timedelta
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from branches import reached, reaches
from logs import day
from perennial.contracts import Signal, Window
from perennial.decision.sequence import holds, in_places, last_windows

ORIGIN = day(0).start
every = st.integers(1, 30).map(lambda hours: timedelta(hours=hours))
windows = st.tuples(st.integers(0, 400), st.integers(1, 60)).map(
    lambda pair: Window(start=ORIGIN + timedelta(hours=pair[0]), end=ORIGIN + timedelta(hours=pair[0] + pair[1]))
)
newest = Window(start=ORIGIN + timedelta(hours=460), end=ORIGIN + timedelta(hours=470))
recent = st.integers(1, 40).map(lambda hours: Window(start=newest.end - timedelta(hours=hours), end=newest.end))
several = st.lists(windows, max_size=6)
late = st.lists(windows | recent, max_size=6)
sizes = st.integers(1, 6)


def signal(window: Window) -> Signal:
    return Signal(
        model="m", window=window, as_of=window.end, name="drift/hue", role="retrain", status="breached", value=1.0,
        threshold=0.5, version="1",
    )  # fmt: skip


@reaches(by_cron=0.01, excluded=0.02, waiting=0.04)
@given(sizes, st.none() | every, several, late, several)
def test_places_share_no_moment_and_none_is_excluded_or_of_the_future(
    n: int, length: timedelta | None, seen: list[Window], waiting: list[Window], excluded: list[Window]
) -> None:
    found = last_windows(newest, n, every=length, seen=seen, waiting=waiting, excluded=excluded)
    free = last_windows(newest, n, every=length, seen=seen)
    reached("by_cron", length is None and len(found) > 1)
    reached("excluded", any(place.overlaps(stretch) for place in free for stretch in excluded))
    reached("waiting", found != last_windows(newest, n, every=length, seen=seen, excluded=excluded))
    assert all(earlier.end <= later.start for earlier, later in pairwise(found))
    assert all(place.end <= newest.end for place in found)
    assert not any(place.overlaps(stretch) for place in found for stretch in excluded)
    assert not any(holds(found[-1], window) for window in waiting if found)
    assert len(found) <= n


@reaches(excluded=0.02)
@given(sizes, every, late)
def test_by_a_schedule_there_are_always_n_places_each_a_window_long(
    n: int, length: timedelta, excluded: list[Window]
) -> None:
    found = last_windows(newest, n, every=length, excluded=excluded)
    reached("excluded", found != last_windows(newest, n, every=length))
    assert len(found) == n
    assert all(place.end - place.start == length for place in found)
    assert all((newest.end - place.end) % length == timedelta(0) for place in found)


@given(sizes, every)
def test_nothing_delivered_lets_evidence_grow_old(n: int, length: timedelta) -> None:
    (oldest, *_) = last_windows(newest, n, every=length)
    assert oldest.start == newest.end - n * length


@reaches(taken=0.1)
@given(sizes, st.none() | every, late, late)
def test_a_window_has_one_place_at_most_and_a_place_one_signal(
    n: int, length: timedelta | None, seen: list[Window], waiting: list[Window]
) -> None:
    places = last_windows(newest, n, every=length, seen=seen, waiting=waiting)
    found = in_places(places, map(signal, seen))
    taken = [one.window for one in found if one is not None]
    reached("taken", bool(taken))
    assert len(found) == len(places)
    assert len(taken) == len(set(taken))
    turned = in_places(places, map(signal, seen[::-1]))
    assert [one and one.window for one in turned] == [one and one.window for one in found]


def test_a_longer_run_by_hand_around_a_scheduled_window_does_not_take_its_place() -> None:
    around = Window(start=day(3).start, end=day(3).end + timedelta(hours=9))
    for measured in ([around, day(3)], [day(3), around]):
        (found,) = in_places([day(3)], map(signal, measured))
        assert found is not None
        assert found.window == day(3)


def test_windows_seen_by_cron_that_overlap_are_one_place() -> None:
    half = Window(start=day(2).start, end=day(2).start + timedelta(hours=12))
    late = Window(start=day(2).start + timedelta(hours=6), end=day(3).start + timedelta(hours=6))
    assert last_windows(day(4), 4, every=None, seen=[day(1), half, day(2), late]) == (day(1), late, day(4))


@reaches(in_a_place=0.1)
@given(sizes, every, late)
def test_a_scheduled_window_is_counted_before_any_run_by_hand(n: int, length: timedelta, by_hand: list[Window]) -> None:
    places = last_windows(newest, n, every=length)
    found = in_places(places, map(signal, [*by_hand, *places]))
    reached("in_a_place", any(in_places(places, map(signal, by_hand))))
    assert tuple(one.window for one in found if one) == places
