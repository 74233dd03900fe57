"""Processes of a stack that supervisord no longer watches: found, stopped, and waited for."""

import os
import signal
from contextlib import suppress
from pathlib import Path

import psutil

from perennial.errors import StackError, first_of
from stack import postgres
from stack.layout import StackLayout
from stack.supervision import MARKER, pid_file, socket_file

_POLITE_S = 10.0
_FORCED_S = 10.0
_CLOCK_S = 1.0  # the precision of a file's and of a process's time


def find_leftovers(layout: StackLayout) -> list[psutil.Process]:
    """Live processes that were started as part of this stack, and their children.

    They carry the marker in their environment or belong to the session that supervisord opened: the second finds those
    whose environment was overwritten by a process title, as Airflow's and PostgreSQL's are.
    """
    us = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    session = _session(layout)
    found: dict[int, psutil.Process] = {}
    for process in psutil.process_iter():
        if process.pid not in us and _belongs(process, layout.home, session):
            found[process.pid] = process
            found.update({child.pid: child for child in _children(process) if child.pid not in us})
    return list(found.values())


def _session(layout: StackLayout) -> int | None:
    """Number of the session that supervisord opened, which outlives supervisord; None when it is surely gone."""
    file = pid_file(layout)
    try:
        number, written = int(file.read_text()), file.stat().st_mtime
    except (OSError, ValueError):
        return None
    if written < psutil.boot_time():
        return None
    try:
        # The system gives the number to a new process only after the last process of the session has ended.
        return number if psutil.Process(number).create_time() <= written + _CLOCK_S else None
    except psutil.NoSuchProcess:
        return number


def _belongs(process: psutil.Process, home: Path, session: int | None) -> bool:
    try:
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        return os.getsid(process.pid) == session or process.environ().get(MARKER) == str(home)
    except (psutil.Error, OSError):  # gone meanwhile, or another user's: not ours
        return False


def _children(process: psutil.Process) -> list[psutil.Process]:
    try:
        return [child for child in process.children(recursive=True) if child.status() != psutil.STATUS_ZOMBIE]
    except psutil.Error:
        return []


def end_leftovers(layout: StackLayout) -> list[str]:
    """End them all, politely and then by force; returns what was ended. Raises StackError when something survives.

    PostgreSQL comes last and as a whole: a signal to one of its children would make it recover from a crash.
    """
    data = layout.postgres / "data"
    server = postgres.postmaster(data)
    spared = set() if server is None else {server.pid, *(child.pid for child in _children(server))}
    found = [process for process in find_leftovers(layout) if process.pid not in spared]
    ended = [_describe(process) for process in _heads(found)]
    _end(found)
    if server is not None:
        ended.append(_describe(server))
        postgres.stop(data)
    survivors = find_leftovers(layout)
    if survivors:
        raise StackError(f"still running after SIGKILL: {first_of(map(_describe, survivors))}; end them by hand")
    for file in (pid_file(layout), socket_file(layout)):
        file.unlink(missing_ok=True)
    return ended


def _heads(processes: list[psutil.Process]) -> list[psutil.Process]:
    """Those which no other of them started."""
    pids = {process.pid for process in processes}
    return [process for process in processes if _parent(process) not in pids]


def _parent(process: psutil.Process) -> int | None:
    try:
        parent: int = process.ppid()
    except psutil.Error:
        return None
    return parent


def _end(processes: list[psutil.Process]) -> None:
    # The watcher first, or it would restart what we end.
    ordered = sorted(processes, key=lambda process: "supervisord" not in _describe(process))
    for process in ordered:
        _signal(process, signal.SIGTERM)
    _, alive = psutil.wait_procs(processes, timeout=_POLITE_S)
    for process in alive:
        _signal(process, signal.SIGKILL)
    psutil.wait_procs(alive, timeout=_FORCED_S)


def _signal(process: psutil.Process, number: signal.Signals) -> None:
    with suppress(psutil.NoSuchProcess):
        process.send_signal(number)


def _describe(process: psutil.Process) -> str:
    try:
        words = process.cmdline()
    except psutil.Error:
        return f"process {process.pid}"
    # Only the first words: they tell what it is.
    return f"{process.pid} ({' '.join(Path(word).name for word in words[:4])})"
