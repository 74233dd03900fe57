"""Versions that failed their gates and whose tags ask to go past them, over MLflow's REST API.

Imports no heavy library, MLflow neither: what is found is judged by whoever may read the ledger.
"""

from collections.abc import Collection, Mapping
from typing import Any

import httpx

from perennial.contracts.tags import GATES_TAG, PAST_GATES, SIGNOFF_TAG
from perennial.registry.rest import checked, sent
from perennial.signoff.answering.polling import tags_of

ASKED = f"tags.`{SIGNOFF_TAG}` ILIKE '%past%'"
"""MLflow's filter: typing errors are found as well, to be told so."""
_MOST = 1000


def says_past_gates(tag: str | None) -> bool:
    """Whether the tag ``signoff`` asks to go past failed gates.

    >>> says_past_gates(" Past-Gates"), says_past_gates("past_gates"), says_past_gates("approved")
    (True, True, False)
    """
    return " ".join((tag or "").replace("-", " ").replace("_", " ").split()).casefold() == PAST_GATES


def found_in(answer: dict[str, Any], models: Collection[str]) -> tuple[tuple[str, str], ...]:
    """Model and version of what asks, in MLflow's answer to a search.

    Those of other models are nobody's here, and what passed its gates is left to its own review.

    >>> tags = [{"key": "signoff", "value": "past gates"}, {"key": "version.gates", "value": "failed"}]
    >>> asks = {"name": "flight_delay", "version": "4", "tags": tags}
    >>> found_in({"model_versions": [asks, {**asks, "name": "other"}, {**asks, "tags": tags[:1]}]}, ["flight_delay"])
    (('flight_delay', '4'),)
    """
    return tuple(
        (str(one["name"]), str(one["version"]))
        for one in answer.get("model_versions", [])
        if one["name"] in models and _asks(tags_of({"model_version": one}))
    )


def _asks(tags: Mapping[str, str]) -> bool:
    return "past" in tags.get(SIGNOFF_TAG, "").casefold() and tags.get(GATES_TAG) == "failed"


async def asking_past_gates(
    client: httpx.AsyncClient, uri: str, models: Collection[str], *, account: str | None = None
) -> tuple[tuple[str, str], ...]:
    """Model and version of everything that asks now. Raises RegistryUnavailable, RegistryRefused, PermanentError."""
    given = {"filter": ASKED, "max_results": str(_MOST)}
    answer = await sent(client, "GET", uri, "model-versions/search", params=given)
    return found_in(checked(answer, uri, "versions past their gates", account=account).json(), models)
