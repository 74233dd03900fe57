"""MLflow's REST API, for triggers of Airflow, which must not import MLflow: one request, its refusals, and aliases."""

from typing import Any

import httpx

from perennial.errors import PermanentError, RegistryRefused, RegistryUnavailable
from perennial.registry.refusal import REFUSALS, refusal

_SERVER_ERROR = 500


async def sent(client: httpx.AsyncClient, method: str, uri: str, path: str, **given: Any) -> httpx.Response:
    """What MLflow's REST API at ``uri`` answers. Raises RegistryUnavailable when it does not."""
    try:
        return await client.request(method, f"{uri.rstrip('/')}/api/2.0/mlflow/{path}", **given)
    except httpx.RequestError as error:
        raise RegistryUnavailable(f"MLflow at {uri}: {type(error).__name__}: {error}") from error


def checked(answer: httpx.Response, uri: str, what: str, *, account: str | None) -> httpx.Response:
    """The answer about ``what``, if it is one. Raises RegistryRefused when the login or the account is refused,
    RegistryUnavailable for a server error, PermanentError for any other that is none.
    """
    status, said = answer.status_code, answer.text[:200]
    if status in REFUSALS:
        raise RegistryRefused(refusal(uri, status, f"asked for {what}", account=account, said=said))
    if status >= _SERVER_ERROR:
        raise RegistryUnavailable(f"MLflow at {uri}: {status}: {said}")
    if status != httpx.codes.OK:
        raise PermanentError(f"{what}: MLflow answers {status}: {said}")
    return answer


async def aliases(client: httpx.AsyncClient, uri: str, model: str, *, account: str | None = None) -> dict[str, str]:
    """The version that each alias of a model names; empty for a model that has none yet. Raises as :func:`checked`."""
    answer = await sent(client, "GET", uri, "registered-models/get", params={"name": model})
    if answer.status_code == httpx.codes.NOT_FOUND:
        return {}
    said = checked(answer, uri, f"aliases of {model}", account=account)
    try:
        found = said.json()["registered_model"].get("aliases", [])
        return {one["alias"]: str(one["version"]) for one in found}
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        raise PermanentError(f"{uri} answers otherwise than MLflow does: {said.text[:200]!r}") from error
