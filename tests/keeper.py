"""Runs a server for a test and ends it when the test's process is gone, even after ``kill -9``.

That process holds the other end of this one's standard input, which the system closes however the process went. The
order is one JSON argument: the ``command`` of a server and its account, what to run ``at_end`` when the process could
not do that itself, the folder to ``remove``. Standard library only: any interpreter and any account can run it.
"""

import ctypes
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

WITHIN_S = 30
PR_SET_PDEATHSIG = 1


def die_with_parent() -> None:
    """Have the system kill this process when its parent ends. Linux knows how; elsewhere nothing happens."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def end(server: subprocess.Popen[bytes]) -> None:
    """Ask the server's group to stop, and make it."""
    with suppress(ProcessLookupError):
        os.killpg(server.pid, signal.SIGINT)
        try:
            server.wait(WITHIN_S)
        except subprocess.TimeoutExpired:
            os.killpg(server.pid, signal.SIGKILL)


def serve(order: dict[str, Any]) -> bool:
    """Run the order's server until it ends; True when it was asked to."""
    account = {key: order[key] for key in ("user", "group", "extra_groups") if key in order}
    server = subprocess.Popen(order["command"], stdin=subprocess.DEVNULL, start_new_session=True, **account)
    asked = threading.Event()

    def await_end() -> None:
        sys.stdin.buffer.read()
        asked.set()
        end(server)

    threading.Thread(target=await_end, daemon=True).start()
    server.wait()
    with suppress(ProcessLookupError):  # what the server's first process has left behind
        os.killpg(server.pid, signal.SIGKILL)
    return asked.is_set()


def main() -> int:
    """Carry out the order in the first argument; 1 when the server ended by itself, which leaves its log to be read."""
    order = json.loads(sys.argv[1])
    if "command" in order:
        if not serve(order):
            return 1
    else:
        sys.stdin.buffer.read()
    if "at_end" in order and Path(order["remove"]).exists():
        subprocess.run(order["at_end"], stdin=subprocess.DEVNULL, check=False)
    shutil.rmtree(order["remove"], ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
