"""``/perennial/metrics``: what Prometheus reads of models and machine, for a token of its own, and not for a login."""

from datetime import UTC, datetime, timedelta
from functools import cache
from threading import Lock
from typing import Annotated

from fastapi import APIRouter, Header, HTTPException, Response

from perennial.config import read_models
from perennial.errors import PerennialError, redacted
from perennial.orchestration.console.tokens import require_token
from perennial.settings import Settings, load_settings
from perennial.store import Store, open_store

router = APIRouter()
KEPT_FOR = timedelta(seconds=15)
"""A page is made no more often, whoever asks."""
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


@router.get("/metrics")
def metrics(authorization: Annotated[str, Header(max_length=4096)] = "") -> Response:
    """The figures of models and machine. 404 where no token is set, 403 without it, 503 while a database is silent."""
    settings = load_settings()
    require_token(settings.metrics_token, authorization, "set PERENNIAL_METRICS_TOKEN to have metrics")
    try:
        return Response(_pages().read(settings, datetime.now(UTC)), media_type=CONTENT_TYPE)
    except PerennialError as error:
        raise HTTPException(503, redacted(f"{type(error).__name__}: {error}")) from error


class Pages:
    """The newest page, made by one request while the others wait for it."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._made_at: datetime | None = None
        self._page = b""

    def read(self, settings: Settings, now: datetime) -> bytes:
        """The page, made anew where it is old. Raises StoreUnavailable."""
        with self._lock:
            if self._made_at is None or now - self._made_at >= KEPT_FOR:
                self._page = _made(settings, now)
                self._made_at = now
            return self._page


def _made(settings: Settings, now: datetime) -> bytes:
    from perennial.exposition import page, read_machine, read_standing
    from perennial.orchestration.console.airflow_state import pools

    configs, _ = read_models(settings.models_dir)
    store = _store(settings.require_database_url(), settings.storage)
    machine = read_machine(settings.home, store=store, pools=pools(now))
    return page((read_standing(config, store=store, now=now) for config in configs), machine)


@cache
def _pages() -> Pages:
    return Pages()


@cache
def _store(url: str, storage: str) -> Store:
    return open_store(url, storage)
