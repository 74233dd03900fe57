"""One handle to the MLflow server, without MLflow's global state, and the mapping of its errors."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache

# MLflow has no other way to be told these. Its own patience (seven retries, up to minutes of waiting) would hide an
# outage from Airflow, whose retries are the ones that count; and it would report its use to its makers. Whoever sets a
# variable keeps the last word, and what is set here reaches the processes that we start.
DEFAULTS = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "60",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}
for _name, _value in DEFAULTS.items():
    os.environ.setdefault(_name, _value)

import requests  # noqa: E402 - after the variables
from mlflow import MlflowClient  # noqa: E402
from mlflow.exceptions import MlflowException, RestException  # noqa: E402

from perennial.errors import PermanentError, RegistryUnavailable  # noqa: E402

_TOO_MANY_REQUESTS = 429
_SERVER_ERROR = 500
_SHOWN = 300
_USER = re.compile(r"//[^/@\s]*@")
# how MLflow words a request that got no answer, or none in JSON (mlflow.utils.rest_utils); it keeps no status then
_NO_ANSWER = re.compile(r"^API request to .* failed with (exception|timeout exception|error code (429|5\d\d))")


@dataclass(frozen=True, slots=True)
class Registry:
    """The MLflow server at ``uri`` (``http://host:port``): tracking and model registry are one."""

    uri: str = field(repr=False)

    @property
    def shown(self) -> str:
        """The address without the user and password that may stand in it."""
        return _USER.sub("//", self.uri)

    @property
    def client(self) -> MlflowClient:
        """A client of this server; nothing is connected yet."""
        return _client(self.uri)


@cache
def _client(uri: str) -> MlflowClient:
    return MlflowClient(tracking_uri=uri, registry_uri=uri)


@contextmanager
def asking(registry: Registry, what: str) -> Iterator[None]:
    """Name ``what`` was asked of MLflow in whatever goes wrong.

    Raises RegistryUnavailable when the server did not answer, was overloaded or failed (429, 5xx), PermanentError for
    every other refusal.
    """
    try:
        yield
    except (MlflowException, requests.RequestException) as error:
        cause = _USER.sub("//", " ".join(str(error).split()))[:_SHOWN]
        if _is_unavailable(error):
            raise RegistryUnavailable(f"MLflow at {registry.shown}, {what}: {cause}") from error
        raise PermanentError(f"MLflow at {registry.shown} refused, {what}: {cause}") from error


def _is_unavailable(error: MlflowException | requests.RequestException) -> bool:
    if isinstance(error, requests.RequestException):
        return error.response is None or _is_overloaded(error.response.status_code)
    if isinstance(error, RestException):
        return _is_overloaded(error.get_http_status_code())
    return bool(_NO_ANSWER.match(str(error)))


def _is_overloaded(status: int) -> bool:
    return status == _TOO_MANY_REQUESTS or status >= _SERVER_ERROR
