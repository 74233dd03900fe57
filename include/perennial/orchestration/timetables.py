"""When the windows of a model end, for Airflow's scheduler.

Airflow's own delta timetable counts from 1970 when it does not catch up, so that a two-week window would be cut at
another place than the one ``model.yaml`` declares; and a DAG's ``end_date`` keeps later manual runs waiting for ever.
These two count from ``schedule.start`` and end with ``schedule.end``. A run starts ``grace`` after its window.
"""

from datetime import UTC, datetime, timedelta
from typing import Any, Self

from airflow.sdk.timezone import coerce_datetime
from airflow.timetables.base import DagRunInfo, DataInterval, TimeRestriction
from airflow.timetables.interval import CronDataIntervalTimetable, DeltaDataIntervalTimetable
from pendulum import DateTime

from perennial.config import Schedule

_NONE = timedelta(0)


class EveryTimetable(DeltaDataIntervalTimetable):
    """Windows of one length, the first of which begins at ``anchor``; none ends after ``end``."""

    def __init__(self, every: timedelta, anchor: datetime, end: datetime | None, grace: timedelta = _NONE) -> None:
        super().__init__(every)
        self._every = every
        self._anchor = _utc(anchor)
        self._end = end
        self._grace = grace

    def next_dagrun_info(
        self, *, last_automated_data_interval: DataInterval | None, restriction: TimeRestriction
    ) -> DagRunInfo | None:
        """The next window, or None after the last one."""
        return _until(
            self._end,
            self._grace,
            super().next_dagrun_info(
                last_automated_data_interval=last_automated_data_interval, restriction=restriction
            ),
        )

    def infer_manual_data_interval(self, run_after: DateTime) -> DataInterval:
        """The last window that was over, with its grace, at ``run_after``.

        >>> timetable(flights.schedule).infer_manual_data_interval(_utc(datetime(2013, 1, 30, tzinfo=UTC))).start.day
        15
        """
        end = self._align_to_prev(_earlier(run_after - self._grace, self._end))
        return DataInterval(start=self._get_prev(end), end=end)

    def _round(self, dt: DateTime, anchor: DateTime) -> DateTime:  # noqa: ARG002 - ours is the declared one
        return self._align_to_prev(dt)

    def _align_to_prev(self, current: DateTime) -> DateTime:
        return self._tick((current - self._anchor).total_seconds() // self._every.total_seconds())

    def _align_to_next(self, current: DateTime) -> DateTime:
        return self._tick(-((self._anchor - current).total_seconds() // self._every.total_seconds()))

    def _tick(self, number: float) -> DateTime:
        return self._anchor + int(number) * self._every

    def serialize(self) -> dict[str, Any]:
        """JSON-ready arguments.

        >>> timetable(flights.schedule).serialize()["every_s"]
        1209600.0
        """
        return {
            "every_s": self._every.total_seconds(),
            "anchor": self._anchor.isoformat(),
            "end": _written(self._end),
            "grace_s": self._grace.total_seconds(),
        }

    @classmethod
    def deserialize(cls, data: dict[str, Any]) -> Self:
        """The timetable that ``serialize`` wrote.

        >>> made = timetable(flights.schedule)
        >>> EveryTimetable.deserialize(made.serialize()).serialize() == made.serialize()
        True
        """
        anchor = datetime.fromisoformat(data["anchor"])
        return cls(timedelta(seconds=data["every_s"]), anchor, _read(data["end"]), _grace(data))


class CronTimetable(CronDataIntervalTimetable):
    """Windows between the ticks of a cron expression in UTC; none ends after ``end``."""

    def __init__(self, expression: str, end: datetime | None, grace: timedelta = _NONE) -> None:
        super().__init__(expression, timezone="UTC")
        self._end = end
        self._grace = grace

    def next_dagrun_info(
        self, *, last_automated_data_interval: DataInterval | None, restriction: TimeRestriction
    ) -> DagRunInfo | None:
        """The next window, or None after the last one."""
        return _until(
            self._end,
            self._grace,
            super().next_dagrun_info(
                last_automated_data_interval=last_automated_data_interval, restriction=restriction
            ),
        )

    def infer_manual_data_interval(self, *, run_after: DateTime) -> DataInterval:
        """The last window that was over, with its grace, at ``run_after``."""
        return super().infer_manual_data_interval(run_after=_earlier(run_after - self._grace, self._end))

    def serialize(self) -> dict[str, Any]:
        """JSON-ready arguments.

        >>> CronTimetable("0 6 * * *", None).serialize()
        {'expression': '0 6 * * *', 'end': None, 'grace_s': 0.0}
        """
        return {
            "expression": self._expression,
            "end": _written(self._end),
            "grace_s": self._grace.total_seconds(),
        }

    @classmethod
    def deserialize(cls, data: dict[str, Any]) -> Self:
        """The timetable that ``serialize`` wrote.

        >>> CronTimetable.deserialize({"expression": "0 6 * * *", "end": None}).serialize()["expression"]
        '0 6 * * *'
        """
        return cls(data["expression"], _read(data["end"]), _grace(data))


def timetable(schedule: Schedule, grace: timedelta = _NONE) -> EveryTimetable | CronTimetable:
    """The timetable of a model's windows, each of which is run ``grace`` (shorter than a window) after its end.

    >>> type(timetable(flights.schedule)).__name__
    'EveryTimetable'
    """
    if schedule.every is not None:
        return EveryTimetable(schedule.every, schedule.start, schedule.end, grace)
    return CronTimetable(str(schedule.cron), schedule.end, grace)


def _until(end: datetime | None, grace: timedelta, found: DagRunInfo | None) -> DagRunInfo | None:
    if found is None or (found.data_interval and end and found.data_interval.end > end):
        return None
    return found._replace(run_after=found.run_after + grace)


def _grace(data: dict[str, Any]) -> timedelta:
    return timedelta(seconds=data.get("grace_s", 0))


def _earlier(moment: DateTime, end: datetime | None) -> DateTime:
    return moment if end is None else min(moment, _utc(end))


def _utc(moment: datetime) -> DateTime:
    return coerce_datetime(moment.astimezone(UTC))


def _written(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None


def _read(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
