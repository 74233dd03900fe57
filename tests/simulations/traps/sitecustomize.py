"""The traps of ``airflow_kills.py``: Python imports this at its start wherever this folder is on its path.

In Airflow's scheduler, from which tasks are forked, it wraps each statement to the store (``COMMIT`` and ``ROLLBACK``
too) and each request to MLflow. A task for which an order lies in the folder ``RELEASE_TRAPS`` counts them from the
moment when it asks for the lock of a release, writes down which they are, and at one of them does what the order says:
once, whatever Airflow does then.
"""

import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

FOLDER = "RELEASE_TRAPS"
LOCK = "perennial:release:"


class Trap:
    """What this process is to meet, and the statements and requests that it counts."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file: Path | None = None
        self.order: dict[str, Any] = {}
        self.pid = 0
        self.n = 0
        self.counting = threading.Lock()  # files of a model come in several threads
        self.backends: set[int] = set()

    def look_for_order(self) -> None:
        """Whether one lies there for the task that this process runs; asked once a process."""
        if self.pid == os.getpid():
            return
        self.pid, self.n, self.file, self.order = os.getpid(), 0, None, {}
        from airflow.sdk import get_current_context

        with suppress(RuntimeError, FileNotFoundError):  # no task, or nothing is ordered for it
            ti = get_current_context()["ti"]
            file = self.folder / f"{ti.dag_id}.{ti.task_id}.json"
            self.order = json.loads(file.read_text(encoding="utf-8"))
            self.file = file

    @contextmanager
    def around(self, what: str) -> Iterator[None]:
        """One statement or request: the trap springs before it, or after its effect and before its answer is known."""
        mine = False
        if self.file is not None and self.pid == os.getpid():
            with self.counting, self.file.with_suffix(".passed").open("a", encoding="utf-8") as passed:
                self.n += 1
                passed.write(f"{what}\n")
                mine = self.n == self.order["at"]
        if mine and not self.order["after"]:
            self.spring(what)
        yield
        if mine and self.order["after"]:
            self.spring(what)

    def spring(self, what: str) -> None:
        """Once: the order is gone before anything happens."""
        assert self.file is not None
        self.file.with_suffix(".sprung").write_text(what, encoding="utf-8")
        self.file.unlink()
        self.file = None
        {"task": kill, "worker": kill_worker, "database": self.lose_connections, "mlflow": lose_answer}[
            self.order["kind"]
        ](what, self.order["after"])

    def lose_connections(self, what: str, after: bool) -> None:
        """Every connection of this process to the store is ended by the server, the one with the lock among them."""
        import psycopg2
        from sqlalchemy.engine import make_url

        url = make_url(os.environ["PERENNIAL_DATABASE_URL"]).set(drivername="postgresql")
        with psycopg2.connect(url.render_as_string(hide_password=False)) as other, other.cursor() as cursor:
            cursor.execute(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE pid = ANY(%s)",
                (list(self.backends),),
            )
        other.close()
        if after and what.partition(" ")[0] not in ("MLflow", "ROLLBACK"):
            raise psycopg2.OperationalError("server closed the connection unexpectedly")


def kill(_: str, __: bool) -> None:
    """The process of the task; the worker that watches over it tells Airflow."""
    os.kill(os.getpid(), signal.SIGKILL)


def kill_worker(_: str, __: bool) -> None:
    """The worker too: nobody is left to tell, and Airflow has to find out."""
    os.kill(os.getppid(), signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)


def lose_answer(_: str, __: bool) -> None:
    """The request was not sent, or its answer is lost, and the client has given up."""
    import requests

    raise requests.ConnectionError("Connection aborted.", ConnectionResetError(104, "Connection reset by peer"))


def set_traps(trap: Trap) -> None:
    """Wrap what speaks to the store and to MLflow."""
    import requests
    from sqlalchemy.dialects.postgresql.psycopg2 import PGDialect_psycopg2 as Dialect

    def wrapped(name: str, word: str | None, connection_of: Callable[[Any], Any]) -> None:
        real = getattr(Dialect, name)

        def call(self: Any, to: Any, *given: Any, **named: Any) -> Any:
            connection = connection_of(to)
            if connection.info.dbname != "perennial":
                return real(self, to, *given, **named)
            if LOCK in str(given[1:2]):
                trap.look_for_order()
            trap.backends.add(connection.info.backend_pid)
            what = word or " ".join(str(given[0]).split())[:70]
            with trap.around(what):
                return real(self, to, *given, **named)

        setattr(Dialect, name, call)

    for name in ("do_execute", "do_executemany"):
        wrapped(name, None, lambda cursor: cursor.connection)
    for name, word in (("do_commit", "COMMIT"), ("do_rollback", "ROLLBACK")):
        wrapped(name, word, lambda pooled: pooled.dbapi_connection)
    real = requests.adapters.HTTPAdapter.send

    def send(self: Any, request: Any, *given: Any, **named: Any) -> Any:
        if not str(request.url).startswith(os.environ["MLFLOW_TRACKING_URI"]):
            return real(self, request, *given, **named)
        path = request.path_url.partition("?")[0].removeprefix("/api/2.0/")
        with trap.around(f"MLflow {request.method} {path}"[:70]):
            return real(self, request, *given, **named)

    requests.adapters.HTTPAdapter.send = send  # type: ignore[method-assign]


if FOLDER in os.environ and sys.orig_argv[1:4] == ["-m", "airflow", "scheduler"]:
    set_traps(Trap(Path(os.environ[FOLDER])))
