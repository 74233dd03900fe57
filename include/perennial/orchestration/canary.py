"""The canary: a sensor that looks, acts on what it saw, and gives its worker slot back until it looks again."""

from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.providers.standard.triggers.temporal import TimeDeltaTrigger
from airflow.sdk import BaseSensorOperator
from airflow.sdk.exceptions import AirflowSkipException

from perennial.orchestration.links import ModelVersionLink, leave_link
from perennial.orchestration.session import opened

LOOKS_EVERY = timedelta(minutes=1)
"""So long may a canary that does harm go on before it is seen."""


class CanarySensor(BaseSensorOperator):
    """Ends when the approved version of the signoff ``signoff`` has answered all shares of the requests, or at once
    where none is asked for. Ends skipped, saying why, when it was taken back: it is not promoted."""

    template_fields = ("signoff",)
    operator_extra_links = (ModelVersionLink(),)

    def __init__(self, *, model: str, signoff: Any, **options: Any) -> None:
        super().__init__(task_id="canary", task_display_name="Answer shares of the requests", **options)
        self.model = model
        self.signoff = signoff

    def execute(self, context: Any) -> str:
        """Look once, and again later while it goes on."""
        with opened(self.model) as case:
            version = case.signoff(self.signoff).version
            looked = case.canary(self.signoff, now=datetime.now(UTC))
        leave_link(context["ti"], self.model, version)
        self.log.info("%s: %s", looked.state, looked.reason)
        if looked.state == "waiting":
            self.defer(trigger=TimeDeltaTrigger(LOOKS_EVERY), method_name="look_again")
        if looked.state == "taken_back":
            raise AirflowSkipException(looked.reason)
        return looked.reason

    def look_again(self, context: Any, event: Any) -> str:  # noqa: ARG002 - Airflow's signature
        """Requests were answered meanwhile."""
        return self.execute(context)
