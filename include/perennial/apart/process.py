"""A process that knows no secret, is ended when its time is over, and outlives nobody."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Protocol

import perennial
from perennial.apart import forking
from perennial.apart.environment import clean_environment

PRINTED = "fit.txt"
_START = """
import sys
from importlib import import_module
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import_module(sys.argv[2]).main(Path(sys.argv[3]))
"""
_LOG_TAIL = 800
_LOOK_EVERY_S = 1.0
_GRACE_S = 60


class Running(Protocol):
    """What :class:`subprocess.Popen` and :class:`~perennial.apart.forking.Forked` have in common."""

    pid: int
    stdin: IO[bytes] | None

    def wait(self, timeout: float | None = None) -> int:
        """The exit code, minus a signal's number. Raises subprocess.TimeoutExpired after ``timeout`` seconds."""


def run_apart(module: str, folder: Path, timeout_s: float, *, watch: Callable[[], None] | None = None) -> int | None:
    """Have ``module.main(folder)`` run; the exit code, or None when the time ran out and it was ended.

    ``watch`` is called every second meanwhile; what it raises ends the process.

    Its home is ``folder``, what it prints is ``folder/fit.txt``, and of the environment it knows nothing that could
    hold a secret. A main that calls :func:`end_with_the_parent` outlives nobody. Where a process that forks was started
    (:func:`perennial.apart.forking.start`) it is forked from that, else started anew: the same process, imports apart.
    """
    with (folder / PRINTED).open("wb") as log:
        process: Running = forking.fork(module, folder, log) or _started(module, folder, log)
        try:
            return _wait(process, timeout_s, watch)
        except subprocess.TimeoutExpired:
            return None
        finally:
            # the whole group: a recipe may have started processes of its own
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            if process.stdin:
                process.stdin.close()


def _started(module: str, folder: Path, log: IO[bytes]) -> "subprocess.Popen[bytes]":
    include = Path(perennial.__file__).parents[1]
    return subprocess.Popen(  # noqa: S603 - our own interpreter and code
        [sys.executable, "-P", "-c", _START, str(include), module, str(folder)],
        stdin=subprocess.PIPE,
        stdout=log,
        stderr=log,
        cwd=folder,
        env={**clean_environment(), "HOME": str(folder), "TMPDIR": str(folder)},
        process_group=0,
    )


def _wait(process: Running, timeout_s: float, watch: Callable[[], None] | None) -> int:
    """The exit code. Raises subprocess.TimeoutExpired."""
    if watch is None:
        return process.wait(timeout_s)
    until = time.monotonic() + timeout_s
    while True:
        try:
            return process.wait(min(_LOOK_EVERY_S, max(until - time.monotonic(), 0.0)))
        except subprocess.TimeoutExpired:
            if time.monotonic() >= until:
                raise
            watch()


def how_it_ended(code: int, folder: Path) -> str:
    """That a process ended before its work was done, how, and the end of what it printed."""
    printed = (folder / PRINTED).read_text(encoding="utf-8", errors="replace")
    return f"the process ended with {_ending(code)}; it printed: {printed[-_LOG_TAIL:]}"


def _ending(code: int) -> str:
    return f"signal {signal.Signals(-code).name} (out of memory?)" if code < 0 else f"exit code {code}"


def end_with_the_parent(timeout_s: float) -> None:
    """Leave no orphan: end when the parent's end of stdin closes, and at the latest a while after the timeout.

    The alarm keeps its default action, which also ends a fit that never comes back from C.
    """
    signal.setitimer(signal.ITIMER_REAL, timeout_s + _GRACE_S)

    def watch() -> None:
        with contextlib.suppress(OSError):
            # not through sys.stdin: its lock, held by a daemon thread, aborts the interpreter when it ends
            while os.read(0, 1):
                pass
        os.killpg(os.getpgid(0), signal.SIGKILL)

    threading.Thread(target=watch, daemon=True).start()
