"""The human gate: a sensor that gives its worker slot back while a reviewer thinks.

The answer is a tag on the model version, set in the MLflow UI. The trigger only watches for it, over MLflow's REST API,
without importing MLflow; what the answer is worth is judged by the task when it resumes.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
from airflow.sdk import BaseSensorOperator
from airflow.sdk.exceptions import AirflowSensorTimeout, AirflowSkipException
from airflow.triggers.base import BaseTrigger, TriggerEvent

from perennial.contracts import to_record
from perennial.contracts.tags import NOTE_TAG
from perennial.errors import PermanentError, RegistryRefused, TransientError
from perennial.orchestration.errors import airflow_errors
from perennial.orchestration.links import ModelVersionLink, leave_link
from perennial.orchestration.session import opened
from perennial.orchestration.tasks.telling import told_anyway
from perennial.settings import load_settings
from perennial.signoff.answering.polling import Reviewers, Watched

log = logging.getLogger(__name__)
GRACE = timedelta(seconds=5)


class ReviewTrigger(BaseTrigger):
    """Fires when the tag ``signoff`` of a model version is an answer, or when the version can not be read any more."""

    def __init__(self, model: str, version: str, poll_s: float, people: int = 1, not_by: str = "") -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Airflow's
        self.model = model
        self.version = version
        self.poll_s = poll_s
        self.reviewers = Reviewers(people=people, not_by=not_by)

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """The class and its arguments; no address, which may hold a password.

        >>> ReviewTrigger("flight_delay", "4", 5.0).serialize()[1]
        {'model': 'flight_delay', 'version': '4', 'poll_s': 5.0, 'people': 1, 'not_by': ''}
        """
        arguments = {"model": self.model, "version": self.version, "poll_s": self.poll_s, **asdict(self.reviewers)}
        return f"{type(self).__module__}.{type(self).__qualname__}", arguments

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Ask every ``poll_s`` seconds; a server that does not answer is asked again.

        Whoever writes tags that are no answer is told so on the version at once.
        """
        settings = load_settings()
        uri, login = settings.require_mlflow_uri(), settings.mlflow_login
        async with httpx.AsyncClient(timeout=30, auth=login) as client:
            watched = Watched(
                client=client, uri=uri, model=self.model, version=self.version, account=login[0] if login else None
            )
            while (event := await self._look(watched)) is None:
                await asyncio.sleep(self.poll_s)
            yield TriggerEvent(event)  # type: ignore[no-untyped-call]  # Airflow's

    async def _look(self, watched: Watched) -> dict[str, str] | None:
        try:
            tags = await watched.tags()
            if (note := self.reviewers.note(tags)) != tags.get(NOTE_TAG, ""):
                await watched.write_note(note)
            verdict = self.reviewers.said(tags)
            return None if verdict is None else {"seen": verdict}
        except TransientError as error:
            log.warning("%s; asking again in %g s", error, self.poll_s)
            return None
        except RegistryRefused as error:
            return {"refused": str(error)}
        except PermanentError as error:
            return {"seen": str(error)}


class ReviewSensor(BaseSensorOperator):
    """Ends with the answer to the signoff whose id ``signoff`` is: the policy's at once, a human's or the deadline's.

    Ends skipped, saying why, when the gates failed: there is nothing to review.
    """

    template_fields = ("signoff",)
    operator_extra_links = (ModelVersionLink(),)

    def __init__(self, *, model: str, signoff: Any, **options: Any) -> None:
        super().__init__(**options)
        self.model = model
        self.signoff = signoff

    def execute(self, context: Any) -> dict[str, Any]:
        """Look once, and wait elsewhere if there is no answer yet."""
        with opened(self.model) as case:
            signed = case.signoff(self.signoff)
        leave_link(context["ti"], signed.model, signed.version)
        if not signed.passed:
            failed = [f"{gate.name}: {gate.detail}" for gate in signed.failed]
            raise AirflowSkipException(f"version {signed.version} failed its gates: {'; '.join(failed)}")
        return self._answer()

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Any) -> Any:
        """Airflow ends the wait at the deadline with a timeout: that is an answer too."""
        try:
            return super().resume_execution(next_method, next_kwargs, context)
        except AirflowSensorTimeout:
            return self._answer()

    def resume(self, context: Any, event: dict[str, Any]) -> dict[str, Any]:  # noqa: ARG002 - Airflow's signature
        """The tag has changed: see what it is worth. Where MLflow refused to show it, nobody has answered.

        Raises AirflowFailException then: to look again would be to be refused again, as fast as one can.
        """
        if "refused" in event:
            with airflow_errors():
                raise RegistryRefused(event["refused"])
        self.log.info("MLflow says: %s", event["seen"])
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        with opened(self.model) as case:
            review = case.review(self.signoff, now=datetime.now(UTC))
            signed, policy = case.signoff(self.signoff), case.config.signoff.review
            version, reviewers = signed.version, case.reviewers(signed)
            if review is None:
                told_anyway(case)  # now: this run ends when somebody has answered
        if review is None:
            self.log.info("version %s waits for its reviewer: set the tag signoff in MLflow", version)
            trigger = ReviewTrigger(self.model, version, policy.poll_s, **asdict(reviewers))
            self.defer(trigger=trigger, method_name="resume", timeout=policy.deadline + GRACE)
        self.log.info("%s by %s: %s", review.verdict, review.reviewer, review.reason)
        return to_record(review)
