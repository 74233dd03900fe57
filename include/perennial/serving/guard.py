"""What is asked of a request before its rows are looked at: who asks, under which name, how much."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

from starlette.requests import Request

from perennial.errors import PerennialError
from perennial.serving.keys import Keys, whose
from perennial.serving.requests.faults import MOST, Fault
from perennial.serving.requests.openapi import Refused, Wrong

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
_BEARER = "Bearer "
BAD_REQUEST, UNAUTHORIZED, FORBIDDEN, TOO_LARGE, UNSUPPORTED, UNPROCESSABLE = 400, 401, 403, 413, 415, 422
FAILED, UNAVAILABLE = 500, 503


class Refusal(Exception):
    """A request that is not answered: the code, why, and what is wrong with it."""

    def __init__(self, code: int, why: str, faults: tuple[Fault, ...] = ()) -> None:
        super().__init__(why)
        self.code = code
        self.faults = faults

    def body(self, request_id: str) -> Refused:
        """What the client is told."""
        shown = [
            Wrong(allowed=fault.allowed, row=fault.row, field=fault.field, value=fault.value)
            for fault in self.faults[:MOST]
        ]
        return Refused(request_id=request_id, error=str(self), faults=shown, n_faults=len(self.faults))


@dataclass(slots=True)
class Guard:
    """``needs_key`` wherever others than this machine can ask; on loopback the name that was asked for is checked
    instead, so that no page in a browser here can ask under another one."""

    keys: Keys
    needs_key: bool
    most_bytes: int
    _known: dict[str, dict[str, str]] = field(default_factory=dict)
    _stamp: tuple[int, int] | None = (0, 0)  # no file has this one: the first look reads

    def renew(self) -> None:
        """Read the keys again when their file changed; one that can not be read lets nobody in."""
        stamp = _stamp_of(self.keys.path)
        if stamp == self._stamp:
            return
        try:
            self._known = self.keys.known()
        except PerennialError:
            self._known = {}
        self._stamp = stamp

    def knows(self, request: Request) -> bool:
        """Whether the request may be told everything."""
        if not self.needs_key:
            return request.url.hostname in LOOPBACK
        said = request.headers.get("authorization", "")
        key = said.removeprefix(_BEARER) if said.startswith(_BEARER) else request.headers.get("x-api-key", "")
        return bool(key) and whose(key, self._known) is not None

    def admit(self, request: Request) -> None:
        """Raises Refusal for a request that may not ask."""
        if not self.knows(request):
            self._turn_away()

    def _turn_away(self) -> NoReturn:
        if self.needs_key:
            raise Refusal(UNAUTHORIZED, "no key, or none that is known: send Authorization: Bearer pk_...")
        raise Refusal(FORBIDDEN, "without keys only localhost and 127.0.0.1 may be asked for")

    async def body(self, request: Request) -> bytes:
        """The body. Raises Refusal for one that is too large, or not said to be JSON."""
        kind = request.headers.get("content-type", "")
        if kind.partition(";")[0].strip().lower() != "application/json":
            raise Refusal(UNSUPPORTED, f"Content-Type is {kind[:80]!r}; send application/json")
        told = request.headers.get("content-length", "0")
        if told.isdigit() and int(told) > self.most_bytes:
            self._too_large()
        body = bytearray()
        async for part in request.stream():
            body += part
            if len(body) > self.most_bytes:
                self._too_large()
        return bytes(body)

    def _too_large(self) -> NoReturn:
        raise Refusal(TOO_LARGE, f"the body has more than {self.most_bytes:,} bytes (serving.max_body_kb)")


def _stamp_of(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino
