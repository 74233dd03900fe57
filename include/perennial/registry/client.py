"""One handle to the MLflow server, without MLflow's global state, and the mapping of its errors.

MLflow is imported with the first request: whoever only reads the store has a handle, too, and does not wait for it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING

from perennial.errors import PermanentError, RegistryRefused, RegistryUnavailable
from perennial.registry.refusal import REFUSALS, refusal

if TYPE_CHECKING:
    import requests
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

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

_TOO_MANY_REQUESTS = 429
_SERVER_ERROR = 500
_SHOWN = 300
_USER = re.compile(r"//[^/@\s]*@")
_LOGIN = ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD")
# how requests words the refusal of a file, which MLflow hands on among others (mlflow.store.artifact)
_REFUSED_FILE = re.compile(r"\b(401|403) Client Error")
# how MLflow words a request that got no answer, or none in JSON (mlflow.utils.rest_utils); it keeps no status then
_NO_ANSWER = re.compile(r"^API request to .* failed with (exception|timeout exception|error code (429|5\d\d))")
# how it words files that did not come, or not whole, of which it keeps no error either (mlflow.store.artifact)
_LOST_FILE = re.compile(
    r"^##### File .* #####\n"
    r"(API request to .* failed with |(429 Client|5\d\d Server) Error|.*(Connection broken|timed out))",
    re.MULTILINE,
)


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


def log_in(login: tuple[str, str] | None) -> None:
    """Have every request to MLflow carry this account and password, which it reads from the environment alone.

    None leaves the environment as it is.
    """
    if login is not None:
        os.environ.update(zip(_LOGIN, login, strict=True))


def login_variables() -> dict[str, str]:
    """The variables by which a process that we start speaks to MLflow as we do; empty without a login."""
    return {name: os.environ[name] for name in _LOGIN if os.environ.get(name)}


@cache
def _client(uri: str) -> MlflowClient:
    from mlflow import MlflowClient

    class Client(MlflowClient):  # type: ignore[misc]  # MLflow is not typed
        def _raise_if_prompt(self, name: str) -> None:
            """MLflow reads the whole registered model, with all its versions, before each word about one of them, to
            see that it is no prompt. None of ours is one."""

    return Client(tracking_uri=uri, registry_uri=uri)


@contextmanager
def asking(registry: Registry, what: str) -> Iterator[None]:
    """Name ``what`` was asked of MLflow in whatever goes wrong.

    Raises RegistryUnavailable when the server did not answer, was overloaded or failed (429, 5xx), RegistryRefused when
    it refused the login or the account (401, 403), PermanentError for everything else.
    """
    import requests
    from mlflow.exceptions import MlflowException

    try:
        yield
    except (MlflowException, requests.RequestException) as error:
        cause = _USER.sub("//", " ".join(str(error).split()))[:_SHOWN]
        if (status := _refused(error)) is not None:
            account = os.environ.get(_LOGIN[0])
            raise RegistryRefused(refusal(registry.shown, status, what, account=account, said=cause)) from error
        if _is_unavailable(error):
            raise RegistryUnavailable(f"MLflow at {registry.shown}, {what}: {cause}") from error
        raise PermanentError(f"MLflow at {registry.shown} refused, {what}: {cause}") from error


def _refused(error: MlflowException | requests.RequestException) -> int | None:
    """401 or 403, when it was that; None for anything else."""
    import requests

    if isinstance(error, requests.RequestException):
        status = None if error.response is None else error.response.status_code
    else:
        file = _REFUSED_FILE.search(str(error))
        status = int(file[1]) if file else error.get_http_status_code()
    return status if status in REFUSALS else None


def _is_unavailable(error: MlflowException | requests.RequestException) -> bool:
    import requests
    from mlflow.exceptions import RestException

    if isinstance(error, requests.RequestException):
        return error.response is None or _is_overloaded(error.response.status_code)
    if isinstance(error, RestException):
        return _is_overloaded(error.get_http_status_code())
    return bool(_NO_ANSWER.match(str(error)) or _LOST_FILE.search(str(error)))


def _is_overloaded(status: int) -> bool:
    return status == _TOO_MANY_REQUESTS or status >= _SERVER_ERROR
