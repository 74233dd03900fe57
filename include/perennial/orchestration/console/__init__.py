"""The page "Models" in Airflow's web UI: where every model stands, and why. It reads, and changes nothing."""

from typing import Any

ROOT = "/perennial"


async def answer(scope: Any, receive: Any, send: Any) -> None:
    """The console as an ASGI application, imported with the first request: schedulers load the plugin, too."""
    from perennial.orchestration.console.app import app

    await app(scope, receive, send)
