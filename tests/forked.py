"""What a test starts of ours is forked from a process that has imported everything, instead of importing anew.

Fits, parity checks and backtests run in processes of their own, which import for 4 to 7 CPU seconds and work for a
tenth of one. Here such a process is a child of the test as ever, with the descriptors, folder, group and variables that
it was started with and nothing else; what it has in common with others is what was imported, and the seed of ``hash``.
Only the very commands of the product are answered so, and code of tests that begins with ``TAKES_ROWS_IN``; whatever
else a test starts is started. Tests of the start itself ask for the fixture ``fresh_processes``.
"""

import array
import atexit
import ctypes
import inspect
import json
import os
import runpy
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from perennial.orchestration.preload import quiet_great_expectations

ROOT = Path(__file__).parents[1]
INCLUDE = str(ROOT / "include")
WITH_MLFLOW = "perennial.signoff.parity_process"
APART = ("perennial.training.fitting.worker", "perennial.backtest.apart")
TAKES_ROWS_IN = "# forked from a process that has imported what takes rows in\n"
IMPORTED = {
    "fits": (
        *APART,
        "perennial.backtest.command",
        "perennial.registry.models",
        "mlflow.sklearn",
        "perennial.registry.scoring",
        "perennial.training.search.study",
        "sklearn.compose",
        "sklearn.dummy",
        "sklearn.ensemble",
        "sklearn.linear_model",
        "sklearn.pipeline",
        "sklearn.preprocessing",
    ),
    "rows": (
        "perennial.ingest.stage",
        "perennial.validation.audit",
        "perennial.publishing.publish",
        "great_expectations",
        "perennial.cli",
        "perennial.pipeline",
        "perennial.registry",
        "ingesting",
    ),
}
PR_SET_CHILD_SUBREAPER = 36
STARTED = subprocess.Popen  # the real one
_EXECUTE = inspect.signature(STARTED._execute_child)
_lock = threading.Lock()
_servers: dict[str, tuple[subprocess.Popen[bytes], socket.socket]] = {}


def program(command: object, environment: dict[str, str]) -> list[str] | None:
    """Who shall fork it, the module or the code to run, and its arguments; None for what is not ours.

    Nor is a command whose environment holds what Python reads while it starts, other than where the product lies.
    """
    is_bare = not any(name.startswith(("PYTHON", "LD_")) for name in environment if environment[name] != INCLUDE)
    match command:
        case [sys.executable, "-P", "-c", _, include, module, folder] if include == INCLUDE and module in APART:
            return ["fits", module, folder] if is_bare else None
        case [sys.executable, "-m", module] if module == WITH_MLFLOW:
            return ["fits", module] if is_bare else None
        case [sys.executable, "-c", str(code), *arguments] if code.startswith(TAKES_ROWS_IN):
            return ["rows", code, *arguments]
    return None


class Forked(STARTED):  # type: ignore[misc]
    """``subprocess.Popen``, forking where it can."""

    def _execute_child(self, *given: Any) -> None:
        told = _EXECUTE.bind(self, *given).arguments
        environment = dict(told["env"] if told["env"] is not None else os.environ)
        wanted = program(told["args"], environment)
        if wanted is None:
            super()._execute_child(*given)
            return
        outputs = [told[name] if told[name] != -1 else number for name, number in (("c2pwrite", 1), ("errwrite", 2))]
        descriptors = [told["p2cread"] if told["p2cread"] != -1 else 0, *outputs]
        order = {
            "program": wanted[1:],
            "cwd": str(told["cwd"] or Path.cwd()),
            "env": environment,
            "group": told["process_group"],
        }
        self.pid = fork(wanted[0], order, descriptors)
        self._child_created = True
        pipes = ("p2cread", "p2cwrite", "c2pread", "c2pwrite", "errread", "errwrite")
        self._close_pipe_fds(*(told[name] for name in pipes))


def fork(kind: str, order: dict[str, Any], descriptors: list[int]) -> int:
    """Have one forked; its number. It is our child: we adopt what the process between us leaves behind."""
    with _lock:
        server = _serving(kind)
        _adopt(True)
        try:
            message = json.dumps(order).encode()
            rights = array.array("i", descriptors)
            server.sendmsg([message], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])
            return int(server.recv(64))
        finally:
            _adopt(False)


def _adopt(whether: bool) -> None:
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, int(whether), 0, 0, 0)


def _serving(kind: str) -> socket.socket:
    """Our end of the socket to the process that forks; started by whoever asks first, and ended with us."""
    if kind not in _servers:
        ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        process = STARTED(
            [sys.executable, "-P", "-c", _START, INCLUDE, str(Path(__file__).parent), kind, str(its.fileno())],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            env={"PATH": os.defpath, "OMP_NUM_THREADS": "1"},
            cwd="/",
            pass_fds=[its.fileno()],
            start_new_session=True,
        )
        its.close()
        ours.settimeout(180)
        _servers[kind] = (process, ours)
    return _servers[kind][1]


def close() -> None:
    """End the processes that fork; what they forked lives on."""
    for process, ours in _servers.values():
        ours.close()
        process.wait(60)
    _servers.clear()


_START = """
import sys
sys.path[:0] = sys.argv[1:3]
import forked
forked.serve(sys.argv[3], int(sys.argv[4]))
"""


def serve(kind: str, descriptor: int) -> None:
    """Import, and fork for each order until the socket is closed."""
    asked = socket.socket(fileno=descriptor)
    before = set(os.environ)
    quiet_great_expectations()
    for name in IMPORTED[kind]:
        __import__(name)
    by_imports = {name: value for name, value in os.environ.items() if name not in before}
    while True:
        message, descriptors, _, _ = socket.recv_fds(asked, 1 << 20, 3)
        if not message:
            os._exit(0)
        asked.send(str(_fork_twice(json.loads(message), descriptors, asked, by_imports)).encode())
        for received in descriptors:
            os.close(received)


def _fork_twice(order: dict[str, Any], descriptors: list[int], asked: socket.socket, by_imports: dict[str, str]) -> int:
    """The number of a process whose parent is gone."""
    out, into = os.pipe()
    if (between := os.fork()) == 0:
        if (pid := os.fork()) == 0:
            os.close(out)
            os.close(into)
            asked.close()
            _become(order, descriptors, by_imports)
        if order["group"] != -1:
            with suppress(OSError):  # it did so itself, and has ended meanwhile
                os.setpgid(pid, order["group"] or pid)
        os.write(into, str(pid).encode())
        os._exit(0)
    os.close(into)
    os.waitpid(between, 0)
    pid = int(os.read(out, 64))
    os.close(out)
    return pid


def _become(order: dict[str, Any], descriptors: list[int], by_imports: dict[str, str]) -> None:
    """Be the process that was ordered, to its end."""
    code = 1
    try:
        if order["group"] != -1:
            os.setpgid(0, order["group"])
        for number, descriptor in enumerate(descriptors):
            os.dup2(descriptor, number)
            os.close(descriptor)
        os.chdir(order["cwd"])
        module, *arguments = order["program"]
        os.environ.clear()
        os.environ.update({**(by_imports if module == WITH_MLFLOW else {}), **order["env"]})
        time.tzset()
        tempfile.tempdir = None
        np.random.seed()
        _run(module, arguments)
        code = 0
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        _end(code)


def _run(module: str, arguments: list[str]) -> None:
    if module.startswith(TAKES_ROWS_IN):
        sys.argv = ["-c", *arguments]
        exec(module, {"__name__": "__main__"})  # noqa: S102 - code of a test
    elif arguments:
        sys.modules[module].main(*map(Path, arguments))
    else:
        runpy.run_module(module, run_name="__main__")


def _end(code: int) -> None:
    """As an interpreter ends, but for taking every module apart."""
    with suppress(BaseException):
        threading._shutdown()
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)
