"""supervisord: its configuration, its start, and its XML-RPC interface over a unix socket that only we may open."""

import hashlib
import os
import pwd
import stat
import subprocess
import sys
import tempfile
import xmlrpc.client
from collections import deque
from contextlib import suppress
from http.client import HTTPException
from pathlib import Path
from typing import Any

import psutil
from supervisor.xmlrpc import Faults, SupervisorTransport

from perennial.errors import StackError
from stack.credentials import write_private
from stack.layout import StackLayout

# Every process of a stack carries this variable, with the state folder as its value; that is how orphans are found.
MARKER = "PERENNIAL_STACK"

# sun_path has 108 bytes on Linux and 104 on macOS; supervisord first binds "<path>.<process id>".
_SOCKET_PATH_BYTES = 92

_RPC = "supervisor.rpcinterface:make_main_rpcinterface"
_ALL_PROGRAMS = {
    "autostart": "false",
    "autorestart": "true",
    "stopwaitsecs": "20",
    "killasgroup": "true",
    "redirect_stderr": "true",
    "stdout_logfile_maxbytes": "20MB",
    "stdout_logfile_backups": "3",
}


def socket_file(layout: StackLayout) -> Path:
    """supervisord's socket: in the state folder, or in a private short folder where that path would be too long."""
    near = layout.run / "supervisor.sock"
    if len(os.fsencode(near)) <= _SOCKET_PATH_BYTES:
        return near
    digest = hashlib.sha256(str(layout.home).encode()).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"perennial-{os.getuid()}-{digest}" / "supervisor.sock"


def write_configuration(layout: StackLayout, programs: dict[str, dict[str, str]]) -> Path:
    """Write supervisord's configuration: for each program the settings in which it differs from the others.

    The file has mode 0600, since it holds the environment of the programs.
    """
    socket_path = socket_file(layout)
    _private_folder(socket_path.parent)
    sections = {
        "supervisord": {
            "directory": str(layout.home),
            "pidfile": str(pid_file(layout)),
            "logfile": str(layout.log_of("supervisord")),
            "umask": "077",
            "nocleanup": "true",
            # Said aloud, since supervisord warns when root does not name the user that it shall stay.
            **({"user": pwd.getpwuid(0).pw_name} if os.geteuid() == 0 else {}),
        },
        "unix_http_server": {"file": str(socket_path), "chmod": "0600"},
        "rpcinterface:supervisor": {"supervisor.rpcinterface_factory": _RPC},
        **{
            f"program:{name}": {**_ALL_PROGRAMS, "stdout_logfile": str(layout.log_of(name)), **settings}
            for name, settings in programs.items()
        },
    }
    file, text = layout.run / "supervisord.conf", ""
    for section, settings in sections.items():
        text += "\n".join([f"[{section}]", *(_setting(*item) for item in settings.items()), ""])
    write_private(file, text)
    return file


def pid_file(layout: StackLayout) -> Path:
    """Where supervisord writes its process id."""
    return layout.run / "supervisord.pid"


def _setting(name: str, value: str) -> str:
    """One line of supervisord's configuration, which takes comments after a blank and expands per cent signs.

    >>> _setting("directory", "/srv/100%")
    'directory=/srv/100%%'
    """
    if "\n" in value or " ;" in value or " #" in value:
        raise StackError(f"supervisord cannot take {name}={value!r}: move the project to a path without ' ;' and ' #'")
    return f"{name}={value.replace('%', '%%')}"


def environment_setting(variables: dict[str, str]) -> str:
    """supervisord's list of variables. It has no way to escape quotes: raises StackError for a value with one.

    >>> environment_setting({"A": "1,2", "B": "2"})
    'A="1,2",B="2"'
    """
    for name, value in variables.items():
        if '"' in value or value[-1:] == "'" or value[:1] == "'":
            raise StackError(f"supervisord cannot pass {name}, which holds quotes: move the project to another path")
    return ",".join(f'{name}="{value}"' for name, value in variables.items())


def _private_folder(folder: Path) -> None:
    """Create a folder that only we can enter; refuse one that someone else made under that name."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
        raise StackError(f"{folder} does not belong to us: remove it, or set TMPDIR to a folder of your own")
    folder.chmod(0o700)


class Supervisor:
    """The running supervisord of one stack."""

    def __init__(self, layout: StackLayout) -> None:
        self._layout = layout
        self._url = f"unix://{socket_file(layout)}"

    def launch(self, configuration: Path) -> None:
        """Start supervisord, which detaches itself. Raises StackError when it does not answer."""
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        done = subprocess.run(  # noqa: S603  # our own command
            [sys.executable, "-m", "supervisor.supervisord", "-c", str(configuration)],
            env={**environment, MARKER: str(self._layout.home)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        # It listens before it detaches, so that one question is enough.
        if done.returncode != 0 or not self.states():
            log = tail(self._layout.log_of("supervisord"))
            raise StackError(f"supervisord did not start:\n{(done.stdout + done.stderr).strip()}\n{log}")

    def order(self, method: str, name: str) -> None:
        """``startProcess`` or ``stopProcess``, without waiting for the effect; no error when it has it already."""
        try:
            self._call(method, name, False)
        except xmlrpc.client.Fault as fault:
            if fault.faultCode not in (Faults.ALREADY_STARTED, Faults.NOT_RUNNING):
                raise StackError(f"supervisord refuses {method} of {name}: {fault.faultString}") from None

    def states(self) -> dict[str, dict[str, Any]]:
        """What supervisord says about each program, by name: ``statename``, ``pid``, ``exitstatus``, ``spawnerr``.

        Empty when supervisord does not run.
        """
        try:
            return {info["name"]: info for info in self._call("getAllProcessInfo")}
        except (OSError, HTTPException):
            return {}

    def shut_down(self, *, within_s: float) -> None:
        """Have supervisord stop what still runs, and itself; what survives that is a leftover."""
        with suppress(psutil.NoSuchProcess, psutil.TimeoutExpired):
            process = psutil.Process(int(self._call("getPID")))
            self._call("shutdown")
            process.wait(within_s)

    def _call(self, method: str, *arguments: object) -> Any:
        with xmlrpc.client.ServerProxy("http://localhost", SupervisorTransport(None, None, self._url)) as server:
            return getattr(server.supervisor, method)(*arguments)


def tail(log: Path, *, lines: int = 20) -> str:
    """The last lines of a log, for an error message."""
    try:
        with log.open(errors="replace") as stream:
            return "".join(deque(stream, maxlen=lines)).strip()
    except FileNotFoundError:
        return "(there is no such file: the process wrote nothing)"
