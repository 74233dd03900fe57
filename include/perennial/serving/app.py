"""The routes. Each answers in JSON, under a request id, and is counted and timed."""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import msgspec
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from perennial.serving.arms.routing import ROUTING_KEY
from perennial.serving.guard import FAILED, NOT_FOUND, Denial
from perennial.serving.lines import Asked
from perennial.serving.once import KEY
from perennial.serving.requests.faults import Fault
from perennial.serving.requests.openapi import describe
from perennial.serving.service import Service, Spec

_ENCODER = msgspec.json.Encoder()
_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,64}")
_ROUTES = (
    "POST /predict",
    "POST /labels",
    "GET /model",
    "GET /healthz",
    "GET /readyz",
    "GET /metrics",
    "GET /figures",
    "GET /openapi.json",
)
_JSON, _TEXT = "application/json", "text/plain; version=0.0.4; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Call:
    """One request, its id, and who answers it."""

    service: Service
    request: Request
    request_id: str


Answering = Callable[[Call], Awaitable[Response]]


def make_app(spec: Spec) -> Starlette:
    """The application of one process. Raises ConfigError for a model whose logs the service can not write."""
    service = Service(spec)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        await service.start()
        try:
            yield
        finally:
            await service.close()

    routes = [
        Route(path, _Endpoint(service, path, answer), methods=[method])
        for (method, path), answer in zip((route.split() for route in _ROUTES), _ANSWERS, strict=True)
    ]

    async def elsewhere(request: Request, error: Exception) -> Response:
        code = error.status_code if isinstance(error, HTTPException) else FAILED
        words = "no such route" if code == NOT_FOUND else "this route takes another method"
        fault = Fault(value=f"{request.method} {request.url.path}"[:80], allowed=f"one of {', '.join(_ROUTES)}")
        request_id = service.new_id()
        response = _json(Denial(code, words, (fault,)).body(request_id), code)
        response.headers.update(getattr(error, "headers", None) or {})  # of 405: Allow, which RFC 9110 asks for
        response.headers["x-request-id"] = request_id
        return response

    return Starlette(routes=routes, lifespan=lifespan, exception_handlers={HTTPException: elsewhere})


class _Endpoint:
    """One route, as an application of its own: nothing of Starlette's stands between it and the request."""

    def __init__(self, service: Service, path: str, answer: Answering) -> None:
        self._service, self._path, self._answer = service, path, answer
        self._seconds = service.metrics.seconds.labels(path)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        response = await self._answered(Request(scope, receive, send))
        await response(scope, receive, send)

    async def _answered(self, request: Request) -> Response:
        began, service = time.perf_counter(), self._service
        said = request.headers.get("x-request-id", "")
        request_id = said if _REQUEST_ID.fullmatch(said) else service.new_id()
        try:
            response = await self._answer(Call(service, request, request_id))
        except Denial as refusal:
            response = _json(refusal.body(request_id), refusal.code)
            if refusal.again_in_s is not None:
                response.headers["retry-after"] = str(refusal.again_in_s)
        except Exception:
            service.metrics.requests.labels(self._path, str(FAILED)).inc()
            raise
        response.headers["x-request-id"] = request_id
        service.metrics.requests.labels(self._path, str(response.status_code)).inc()
        self._seconds.observe(time.perf_counter() - began)
        return response


def _json(value: Any, code: int = 200) -> Response:
    return Response(_ENCODER.encode(value), code, media_type=_JSON)


async def _predict(call: Call) -> Response:
    arrived = time.perf_counter()
    who, body = await _taken(call)
    asked: list[Asked] = []

    async def answered() -> bytes:
        key = call.request.headers.get(ROUTING_KEY)
        answer, log = await call.service.predict(body, call.request_id, arrived, key)
        call.service.guard.spend_rows(who, len(answer.predictions))
        asked.append(log)
        return _ENCODER.encode(answer)

    response = await _once(call, who, body, answered)
    if asked:  # once the answer has left, and not again for one that is sent again
        response.background = BackgroundTask(call.service.left, asked[0])
    return response


async def _labels(call: Call) -> Response:
    who, body = await _taken(call)

    async def answered() -> bytes:
        taken = await call.service.take_labels(body, call.request_id)
        call.service.guard.spend_rows(who, taken.n_labels)
        return _ENCODER.encode(taken)

    return await _once(call, who, body, answered)


async def _taken(call: Call) -> tuple[str, bytes]:
    who = call.service.guard.admit_rows(call.request)
    return who, await call.service.guard.body(call.request)


async def _once(call: Call, who: str, body: bytes, answered: Callable[[], Awaitable[bytes]]) -> Response:
    """What is sent again under one key is answered as before."""
    key = call.request.headers.get(KEY)
    place = None if key is None else f"{call.request.url.path} {key}"
    return Response(await call.service.once.answer(who, place, body, answered), 200, media_type=_JSON)


async def _model(call: Call) -> Response:
    call.service.guard.admit(call.request)
    following = call.service.follower.following
    current, looked = following.current, following.looked
    loaded = None if current is None else current.loaded
    return _json(
        {
            "model": call.service.config.model,
            "config_digest": call.service.config.digest,
            "version": loaded and loaded.version,
            "digest": loaded and loaded.digest,
            "since": current and current.since,
            "for_s": current and round(max(0.0, time.time() - current.since), 3),
            "loaded_from": loaded and loaded.origin,
            "load_s": loaded and round(loaded.took_s, 3),
            "predictor": loaded and loaded.built.kind,
            "why_not_faster": loaded and loaded.built.why,
            "champion": looked and looked.champion,
            "registry_answered_at": following.answered_at,
            "challenger": None if (shadow := call.service.shadow) is None else shadow.described(),
            "canary": None if (canary := call.service.canary) is None else canary.described(),
            "problems": call.service.problems(),
        }
    )


async def _healthz(_: Call) -> Response:
    return _json({"status": "lives"})


async def _readyz(call: Call) -> Response:
    """The names of problems for everybody, what they say for those who may ask."""
    problems = call.service.problems()
    refuses = call.service.refuses(problems)
    status = "refuses" if refuses else "degraded" if problems else "ready"
    shown: Any = problems if call.service.guard.who(call.request) is not None else sorted(problems)
    return _json({"status": status, "problems": shown}, 503 if refuses else 200)


async def _metrics(call: Call) -> Response:
    call.service.guard.admit(call.request)
    return Response(call.service.metrics.page(), media_type=_TEXT)


async def _figures(call: Call) -> Response:
    """What was counted of each version and arm, by all processes, for :mod:`perennial.guards`."""
    call.service.guard.admit(call.request)
    current, counting = call.service.follower.following.current, call.service.counting
    sums = await asyncio.to_thread(counting.with_others, counting.mine())
    version = None if current is None else current.loaded.version
    return _json({"model": call.service.config.model, "version": version, **sums})


async def _openapi(call: Call) -> Response:
    call.service.guard.admit(call.request)
    return _json(describe(call.service.config, call.service.types))


_ANSWERS: tuple[Answering, ...] = (_predict, _labels, _model, _healthz, _readyz, _metrics, _figures, _openapi)
