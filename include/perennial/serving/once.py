"""A request that is sent again is answered as before, and logged once: by its ``Idempotency-Key``."""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from perennial.serving.guard import CONFLICT, Denial
from perennial.serving.requests.faults import Fault

KEY = "idempotency-key"
LONGEST_KEY = 200


@dataclass(slots=True)
class Known:
    """One request, by the digest of its body, and its answer, or when that will be there."""

    digest: bytes
    answer: "asyncio.Future[bytes]"


@dataclass(slots=True)
class Once:
    """The answers of one process that may be asked for again: at most ``most`` of them, the oldest are forgotten."""

    most: int = 10_000
    _known: dict[tuple[str, str], Known] = field(default_factory=dict)

    async def answer(self, who: str, key: str | None, body: bytes, work: Callable[[], Awaitable[bytes]]) -> bytes:
        """What ``work`` answers, or answered to the same body under the same key of the same asker.

        Without a key it always works. A refused request is not kept. Raises Denial for a key that is too long, or
        under which another body was sent.
        """
        if key is None:
            return await work()
        if not 1 <= len(key) <= LONGEST_KEY:
            fault = Fault(
                field="Idempotency-Key", value=f"{len(key)} characters", allowed=f"1 to {LONGEST_KEY} of them"
            )
            raise Denial(CONFLICT, "this key can not be kept", (fault,))
        digest, place = hashlib.sha256(body).digest(), (who, key)
        if (known := self._known.get(place)) is not None:
            if known.digest != digest:
                fault = Fault(field="Idempotency-Key", value=key[:80], allowed="a key of its own for each body")
                raise Denial(CONFLICT, "another body was sent under this key", (fault,))
            return await asyncio.shield(known.answer)
        found: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        found.add_done_callback(_looked_at)
        self._known[place] = Known(digest, found)
        try:
            answer = await work()
        except BaseException as error:
            del self._known[place]
            found.set_exception(error if isinstance(error, Exception) else RuntimeError("the request was broken off"))
            raise
        found.set_result(answer)
        self._forget()
        return answer

    def _forget(self) -> None:
        while len(self._known) > self.most:
            del self._known[next(iter(self._known))]


def _looked_at(found: "asyncio.Future[bytes]") -> None:
    """Whether or not anybody else waited for it."""
    if not found.cancelled():
        found.exception()
