"""Aliases that move: watched in Airflow's triggerer, so that ``<model>__guard`` looks at once and not minutes later."""

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any

import httpx
from airflow.sdk import Asset, AssetOrTimeSchedule, AssetWatcher
from airflow.sdk.definitions.timetables.trigger import DeltaTriggerTimetable
from airflow.triggers.base import BaseEventTrigger, TriggerEvent

from perennial.config import ModelConfig
from perennial.errors import PerennialError
from perennial.registry.rest import aliases
from perennial.settings import load_settings

log = logging.getLogger(__name__)


class AliasTrigger(BaseEventTrigger):
    """Fires whenever an alias of a model names another version than at the last look, and once when it starts, since
    one may have moved while nobody looked.

    A release moves aliases too: what a move is worth is judged by whoever is woken.
    """

    def __init__(self, model: str, poll_s: float) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Airflow's
        self.model = model
        self.poll_s = poll_s

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """The class and its arguments; no address, which may hold a password.

        >>> AliasTrigger("flight_delay", 2.0).serialize()[1]
        {'model': 'flight_delay', 'poll_s': 2.0}
        """
        return f"{type(self).__module__}.{type(self).__qualname__}", {"model": self.model, "poll_s": self.poll_s}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Ask every ``poll_s`` seconds for ever, whatever MLflow answers."""
        settings = load_settings()
        uri, login = settings.require_mlflow_uri(), settings.mlflow_login
        seen: dict[str, str] | None = None
        problem = ""
        async with httpx.AsyncClient(timeout=30, auth=login) as client:
            while True:
                try:
                    found = await aliases(client, uri, self.model, account=login[0] if login else None)
                    if found != seen:
                        yield TriggerEvent({"model": self.model, "aliases": found})  # type: ignore[no-untyped-call]
                    seen, problem = found, ""
                except PerennialError as error:
                    if str(error) != problem:
                        log.warning("aliases of %s are not watched: %s", self.model, error)
                    problem = str(error)
                await asyncio.sleep(self.poll_s)


def whenever_moved(config: ModelConfig) -> AssetOrTimeSchedule:
    """Every ``release.guards.every``, and whenever an alias of the model moves."""
    watcher = AssetWatcher(name=f"{config.model}_aliases", trigger=AliasTrigger(config.model, config.serving.poll_s))
    moved = Asset(name=f"{config.model}_aliases", watchers=[watcher])
    return AssetOrTimeSchedule(timetable=DeltaTriggerTimetable(config.release.guards.every), assets=[moved])
