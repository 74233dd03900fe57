"""The reviewer's tag, read over MLflow's REST API: for the Airflow trigger, which must not import MLflow.

Imports no heavy library: the standard library, httpx, and the contracts.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import httpx

from perennial.contracts import flaw_of_names, is_nobody
from perennial.contracts.tags import NOTE_TAG, REVIEWER_TAG, SECOND_TAG, SIGNOFF_TAG, named_now
from perennial.registry.refusal import FORBIDDEN
from perennial.registry.rest import checked, sent

PENDING = "pending"
UNNAMED = "unnamed reviewer"


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


def tags_of(answer: Mapping[str, Any]) -> dict[str, str]:
    """The tags in MLflow's answer about one model version; a version without tags has no such key.

    >>> tags_of({"model_version": {"tags": [{"key": "signoff", "value": "pending"}]}})
    {'signoff': 'pending'}
    >>> tags_of({"model_version": {}})
    {}
    """
    return named_now({tag["key"]: tag.get("value", "") for tag in answer["model_version"].get("tags", [])})


@dataclass(frozen=True, slots=True, kw_only=True)
class Reviewers:
    """How many people an approval takes, and whose name does not count: that of whoever asked for the retrain."""

    people: int = 1
    not_by: str = ""

    def said(self, tags: Mapping[str, str]) -> Literal["approved", "rejected"] | None:
        """What the tags of a version say: approved under enough names that count, rejected by anybody else than nobody.

        >>> ada = {"signoff": "approved", "reviewer": "ada"}
        >>> Reviewers().said(ada), Reviewers().said({"signoff": "approved"}), Reviewers(people=2).said(ada)
        ('approved', None, None)
        >>> Reviewers(not_by="Ada ").said(ada), Reviewers().said({"signoff": "approved", "reviewer": "policy"})
        (None, None)
        >>> Reviewers(people=2, not_by="ada").said({**ada, "signoff": "rejected"})
        'rejected'
        """
        answer = answer_in(tags.get(SIGNOFF_TAG))
        if answer == "rejected":
            return None if is_nobody(tags.get(REVIEWER_TAG)) else "rejected"
        return answer if answer is None or not self.missing(tags) else None

    def missing(self, tags: Mapping[str, str]) -> str:
        """What an approval still needs, in words for the reviewer; empty when it has all.

        >>> Reviewers(people=2).missing({"reviewer": "ada", "second_reviewer": " ADA"})
        "tag second_reviewer = ' ADA' is the first reviewer again: somebody else has to agree"
        """
        asked = (REVIEWER_TAG, SECOND_TAG)[: self.people]
        return flaw_of_names(((f"tag {tag}", tags.get(tag, "")) for tag in asked), not_by=self.not_by)

    def note(self, tags: Mapping[str, str]) -> str:
        """What to tell whoever wrote the tags, where they look: why they are no answer; empty for one, and for none.

        >>> Reviewers().note({"signoff": "aproved"})
        "tag signoff = 'aproved' is not understood: write approved or rejected"
        >>> Reviewers().note({"signoff": "pending"}), Reviewers().note({"signoff": "approved", "reviewer": "ada"})
        ('', '')
        """
        tag = tags.get(SIGNOFF_TAG)
        if answer_in(tag) is not None:
            return "" if self.said(tags) else self.missing(tags)
        if tag in (None, PENDING):
            return ""
        return f"tag {SIGNOFF_TAG} = {tag!r} is not understood: write approved or rejected"

    def names(self, tags: Mapping[str, str]) -> str:
        """The people of an answer, as the ledger names them.

        >>> Reviewers(people=2).names({"reviewer": "ada", "second_reviewer": "bob"}), Reviewers().names({})
        ('ada and bob', 'unnamed reviewer')
        """
        found = [tags.get(tag, "").strip() for tag in (REVIEWER_TAG, SECOND_TAG)[: self.people]]
        return " and ".join(name for name in found if name) or UNNAMED


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """A model version in MLflow at ``uri``, asked through a client that logs in as ``account``.

    Its methods raise RegistryUnavailable when MLflow does not answer or answers with a server error, RegistryRefused
    when it refuses the login or the account, PermanentError when the version, or its model, was deleted.
    """

    client: httpx.AsyncClient
    uri: str
    model: str
    version: str
    account: str | None = None

    async def tags(self) -> dict[str, str]:
        """The tags as they stand."""
        answer = await self._asked("GET", "model-versions/get", params={"name": self.model, "version": self.version})
        return tags_of(answer.json())

    async def write_note(self, note: str) -> None:
        """Put the note of :meth:`Reviewers.note` on the version."""
        tag = {"name": self.model, "version": self.version, "key": NOTE_TAG, "value": note}
        await self._asked("POST", "model-versions/set-tag", json=tag)

    async def _asked(self, method: str, path: str, **given: Any) -> httpx.Response:
        answer = await sent(self.client, method, self.uri, path, **given)
        if answer.status_code == FORBIDDEN:  # so MLflow with a login also speaks of a version whose model is gone
            model = {"name": self.model}
            found = await sent(self.client, "GET", self.uri, "registered-models/get", params=model)
            answer = found if found.status_code == httpx.codes.NOT_FOUND else answer
        return checked(answer, self.uri, f"{self.model} version {self.version}", account=self.account)
