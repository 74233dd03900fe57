"""The client: rows in, answers out."""

import json
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self
from uuid import uuid4

import httpx

from perennial.client.answers import (
    Answered,
    AnswerLost,
    ClientError,
    Refused,
    Scored,
    TooMuch,
    Unreachable,
    scored,
    wrongs,
)

_OK, _TOO_MANY = 200, 429
_NOT_READY = (502, 503, 504)


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How often a request is sent again, and how long is waited: ``first_wait_s``, then twice as long each time up to
    ``longest_wait_s``, less up to a half by chance; longer where the service says so."""

    n_retries: int = 5
    first_wait_s: float = 0.1
    longest_wait_s: float = 10.0

    def wait_s(self, n_before: int, chance: float) -> float:
        """How long to wait after ``n_before`` earlier waits; ``chance`` lies in [0, 1).

        >>> [Patience().wait_s(n_before, 0.0) for n_before in (0, 1, 9)]
        [0.1, 0.2, 10.0]
        """
        wait_s: float = min(self.longest_wait_s, self.first_wait_s * 2.0**n_before)
        return wait_s * (1 - chance / 2)


@dataclass(slots=True)
class Client:
    """Of the service at ``url``; ``key`` is one that ``perennial keys add`` made. Use it in a ``with`` block.

    A request has at most ``max_rows`` rows, which ``serving.max_rows`` allows, and is given ``timeout_s`` seconds.
    Rows without a ``prediction_id`` get one. A request that got no answer is sent again under the same
    ``Idempotency-Key``, which the service answers as before and logs once.
    """

    url: str
    key: str | None = field(default=None, repr=False)
    max_rows: int = 1_000
    timeout_s: float = 10.0
    patience: Patience = field(default_factory=Patience)
    sleep: Callable[[float], None] = time.sleep
    chance: random.Random = field(default_factory=random.Random)
    http: httpx.Client | None = None

    def __post_init__(self) -> None:
        if self.http is None:
            self.http = httpx.Client(base_url=self.url, timeout=self.timeout_s)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Give the connections back."""
        if self.http is not None:
            self.http.close()

    def score(self, rows: Sequence[Mapping[str, Any]]) -> Answered:
        """The answers for all rows, in their order.

        Raises Refused for rows that are not allowed (those of earlier batches are answered and logged), TooMuch,
        Unreachable or AnswerLost after the last retry.
        """
        found: list[Scored] = []
        n_requests, n_retries = 0, 0
        for first, batch in self._batches(rows):
            named = [{"prediction_id": uuid4().hex, **row} for row in batch]
            body, again = self._asked("/predict", {"rows": named}, first)
            found.extend(scored(body))
            n_requests, n_retries = n_requests + 1, n_retries + again
        return Answered(rows=tuple(found), n_requests=n_requests, n_retries=n_retries)

    def label(self, labels: Sequence[Mapping[str, Any]]) -> int:
        """Say what became of predictions, each ``{"prediction_id": ..., "label": ...}``; how many were taken."""
        return sum(
            int(self._asked("/labels", {"labels": batch}, first)[0]["n_labels"])
            for first, batch in self._batches(labels)
        )

    def model(self) -> dict[str, Any]:
        """The version that answers, and what is known of it. Raises as :meth:`score`."""
        return self._asked("/model", None, 0)[0]

    def _batches(self, rows: Sequence[Mapping[str, Any]]) -> Iterator[tuple[int, list[dict[str, Any]]]]:
        for first in range(0, len(rows), self.max_rows):
            yield first, [dict(row) for row in rows[first : first + self.max_rows]]

    def _asked(self, route: str, body: dict[str, Any] | None, first: int) -> tuple[dict[str, Any], int]:
        """The answer, and after how many retries. Never sent under another key, so that it is logged once."""
        content = None if body is None else json.dumps(body, allow_nan=False).encode()
        headers = {} if self.key is None else {"Authorization": f"Bearer {self.key}"}
        if content is not None:
            headers |= {"Content-Type": "application/json", "Idempotency-Key": uuid4().hex}
        lost: ClientError | None = None
        for n_before in range(self.patience.n_retries + 1):
            try:
                return self._once(route, content, headers, first), n_before
            except (Unreachable, AnswerLost, TooMuch) as error:
                # what may have been answered once stays so, whatever becomes of the retries
                lost = lost if isinstance(lost, AnswerLost) else error
                if n_before < self.patience.n_retries:
                    told_s = error.again_in_s if isinstance(error, TooMuch) else 0.0
                    self.sleep(max(told_s, self.patience.wait_s(n_before, self.chance.random())))
        assert lost is not None  # noqa: S101 - each way round either returned or set it
        raise lost

    def _once(self, route: str, content: bytes | None, headers: dict[str, str], first: int) -> dict[str, Any]:
        assert self.http is not None  # noqa: S101 - made with the client
        try:
            answer = self.http.request("GET" if content is None else "POST", route, content=content, headers=headers)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            raise Unreachable(f"{self.url}: {type(error).__name__}: {error}") from error
        except httpx.TransportError as error:
            raise AnswerLost(f"{self.url}{route}: {type(error).__name__}: {error}") from error
        return _read(answer, first)


def _read(answer: httpx.Response, first: int) -> dict[str, Any]:
    try:
        parsed = answer.json()
    except ValueError:
        parsed = None
    body: dict[str, Any] = parsed if isinstance(parsed, dict) else {}
    if answer.status_code == _OK and body:
        return body
    why = str(body.get("error") or f"an answer that is not the service's: {answer.text[:100]!r}")
    if answer.status_code == _TOO_MANY:
        after = answer.headers.get("retry-after", "")
        raise TooMuch(why, float(after) if after.isdecimal() else 0.0)
    if answer.status_code in _NOT_READY:
        raise Unreachable(f"{answer.status_code}: {why}")
    raise Refused(answer.status_code, why, wrongs(body, first))
