"""What is asked of a request before its rows are looked at: who asks, under which name, how much."""

import time
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import NoReturn

from starlette.datastructures import URL
from starlette.requests import Request

from perennial.errors import PerennialError
from perennial.serving.keys import Keys, whose
from perennial.serving.limits import Limits
from perennial.serving.requests.faults import MOST, Fault
from perennial.serving.requests.openapi import Refused, Wrong

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
_BEARER = "Bearer "
BAD_REQUEST, UNAUTHORIZED, FORBIDDEN, TOO_LARGE, UNSUPPORTED, UNPROCESSABLE = 400, 401, 403, 413, 415, 422
NOT_FOUND, CONFLICT, TOO_MANY, FAILED, UNAVAILABLE = 404, 409, 429, 500, 503
NOBODY_ELSE = "this machine"
"""Who asks where no key is asked for."""


class Denial(Exception):
    """A request that is not answered: the code, why, and what is wrong with it."""

    def __init__(self, code: int, why: str, faults: tuple[Fault, ...] = (), *, again_in_s: int | None = None) -> None:
        super().__init__(why)
        self.code = code
        self.faults = faults
        self.again_in_s = again_in_s

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
    limits: Limits = field(default_factory=lambda: Limits(None))
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

    def who(self, request: Request) -> str | None:
        """Whose key it is; None for a request that may not be told everything."""
        if not self.needs_key:
            named = next((value for name, value in request.scope["headers"] if name == b"host"), None)
            server = request.scope.get("server")
            return NOBODY_ELSE if _host_of(named, server and tuple(server)) in LOOPBACK else None
        said = request.headers.get("authorization", "")
        key = said.removeprefix(_BEARER) if said.startswith(_BEARER) else request.headers.get("x-api-key", "")
        return whose(key, self._known) if key else None

    def admit(self, request: Request) -> str:
        """Who asks. Raises Denial for a request that may not."""
        found = self.who(request)
        if found is None:
            self._turn_away()
        return found

    def admit_rows(self, request: Request) -> str:
        """The same for a request that brings rows or labels: each key may bring so many. Raises Denial."""
        found = self.admit(request)
        over = self.limits.take(found, now=time.monotonic())
        if over is not None:
            limit, again_in_s = over
            fault = Fault(field="rate", value=f"key {found}" if self.needs_key else found, allowed=limit)
            raise Denial(TOO_MANY, f"too much at once: come again in {again_in_s} s", (fault,), again_in_s=again_in_s)
        return found

    def spend_rows(self, who: str, n_rows: int) -> None:
        """What an answered request cost."""
        self.limits.spend_rows(who, n_rows, now=time.monotonic())

    def _turn_away(self) -> NoReturn:
        if self.needs_key:
            raise Denial(UNAUTHORIZED, "no key, or none that is known: send Authorization: Bearer pk_...")
        raise Denial(FORBIDDEN, "without keys only localhost and 127.0.0.1 may be asked for")

    async def body(self, request: Request) -> bytes:
        """The body. Raises Denial for one that is too large, or not said to be JSON."""
        kind = request.headers.get("content-type", "")
        if kind.partition(";")[0].strip().lower() != "application/json":
            raise Denial(UNSUPPORTED, f"Content-Type is {kind[:80]!r}; send application/json")
        length = request.headers.get("content-length", "0")
        if length.isascii() and length.isdigit() and int(length) > self.most_bytes:
            self._too_large()
        body = bytearray()
        async for part in request.stream():
            body += part
            if len(body) > self.most_bytes:
                self._too_large()
        return bytes(body)

    def _too_large(self) -> NoReturn:
        raise Denial(TOO_LARGE, f"the body has more than {self.most_bytes:,} bytes (serving.max_body_kb)")


@lru_cache(maxsize=64)
def _host_of(header: bytes | None, server: tuple[str, int | None] | None) -> str | None:
    """The name that was asked for, as ``request.url`` has it: nearly always that of the request before."""
    headers = [] if header is None else [(b"host", header)]
    return URL(scope={"path": "/", "headers": headers, "server": server}).hostname


def _stamp_of(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino
