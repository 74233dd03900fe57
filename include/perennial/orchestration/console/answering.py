"""What every answer of the console goes through: its store, its errors in words, and the headers that fence it in."""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING

from fastapi import HTTPException, Request, Response

from perennial.errors import ConfigError, PerennialError, PermanentError, redacted
from perennial.orchestration.console.pages.leaving import ALLOWED
from perennial.settings import load_settings

if TYPE_CHECKING:
    from perennial.pipeline import Runtime
    from perennial.store import Store

FENCED = (
    f"default-src 'none'; script-src {ALLOWED}; style-src 'unsafe-inline'; img-src data:; form-action 'self'; "
    "frame-ancestors 'self'; base-uri 'none'"
)
"""No script but that of :mod:`.pages.leaving`, nothing from elsewhere, no form to elsewhere, in nobody else's frame."""
SANDBOXED = "sandbox allow-scripts; frame-ancestors 'self'"
"""For pages that libraries wrote: their scripts run without an origin, and so without anybody's login."""


async def secured(request: Request, go_on: Callable[[Request], Awaitable[Response]]) -> Response:
    """Every answer with its fence; nothing of it is kept by anybody on the way."""
    answer = await go_on(request)
    answer.headers.setdefault("content-security-policy", FENCED)
    answer.headers["x-content-type-options"] = "nosniff"
    answer.headers["referrer-policy"] = "same-origin"
    answer.headers["cache-control"] = "private, no-store"
    return answer


@contextmanager
def answered() -> Iterator[None]:
    """What can not be read now, or may not be done, is said as such, without a secret."""
    try:
        yield
    except ConfigError as error:
        raise HTTPException(404, redacted(str(error))) from error
    except PermanentError as error:
        raise HTTPException(409, redacted(str(error))) from error
    except PerennialError as error:
        raise HTTPException(503, redacted(f"{type(error).__name__}: {error}")) from error


@cache
def store() -> "Store":
    """The store, without the registry, which takes seconds to import."""
    from perennial.store import open_store

    with _configured():
        settings = load_settings()
        return open_store(settings.require_database_url(), settings.storage)


@cache
def runtime() -> "Runtime":
    """Store and registry, for whoever acts."""
    from perennial.pipeline import open_runtime

    with _configured():
        return open_runtime(load_settings())


@contextmanager
def _configured() -> Iterator[None]:
    """A setting that is missing is no page that is missing."""
    try:
        yield
    except ConfigError as error:
        raise HTTPException(503, redacted(str(error))) from error


def mlflow_uri() -> str:
    """Where MLflow's pages lie; empty where nobody said."""
    settings = load_settings()
    return settings.require_mlflow_uri().rstrip("/") if settings.mlflow_uri else ""
