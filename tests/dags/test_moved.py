"""Aliases are watched in the triggerer: each move wakes the guard, and nothing MLflow may answer ends the watch."""

import asyncio
import json
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from perennial.config import ModelConfig
from perennial.registry import Registry
from perennial.registry.versions import aliases_of

PATIENCE_S, LONG_S = 1.0, 30.0
NOT_GZIP = b"not what its header says"


def watched(model: str, body: Callable[[Callable[[float], Awaitable[Any]]], Awaitable[None]]) -> None:
    """``body`` with a function that waits so many seconds for the next event; the aliases of it, or None."""
    from airflow.sdk.module_loading import import_string

    from perennial.orchestration.moved import AliasTrigger

    async def whole() -> None:
        path, arguments = AliasTrigger(model, 0.05).serialize()
        events = import_string(path)(**arguments).run()
        coming = asyncio.ensure_future(anext(events))

        async def event(within_s: float) -> Any:
            nonlocal coming
            done, _ = await asyncio.wait({coming}, timeout=within_s)
            if not done:
                return None
            (found, coming) = (coming.result().payload, asyncio.ensure_future(anext(events)))
            assert found["model"] == model
            return found["aliases"]

        await body(event)
        coming.cancel()

    asyncio.run(whole())


@contextmanager
def saying(*answers: tuple[int, Any]) -> Iterator[str]:
    """An MLflow that gives each of these answers once, and then the last of them for ever."""
    left = list(answers)

    class Server(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, said = left.pop(0) if len(left) > 1 else left[0]
            self.send_response(status)
            if said == NOT_GZIP:
                self.send_header("Content-Encoding", "gzip")
            self.end_headers()
            self.wfile.write(said if isinstance(said, bytes) else json.dumps(said).encode())

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Server) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.usefixtures("as_pipeline")
def test_it_fires_when_it_starts_and_whenever_an_alias_moves(
    wine: ModelConfig, mlflow_uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_uri)
    registry, name = Registry(mlflow_uri), wine.model
    client = registry.client
    assert aliases_of(registry, name) == {}
    experiment = client.create_experiment(name)

    async def body(event: Callable[[float], Awaitable[Any]]) -> None:
        assert await event(LONG_S) == {}, "a model that has no version yet has no alias"
        await asyncio.to_thread(client.create_registered_model, name)
        run = await asyncio.to_thread(client.create_run, experiment)
        for _ in range(2):
            source = f"{run.info.artifact_uri}/model"
            await asyncio.to_thread(client.create_model_version, name, source, run_id=run.info.run_id)
        assert await event(PATIENCE_S) is None
        await asyncio.to_thread(client.set_registered_model_alias, name, "champion", "2")
        assert await event(LONG_S) == {"champion": "2"}
        await asyncio.to_thread(client.set_model_version_tag, name, "2", "signoff", "approved")
        assert await event(PATIENCE_S) is None, "a tag is no alias"
        await asyncio.to_thread(client.set_registered_model_alias, name, "stable", "1")
        assert await event(LONG_S) == {"champion": "2", "stable": "1"} == aliases_of(registry, name)
        await asyncio.to_thread(client.delete_registered_model_alias, name, "champion")
        assert await event(LONG_S) == {"stable": "1"}

    watched(name, body)


def test_whatever_mlflow_answers_the_watch_goes_on_and_a_lost_answer_is_no_move(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    one = {"registered_model": {"aliases": [{"alias": "champion", "version": "1"}]}}
    two = {"registered_model": {"aliases": [{"alias": "champion", "version": 2}]}}
    amiss = [(500, b"no"), (403, b"no"), (400, b"no"), (200, b"<html>"), (200, []), (200, {"registered_model": [1]})]
    amiss += [(200, {"registered_model": {"aliases": [{}]}}), (200, NOT_GZIP)]
    with saying(*amiss, (200, one), (503, b"no"), (503, b"no"), (200, one), *amiss, (200, two)) as uri:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)

        async def body(event: Callable[[float], Awaitable[Any]]) -> None:
            assert await event(LONG_S) == {"champion": "1"}
            assert await event(LONG_S) == {"champion": "2"}
            assert await event(PATIENCE_S) is None

        watched("m", body)
    told = [record.getMessage() for record in caplog.records if "are not watched" in record.getMessage()]
    assert len(told) == 2 * len(amiss) + 1, "each problem once, not at every look"


def test_the_triggerer_does_not_import_mlflow_for_it() -> None:
    script = "import sys; from perennial.orchestration.moved import AliasTrigger; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    assert "perennial.registry.rest" in loaded
    assert {"mlflow", "pandas", "sklearn"} & set(loaded) == set()
