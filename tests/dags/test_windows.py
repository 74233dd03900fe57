"""Which window a run is about: scheduled, by hand, and backfilled."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perennial.config import Schedule, previous_windows
from perennial.contracts import Window
from perennial.errors import ConfigError

START = datetime(2013, 1, 1, tzinfo=UTC)
FORTNIGHT = Schedule(every=timedelta(days=14), start=START, end=datetime(2014, 1, 1, tzinfo=UTC))
DAILY = Schedule(cron="0 6 * * *", start=START)


def at(day, month=1, year=2013, hour=0):
    return datetime(year, month, day, hour, tzinfo=UTC)


def resolve(schedule, params, interval=(None, None)):
    from perennial.orchestration.windows import window_of

    return window_of(schedule, params, interval)


def scheduled(schedule, *, catchup, earliest=None, until=40):
    """The windows that the scheduler makes, one after the other."""
    from airflow.sdk.timezone import coerce_datetime
    from airflow.timetables.base import TimeRestriction

    from perennial.orchestration.timetables import timetable

    times, last, found = timetable(schedule), None, []
    limits = TimeRestriction(coerce_datetime(earliest or schedule.start), None, catchup)
    while len(found) < until and (
        info := times.next_dagrun_info(last_automated_data_interval=last, restriction=limits)
    ):
        last = info.data_interval
        found.append(plain(last))
    return found


def plain(interval):
    """Airflow's interval as our window, in the standard library's datetimes."""
    start, end = (datetime.fromisoformat(moment.isoformat()) for moment in (interval.start, interval.end))
    return Window(start=start, end=end)


def test_the_form_wins_over_the_data_interval():
    given_there = {"window_start": "2013-02-01T00:00:00Z", "window_end": "2013-02-15T00:00:00+00:00"}
    assert resolve(FORTNIGHT, given_there, (at(1), at(15))) == Window(start=at(1, 2), end=at(15, 2))


def test_without_a_form_it_is_the_data_interval():
    assert resolve(FORTNIGHT, {"window_start": None, "window_end": None}, (at(1), at(15))).start == at(1)


def test_half_a_form_is_completed_from_a_schedule_of_one_length_only():
    assert resolve(FORTNIGHT, {"window_start": "2013-01-15T00:00:00Z"}).end == at(29)
    assert resolve(FORTNIGHT, {"window_end": "2013-01-15T00:00:00Z"}).start == at(1)
    with pytest.raises(ConfigError, match="give window_start and window_end"):
        resolve(DAILY, {"window_start": "2013-01-15T06:00:00Z"})


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({}, "give window_start and window_end"),
        ({"window_start": "2013-01-15T00:00:00", "window_end": "2013-01-29T00:00:00Z"}, "no moment with its zone"),
        ({"window_start": "2013-01-15T00:00:00Z", "window_end": "2013-01-15T00:00:00Z"}, "not after its start"),
        ({"window_start": "soon", "window_end": "2013-01-15T00:00:00Z"}, "window_start = 'soon'"),
    ],
)
def test_a_run_without_a_right_window_is_refused_with_what_to_write(params, said):
    with pytest.raises(ConfigError, match=said):
        resolve(FORTNIGHT, params)


def test_catching_up_makes_every_declared_window_and_stops_at_the_end():
    assert scheduled(FORTNIGHT, catchup=True) == list(previous_windows(FORTNIGHT, FORTNIGHT.end, 100))


def test_a_schedule_that_is_over_makes_nothing_without_catching_up():
    assert scheduled(FORTNIGHT, catchup=False) == []


def test_without_catching_up_the_next_window_is_a_declared_one():
    endless = Schedule(every=timedelta(days=10), start=START)
    window = scheduled(endless, catchup=False, until=1)[0]
    assert (window.start - START) % endless.every == timedelta(0)
    assert window.end <= datetime.now(UTC) < window.end + endless.every


def test_a_backfill_from_the_middle_of_a_window_begins_with_the_next_declared_one():
    assert scheduled(FORTNIGHT, catchup=True, earliest=at(16), until=1)[0].start == at(29)
    assert scheduled(FORTNIGHT, catchup=True, earliest=at(15), until=1)[0].start == at(15)


def test_a_cron_window_lies_between_two_ticks_in_utc():
    assert scheduled(DAILY, catchup=True, until=2) == [
        Window(start=at(1, hour=6), end=at(2, hour=6)),
        Window(start=at(2, hour=6), end=at(3, hour=6)),
    ]


@given(st.datetimes(datetime(2013, 2, 1), datetime(2020, 1, 1)))  # noqa: DTZ001 - made aware below
def test_a_run_by_hand_gets_the_last_whole_declared_window(moment):
    from airflow.sdk.timezone import coerce_datetime

    from perennial.orchestration.timetables import timetable

    interval = timetable(FORTNIGHT).infer_manual_data_interval(run_after=coerce_datetime(moment.replace(tzinfo=UTC)))
    expected = previous_windows(FORTNIGHT, min(moment.replace(tzinfo=UTC), FORTNIGHT.end), 1)[-1]
    assert plain(interval) == expected


@pytest.mark.parametrize("schedule", [FORTNIGHT, DAILY])
def test_a_run_starts_when_the_grace_of_its_window_is_over(schedule):
    from airflow.sdk.timezone import coerce_datetime
    from airflow.timetables.base import TimeRestriction

    from perennial.orchestration.timetables import timetable

    grace = timedelta(hours=7)
    plan = timetable(schedule, grace)
    plan = type(plan).deserialize(plan.serialize())
    limits, last = TimeRestriction(coerce_datetime(schedule.start), None, True), None
    for window in scheduled(schedule, catchup=True, until=3):
        info = plan.next_dagrun_info(last_automated_data_interval=last, restriction=limits)
        last = info.data_interval
        assert (plain(last), info.run_after) == (window, window.end + grace)
        just_before = coerce_datetime(window.end + grace - timedelta(seconds=1))
        assert plain(plan.infer_manual_data_interval(run_after=just_before)).end < window.end
        assert plain(plan.infer_manual_data_interval(run_after=info.run_after)) == window


def test_without_catching_up_no_window_is_left_out_for_the_sake_of_grace():
    from airflow.sdk.timezone import coerce_datetime
    from airflow.timetables.base import DataInterval, TimeRestriction

    from perennial.orchestration.timetables import timetable

    now = datetime.now(UTC)
    day, grace = timedelta(days=1), timedelta(hours=20)
    # the window before the last one was run when its grace was over; the grace of the last one is not over yet
    schedule = Schedule(every=day, start=now - 10 * day - timedelta(hours=1))
    done = previous_windows(schedule, now, 2)[0]
    interval = DataInterval(coerce_datetime(done.start), coerce_datetime(done.end))
    limits = TimeRestriction(coerce_datetime(schedule.start), None, False)
    info = timetable(schedule, grace).next_dagrun_info(last_automated_data_interval=interval, restriction=limits)
    assert plain(info.data_interval) == previous_windows(schedule, now, 1)[0]
    assert info.run_after > now
