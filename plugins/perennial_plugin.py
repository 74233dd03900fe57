"""What Airflow has to be told at its start. Not named ``perennial``: Airflow would import it over the package."""

from typing import ClassVar

from airflow.plugins_manager import AirflowPlugin

from perennial.orchestration.timetables import CronTimetable, EveryTimetable


class PerennialPlugin(AirflowPlugin):
    """Registration only."""

    name = "perennial"
    timetables: ClassVar[list[type]] = [CronTimetable, EveryTimetable]
