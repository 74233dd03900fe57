"""What Airflow has to be told at its start. Not named ``perennial``: Airflow would import it over the package."""

from typing import Any, ClassVar

from airflow.plugins_manager import AirflowPlugin

from perennial.orchestration import console
from perennial.orchestration.timetables import CronTimetable, EveryTimetable


class PerennialPlugin(AirflowPlugin):
    """Registration only."""

    name = "perennial"
    timetables: ClassVar[list[type]] = [CronTimetable, EveryTimetable]
    fastapi_apps: ClassVar[list[dict[str, Any]]] = [
        {"app": console.answer, "url_prefix": console.ROOT, "name": "Models"}
    ]
    external_views: ClassVar[list[dict[str, Any]]] = [
        {"name": "Models", "href": f"{console.ROOT}/", "destination": "nav", "url_route": "models"},
        {"name": "Model", "href": f"{console.ROOT}/dags/{{DAG_ID}}", "destination": "dag", "url_route": "model"},
    ]
