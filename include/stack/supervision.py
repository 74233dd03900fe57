"""supervisord: its configuration, its start, and its XML-RPC interface over a unix socket that only we may open."""

import hashlib
import os
import pwd
import stat
import subprocess
import sys
import tempfile
import xmlrpc.client
from http.client import HTTPException
from operator import attrgetter
from pathlib import Path
from typing import Any

from supervisor.xmlrpc import SupervisorTransport

from perennial.errors import StackError
from stack.credentials import write_private
from stack.layout import StackLayout

# Every process of a stack carries this variable, with the state folder as its value; that is how orphans are found.
MARKER = "PERENNIAL_STACK"

# sun_path has 108 bytes on Linux and 104 on macOS; supervisord first binds "<path>.<process id>".
_SOCKET_PATH_BYTES = 92

_ALL_PROGRAMS = {
    "autostart": "false",
    "autorestart": "true",
    "startsecs": "1",
    "startretries": "3",
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
            "logfile_maxbytes": "5MB",
            "logfile_backups": "2",
            "umask": "077",
            "nocleanup": "true",
            # Said aloud, since supervisord warns when root does not name the user that it shall stay.
            **({"user": pwd.getpwuid(0).pw_name} if os.geteuid() == 0 else {}),
        },
        "unix_http_server": {"file": str(socket_path), "chmod": "0600"},
        "rpcinterface:supervisor": {
            "supervisor.rpcinterface_factory": "supervisor.rpcinterface:make_main_rpcinterface"
        },
        **{
            f"program:{name}": {**_ALL_PROGRAMS, "stdout_logfile": str(layout.log_of(name)), **settings}
            for name, settings in programs.items()
        },
    }
    lines = [
        line
        for section, settings in sections.items()
        for line in (f"[{section}]", *(_setting(name, value) for name, value in settings.items()))
    ]
    file = layout.run / "supervisord.conf"
    write_private(file, "\n".join(lines) + "\n")
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

    def answers(self) -> bool:
        """Whether supervisord runs and answers."""
        if not socket_file(self._layout).exists():
            return False
        try:
            self._call("supervisor.getState")
        except (OSError, HTTPException):
            return False
        return True

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
        if done.returncode != 0 or not self.answers():
            log = tail(self._layout.log_of("supervisord"))
            raise StackError(f"supervisord did not start:\n{(done.stdout + done.stderr).strip()}\n{log}")

    def start(self, name: str) -> None:
        """Start a program without waiting for it; no error when it runs already."""
        self._order("startProcess", name, "ALREADY_STARTED")

    def stop(self, name: str) -> None:
        """Ask a program to stop without waiting for it; no error when it does not run."""
        self._order("stopProcess", name, "NOT_RUNNING")

    def _order(self, method: str, name: str, already: str) -> None:
        try:
            self._call(f"supervisor.{method}", name, False)
        except xmlrpc.client.Fault as fault:
            if already not in fault.faultString:
                raise StackError(f"supervisord refuses {method} of {name}: {fault.faultString}") from None

    def states(self) -> dict[str, dict[str, Any]]:
        """What supervisord says about each program, by name: ``statename``, ``pid``, ``exitstatus``, ``spawnerr``."""
        return {info["name"]: info for info in self._call("supervisor.getAllProcessInfo")}

    def pid(self) -> int:
        """Process id of supervisord."""
        return int(self._call("supervisor.getPID"))

    def shut_down(self) -> None:
        """Ask supervisord to stop what still runs, and itself."""
        self._call("supervisor.shutdown")

    def _call(self, method: str, *arguments: object) -> Any:
        with xmlrpc.client.ServerProxy("http://localhost", SupervisorTransport(None, None, self._url)) as server:
            return attrgetter(method)(server)(*arguments)


def tail(log: Path, *, lines: int = 20) -> str:
    """The last lines of a log, for an error message."""
    try:
        with log.open("rb") as stream:
            stream.seek(max(0, log.stat().st_size - 16_384))
            text = stream.read().decode(errors="replace")
    except FileNotFoundError:
        return "(there is no such file: the process wrote nothing)"
    return "\n".join(text.strip().splitlines()[-lines:])
