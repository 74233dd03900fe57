"""MLflow behind a server that passes on what is asked, and loses the files of models on their way."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal

import httpx

Loss = Literal["no answer", "half of it", "503", "404"]


@contextmanager
def losing_files(uri: str, loss: Loss) -> Iterator[str]:
    """The address of the server before the MLflow at ``uri``; no file of a model comes through it."""
    with httpx.Client(base_url=uri, timeout=30) as behind:

        class Lossy(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                asked = {"Authorization": self.headers["Authorization"]} if self.headers["Authorization"] else {}
                answer = behind.get(self.path, headers=asked)
                if "/mlflow-artifacts/artifacts/" not in self.path:
                    self._answer(answer.status_code, answer.content)
                elif loss == "half of it":
                    self._answer(200, answer.content, n_lost=len(answer.content) // 2 + 1)
                elif loss != "no answer":
                    self._answer(int(loss), b"no")
                self.close_connection = True

            def _answer(self, status: int, content: bytes, n_lost: int = 0) -> None:
                self.send_response(status)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content[: len(content) - n_lost])

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        with ThreadingHTTPServer(("127.0.0.1", 0), Lossy) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            yield f"http://127.0.0.1:{server.server_port}"
            server.shutdown()
