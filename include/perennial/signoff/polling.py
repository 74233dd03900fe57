"""The reviewer's tag, read over MLflow's REST API: for the Airflow trigger, which must not import MLflow.

Imports no heavy library: the standard library, httpx, and the contracts.
"""

from collections.abc import Mapping
from typing import Any, Literal

import httpx

from perennial.contracts import is_nobody
from perennial.contracts.tags import REVIEWER_TAG, SIGNOFF_TAG
from perennial.errors import RegistryUnavailable, SignoffError

PENDING = "pending"
_PATH = "/api/2.0/mlflow/model-versions/get"
_SERVER_ERROR = 500


def answer_in(tag: str | None) -> Literal["approved", "rejected"] | None:
    """What a reviewer's tag says, or None for ``pending``, a typing error, or nothing.

    >>> answer_in(" Approved"), answer_in("rejected"), answer_in("aproved"), answer_in(None)
    ('approved', 'rejected', None, None)
    """
    match (tag or "").strip().lower():
        case "approved":
            return "approved"
        case "rejected":
            return "rejected"
        case _:
            return None


def poll_request(mlflow_uri: str, model: str, version: str) -> tuple[str, dict[str, str]]:
    """The URL and the query that answer with one model version.

    >>> poll_request("http://127.0.0.1:5000/", "flight_delay", "3")
    ('http://127.0.0.1:5000/api/2.0/mlflow/model-versions/get', {'name': 'flight_delay', 'version': '3'})
    """
    return mlflow_uri.rstrip("/") + _PATH, {"name": model, "version": version}


def tags_of(answer: Mapping[str, Any]) -> dict[str, str]:
    """The tags in MLflow's answer about one model version; a version without tags has no such key.

    >>> tags_of({"model_version": {"tags": [{"key": "signoff", "value": "pending"}]}})
    {'signoff': 'pending'}
    >>> tags_of({"model_version": {}})
    {}
    """
    return {tag["key"]: tag.get("value", "") for tag in answer["model_version"].get("tags", [])}


def said_by_a_person(tags: Mapping[str, str]) -> Literal["approved", "rejected"] | None:
    """What the tags of a version say, unless under a name that only the policy answers under.

    >>> said_by_a_person({"signoff": "approved", "reviewer": "ada"}), said_by_a_person({"signoff": "approved"})
    ('approved', 'approved')
    >>> said_by_a_person({"signoff": "approved", "reviewer": "policy"})
    """
    return None if is_nobody(tags.get(REVIEWER_TAG)) else answer_in(tags.get(SIGNOFF_TAG))


async def read_tags(client: httpx.AsyncClient, mlflow_uri: str, model: str, version: str) -> dict[str, str]:
    """The tags of a version as they stand.

    Raises RegistryUnavailable when MLflow does not answer or answers with a server error, SignoffError when it refuses
    (the version was deleted, or the credentials are wrong).
    """
    url, query = poll_request(mlflow_uri, model, version)
    try:
        answer = await client.get(url, params=query)
    except httpx.TransportError as error:
        raise RegistryUnavailable(f"MLflow at {mlflow_uri}: {type(error).__name__}: {error}") from error
    if answer.status_code >= _SERVER_ERROR:
        raise RegistryUnavailable(f"MLflow at {mlflow_uri}: {answer.status_code}: {answer.text[:200]}")
    if answer.status_code != httpx.codes.OK:
        raise SignoffError(f"{model} version {version}: MLflow answers {answer.status_code}: {answer.text[:200]}")
    return tags_of(answer.json())
