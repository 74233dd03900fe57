"""A process that has imported what recipes need, and forks for each that asks.

Started anew, a probe imports for some three CPU seconds and works for a tenth of that. The process that forks is
started from a clean environment, by Airflow's scheduler before its workers: they and their tasks, forked from it, hold
the one line that leads there. It only imports: a library whose threads run at a fork can hang in the child
(:mod:`perennial.orchestration.preload` says which do). It ends with the scheduler.
"""

import contextlib
import gc
import json
import logging
import os
import select
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import IO, NoReturn

import perennial
from perennial.apart.environment import clean_environment

_log = logging.getLogger(__name__)

_START = "import sys; sys.path.insert(0, sys.argv[1]); from perennial.apart.forking import serve; serve(*sys.argv[2:])"
_MESSAGE = 1 << 16
_LOOK_EVERY_S = 1.0
_IDLE_S = 60.0
"""Before it imports unasked."""
_READY_S = 120.0
"""How long one waits until the process has imported everything, on a slow disk."""


@dataclass(slots=True)
class Forked:
    """A process forked for this one: as :class:`subprocess.Popen`, as far as it is used."""

    pid: int
    stdin: IO[bytes] | None
    _line: socket.socket
    _code: int | None = field(default=None)

    def wait(self, timeout: float | None = None) -> int:
        """The exit code; that of a kill when the process that forked it is gone. Raises subprocess.TimeoutExpired."""
        if self._code is None:
            self._line.settimeout(None if timeout is None else max(timeout, 0.001))
            try:
                answer = self._line.recv(_MESSAGE)
            except TimeoutError:
                raise subprocess.TimeoutExpired(f"process {self.pid}", timeout or 0.0) from None
            self._line.close()
            self._code = -signal.SIGKILL
            if answer:
                self._code, cpu_s, peak_kb = json.loads(answer)
                _used.cpu_s += cpu_s
                _used.peak_kb = max(_used.peak_kb, peak_kb)
        return self._code


@dataclass(slots=True)
class Used:
    """What processes cost, as ``RUSAGE_CHILDREN`` counts it: CPU seconds, and the most memory of one, in KiB."""

    cpu_s: float = 0.0
    peak_kb: int = 0


_used = Used()


@dataclass(frozen=True, slots=True)
class _Server:
    process: "subprocess.Popen[bytes]"
    line: socket.socket


_started: list[_Server] = []
"""At most one, known to this process and to those that are forked from it later."""


def start(modules: Sequence[str]) -> None:
    """Start the process that forks, which imports ``modules``; once for this process and those forked from it.

    What asks before all is imported waits for it. A module that can not be imported ends it, and every process is
    started anew.
    """
    if _started:
        return
    ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    include = str(Path(perennial.__file__).parents[1])
    with its:
        process = subprocess.Popen(  # noqa: S603 - our own interpreter and code
            [sys.executable, "-P", "-c", _START, include, str(os.getpid()), str(its.fileno()), *modules],
            stdin=subprocess.DEVNULL,
            env=clean_environment(),
            cwd="/",
            pass_fds=[its.fileno()],
            process_group=0,
        )
    _started.append(_Server(process, ours))


def stop() -> None:
    """End the process that forks, where this process started it; what it has forked loses its exit code."""
    while _started:
        server = _started.pop()
        server.line.close()
        server.process.kill()
        server.process.wait()


def fork(module: str, folder: Path, log: IO[bytes]) -> Forked | None:
    """Have ``module.main(folder)`` run in a process that has the imports; None where nothing forks, or no longer."""
    if not _started:
        return None
    theirs, stdin = os.pipe()
    ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    message = json.dumps({"module": module, "folder": str(folder)}).encode()
    try:
        with its:
            socket.send_fds(_started[0].line, [message], [its.fileno(), theirs, log.fileno()])
        ours.settimeout(_READY_S)
        pid = int(ours.recv(_MESSAGE))
    except (OSError, ValueError) as error:
        _log.warning("the process that forks does not answer (%r): started anew, a few seconds slower", error)
        os.close(stdin)
        ours.close()
        return None
    finally:
        os.close(theirs)
    return Forked(pid, os.fdopen(stdin, "wb", buffering=0), ours)


def used() -> Used:
    """What was forked for this process, and has ended, has cost; the system counts it for another."""
    return _used


def serve(parent: str, descriptor: str, *modules: str) -> None:
    """Import ``modules``, then fork for each that asks, as long as the process that started this one lives.

    Imported is when somebody asks, or after a while: who starts this process has much to do then.
    """
    until = time.monotonic() + _IDLE_S
    while os.getppid() == int(parent) and time.monotonic() < until:
        if select.select([int(descriptor)], [], [], _LOOK_EVERY_S)[0]:
            break
    for name in modules:
        import_module(name)
    sys.stdout.flush()
    gc.freeze()  # what was imported is not written to again, and so stays shared with what is forked
    with socket.socket(fileno=int(descriptor)) as asked, selectors.DefaultSelector() as selector:
        selector.register(asked, selectors.EVENT_READ)
        while os.getppid() == int(parent):
            for key, _ in selector.select(_LOOK_EVERY_S):
                if key.fileobj is not asked:
                    _tell_the_end(selector, key)
                elif not _answer(asked, selector):
                    return


def _answer(asked: socket.socket, selector: selectors.BaseSelector) -> bool:
    """Fork for who asks next, and watch its end; False when there is nobody left who could ask."""
    message, descriptors, _, _ = socket.recv_fds(asked, _MESSAGE, 3)
    if not message:
        return False
    teller, stdin, log = descriptors
    wanted = json.loads(message)
    if (pid := os.fork()) == 0:
        _become(wanted["module"], Path(wanted["folder"]), stdin, log)
    with contextlib.suppress(OSError):  # it did so itself, or has ended
        os.setpgid(pid, pid)
    os.close(stdin)
    os.close(log)
    line = socket.socket(fileno=teller)
    selector.register(os.pidfd_open(pid), selectors.EVENT_READ, (pid, line))
    try:
        line.send(str(pid).encode())
    except OSError:  # who asked is gone
        os.kill(pid, signal.SIGKILL)
    return True


def _tell_the_end(selector: selectors.BaseSelector, key: selectors.SelectorKey) -> None:
    pid, line = key.data
    selector.unregister(key.fileobj)
    os.close(key.fd)
    _, status, usage = os.wait4(pid, 0)
    ended = os.waitstatus_to_exitcode(status), usage.ru_utime + usage.ru_stime, usage.ru_maxrss
    with line, contextlib.suppress(OSError):  # who asked is gone
        line.send(json.dumps(ended).encode())


def _become(module: str, folder: Path, stdin: int, log: int) -> NoReturn:
    """Be the process that was asked for, to its end, with no descriptor but its own three."""
    code = 1
    try:
        os.setpgid(0, 0)
        for number, descriptor in enumerate((stdin, log, log)):
            os.dup2(descriptor, number)
        os.closerange(3, os.sysconf("SC_OPEN_MAX"))
        os.chdir(folder)
        os.environ.update({"HOME": str(folder), "TMPDIR": str(folder)})
        tempfile.tempdir = None
        import_module(module).main(folder)
        code = 0
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
        if code and not isinstance(error.code, int):
            sys.stderr.write(f"{error.code}\n")
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(BaseException):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)
