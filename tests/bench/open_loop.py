"""Requests that come at a constant rate, whether those before were answered or not; each is timed from when it was due.

A closed loop such as ``wrk`` waits for an answer before it asks again, so whoever is slow is asked less, and its p99
hides what would have waited. Those kept tools that time from when a request was due (wrk2, vegeta, oha, k6) are in no
registry that the project installs from; this is one coroutine a request over connections that are kept.
"""

import asyncio
import json
import time
from collections import deque
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import numpy as np

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass(frozen=True, slots=True)
class Arrivals:
    """Milliseconds from when requests were due until they were answered; ``late_ms`` is by how much the client itself
    began after that, at the 99th percentile."""

    n_requests: int
    p50_ms: float
    p99_ms: float
    late_ms: float


def arrivals(url: str, body: Any, *, per_s: float, seconds: float) -> Arrivals:
    """Ask so often for so long. Raises RuntimeError for an answer other than 200."""
    return asyncio.run(_asked(url, json.dumps(body).encode(), per_s, int(per_s * seconds)))


async def _asked(url: str, body: bytes, per_s: float, n_requests: int) -> Arrivals:
    where = urlsplit(url)
    head = f"POST {where.path} HTTP/1.1\r\nHost: {where.netloc}\r\nContent-Type: application/json\r\n"
    request = f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
    free: deque[Connection] = deque()

    async def one(due: float) -> tuple[float, float]:
        await asyncio.sleep(due - time.perf_counter())
        began = time.perf_counter()
        while free and free[-1][0].at_eof():  # the server has closed it, unused as it was
            free.pop()[1].close()
        reader, writer = free.pop() if free else await asyncio.open_connection(where.hostname, where.port)
        writer.write(request)
        await _answer(reader)
        free.append((reader, writer))
        return began - due, time.perf_counter() - due

    start = time.perf_counter() + 0.1
    times = await asyncio.gather(*(one(start + number / per_s) for number in range(n_requests)))
    for _, writer in free:
        writer.close()
    late, took = np.array(times).T * 1000
    return Arrivals(
        n_requests, *(float(np.percentile(took, share)) for share in (50, 99)), float(np.percentile(late, 99))
    )


async def _answer(reader: asyncio.StreamReader) -> None:
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    length = int(head.split(b"content-length:")[1].split(b"\r\n")[0])
    body = await reader.readexactly(length)
    if b" 200 " not in head.split(b"\r\n")[0]:
        raise RuntimeError(f"{head[:100]!r}: {body[:300]!r}")
