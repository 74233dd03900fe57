"""Processes of a stack that supervisord no longer watches: found, stopped, and waited for."""

import os
import signal
from contextlib import suppress
from pathlib import Path

import psutil

from perennial.errors import StackError, first_of
from stack import postgres
from stack.layout import StackLayout
from stack.postgres.accounts import data_of
from stack.supervision import MARKER, pid_file, socket_file

_WITHIN_S = 10.0
_CLOCK_S = 1.0  # the precision of a file's and of a process's time


def find_leftovers(layout: StackLayout) -> list[psutil.Process]:
    """Live processes that were started as part of this stack, and their children; each with its ``info``.

    They carry the marker in their environment or belong to the session that supervisord opened: the second finds those
    whose environment was overwritten by a process title, as Airflow's and PostgreSQL's are.
    """
    us = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    session = _session(layout)
    processes = psutil.process_iter(["pid", "ppid", "status", "environ", "cmdline"])
    alive = {found.pid: found for found in processes if found.info["status"] != psutil.STATUS_ZOMBIE}
    candidates = {pid: found.info for pid, found in alive.items() if pid not in us}
    ours = {pid for pid, info in candidates.items() if (info["environ"] or {}).get(MARKER) == str(layout.home)}
    for pid in candidates:
        with suppress(OSError):  # gone meanwhile
            ours |= {pid} if os.getsid(pid) == session else set()
    while children := {pid for pid, info in candidates.items() if info["ppid"] in ours} - ours:
        ours |= children
    return [alive[pid] for pid in sorted(ours)]


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


def end_leftovers(layout: StackLayout) -> list[str]:
    """End them all, politely and then by force; returns what was ended. Raises StackError when something survives.

    PostgreSQL comes last and as a whole: a signal to one of its children would make it recover from a crash.
    """
    server = postgres.postmaster(data_of(layout.postgres))
    spared = set() if server is None else {server, *server.children(recursive=True)}
    found = [process for process in find_leftovers(layout) if process not in spared]
    pids = {process.pid for process in found}
    ended = [_describe(process) for process in found if process.info["ppid"] not in pids]
    found.sort(key=lambda process: "supervisord" not in _describe(process))  # first, or it would restart what we end
    for number in (signal.SIGTERM, signal.SIGKILL):
        for process in found:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(number)
        _, found = psutil.wait_procs(found, timeout=_WITHIN_S)
    if server is not None:
        ended.append(f"{server.pid} (postgres)")
        postgres.stop(server)
    survivors = find_leftovers(layout)
    if survivors:
        raise StackError(f"still running after SIGKILL: {first_of(map(_describe, survivors))}; end them by hand")
    for file in (pid_file(layout), socket_file(layout)):
        file.unlink(missing_ok=True)
    return ended


def _describe(process: psutil.Process) -> str:
    # Only the first words: they tell what it is.
    return f"{process.pid} ({' '.join(Path(word).name for word in (process.info['cmdline'] or [])[:4])})"
