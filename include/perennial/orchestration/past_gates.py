"""Two people's word past failed gates, given by tags in MLflow: watched for without a worker, judged when it is there.

No run waits for it: a candidate that failed its gates ends its retrain. So one run of ``perennial__past_gates`` watches
for all models, a day long, and the next one begins when it ends.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import httpx
from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowFailException
from airflow.triggers.base import BaseTrigger, TriggerEvent

from perennial.errors import PerennialError, RegistryRefused, TransientError
from perennial.orchestration.declared import sound_models
from perennial.orchestration.session import opened_runtime
from perennial.settings import load_settings
from perennial.signoff.answering.watching import asking_past_gates

log = logging.getLogger(__name__)
POLL_S = 5.0
WATCH = timedelta(hours=24)


class PastGatesTrigger(BaseTrigger):
    """Fires when tags of a refused version ask to go past its gates, when MLflow refuses, or when its time is over."""

    def __init__(self, poll_s: float = POLL_S, for_s: float = WATCH.total_seconds()) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Airflow's
        self.poll_s = poll_s
        self.for_s = for_s

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """The class and its arguments; no address, which may hold a password.

        >>> PastGatesTrigger(5.0, 60.0).serialize()[1]
        {'poll_s': 5.0, 'for_s': 60.0}
        """
        return f"{type(self).__module__}.{type(self).__qualname__}", {"poll_s": self.poll_s, "for_s": self.for_s}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Ask every ``poll_s`` seconds; a server that does not answer is asked again."""
        settings = load_settings()
        uri, login = settings.require_mlflow_uri(), settings.mlflow_login
        found: dict[str, Any] = {"found": []}
        async with httpx.AsyncClient(timeout=30, auth=login) as client:
            for _ in range(max(1, round(self.for_s / self.poll_s))):
                await asyncio.sleep(self.poll_s)  # before it asks: what can not be answered is not asked in a circle
                models = [path.parent.name for path in settings.models_dir.glob("*/model.yaml")]
                try:
                    found["found"] = await asking_past_gates(client, uri, models, account=login[0] if login else None)
                except TransientError as error:
                    log.warning("%s; asking again in %g s", error, self.poll_s)
                except PerennialError as error:
                    found["refused"] = str(error)
                if found["found"] or "refused" in found:
                    break
        yield TriggerEvent(found)  # type: ignore[no-untyped-call]  # Airflow's


class PastGatesOperator(BaseOperator):
    """Waits for such tags elsewhere, and does what they say, or writes on the version why not."""

    def execute(self, context: Any) -> None:  # noqa: ARG002 - Airflow's signature
        """Wait."""
        self.defer(trigger=PastGatesTrigger(), method_name="resume")

    def resume(self, context: Any, event: dict[str, Any]) -> int:  # noqa: ARG002 - Airflow's signature
        """How many versions were promoted.

        Raises RegistryRefused where MLflow refused to be asked, and what keeps a word from being judged: Airflow tries
        again with growing pauses, for the word still stands in the tags.
        """
        if "refused" in event:
            raise RegistryRefused(event["refused"])
        asked = [(str(model), str(version)) for model, version in event["found"]]
        try:
            return _answered(asked) if asked else 0
        except AirflowFailException as error:  # the next run would begin at once, and fail as fast as it can
            raise TransientError(str(error)) from error


def _answered(asked: list[tuple[str, str]]) -> int:
    declared = {config.model: config for config in sound_models()}
    done, promoted = [], []
    with opened_runtime() as runtime:
        for model, version in asked:
            if model in declared:
                case = runtime.case(declared[model])
                case.begin()
                done.append(case.answer_past_gates(version))
                promoted += [case] if done[-1] else []
        for case in promoted:  # last: no word waits for a service
            case.verify_traffic()
    if unheard := sorted({model for model, _ in asked} - set(declared)):
        raise TransientError(f"model.yaml of {', '.join(unheard)} is wrong, so nobody's word about it is heard")
    return sum(release is not None for release in done)
