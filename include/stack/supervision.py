"""supervisord: its configuration, its start, and its XML-RPC interface over a unix socket that only we may open."""

import os
import pwd
import shlex
import stat
import subprocess
import sys
import tempfile
import time
import xmlrpc.client
from dataclasses import dataclass
from http.client import HTTPException
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
_START_WITHIN_S = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """One supervised process."""

    name: str
    command: list[str]
    environment: dict[str, str]
    directory: Path
    user: str | None = None
    stop_signal: str = "TERM"
    stop_within_s: int = 20
    one_shot: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessState:
    """What supervisord says about a program."""

    name: str
    state: str
    pid: int
    exit_status: int
    spawn_error: str


def socket_file(layout: StackLayout) -> Path:
    """supervisord's socket: in the state folder, or in a private short folder where that path would be too long."""
    near = layout.run / "supervisor.sock"
    if len(os.fsencode(near)) <= _SOCKET_PATH_BYTES:
        return near
    return Path(tempfile.gettempdir()) / f"perennial-{os.getuid()}-{layout.digest}" / "supervisor.sock"


def write_configuration(layout: StackLayout, programs: list[Program]) -> Path:
    """Write supervisord's configuration (mode 0600: it holds the environment of the programs)."""
    socket_path = socket_file(layout)
    _private_folder(socket_path.parent)
    head = [
        "[supervisord]",
        _setting("directory", str(layout.home)),
        _setting("pidfile", str(pid_file(layout))),
        _setting("logfile", str(layout.log_of("supervisord"))),
        "logfile_maxbytes=5MB",
        "logfile_backups=2",
        "umask=077",
        "nocleanup=true",
        # Said aloud, since supervisord warns when root does not name the user that it shall stay.
        *([_setting("user", pwd.getpwuid(0).pw_name)] if os.geteuid() == 0 else []),
        "[unix_http_server]",
        _setting("file", str(socket_path)),
        "chmod=0600",
        "[rpcinterface:supervisor]",
        "supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface",
    ]
    file = layout.run / "supervisord.conf"
    lines = [*head, *(line for program in programs for line in _section(layout, program))]
    write_private(file, "\n".join(lines) + "\n")
    return file


def pid_file(layout: StackLayout) -> Path:
    """Where supervisord writes its process id."""
    return layout.run / "supervisord.pid"


def _section(layout: StackLayout, program: Program) -> list[str]:
    return [
        f"[program:{program.name}]",
        _setting("command", shlex.join(program.command)),
        _setting("directory", str(program.directory)),
        _setting("environment", _environment(program.environment)),
        *([f"user={program.user}"] if program.user else []),
        "autostart=false",
        f"autorestart={'false' if program.one_shot else 'true'}",
        f"startsecs={0 if program.one_shot else 1}",
        "startretries=3",
        f"stopsignal={program.stop_signal}",
        f"stopwaitsecs={program.stop_within_s}",
        "killasgroup=true",
        "redirect_stderr=true",
        _setting("stdout_logfile", str(layout.log_of(program.name))),
        "stdout_logfile_maxbytes=20MB",
        "stdout_logfile_backups=3",
    ]


def _setting(name: str, value: str) -> str:
    """One line of supervisord's configuration, which takes comments after a blank and expands per cent signs.

    >>> _setting("directory", "/srv/100%")
    'directory=/srv/100%%'
    """
    if "\n" in value or " ;" in value or " #" in value:
        raise StackError(f"supervisord cannot take {name}={value!r}: move the project to a path without ' ;' and ' #'")
    return f"{name}={value.replace('%', '%%')}"


def _environment(variables: dict[str, str]) -> str:
    """supervisord's list of variables. It knows quotes but no way to escape them.

    >>> _environment({"A": "1,2", "B": "it's"})
    'A="1,2",B="it\\'s"'
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
        """Start supervisord, which detaches itself, and wait until it answers."""
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        done = subprocess.run(  # noqa: S603  # our own command
            [sys.executable, "-m", "supervisor.supervisord", "-c", str(configuration)],
            env={**environment, MARKER: str(self._layout.home)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise StackError(f"supervisord did not start:\n{(done.stdout + done.stderr).strip()}")
        end = time.monotonic() + _START_WITHIN_S
        while not self.answers():
            if time.monotonic() > end:
                log = self._layout.log_of("supervisord")
                raise StackError(f"supervisord did not answer within {_START_WITHIN_S:.0f} s; {log} ends:\n{tail(log)}")
            time.sleep(0.05)

    def start(self, name: str) -> None:
        """Start a program without waiting for it; no error when it runs already."""
        try:
            self._call("supervisor.startProcess", name, False)
        except xmlrpc.client.Fault as fault:
            if "ALREADY_STARTED" not in fault.faultString:
                raise StackError(f"{name} could not be started: {fault.faultString}") from None

    def stop(self, name: str) -> None:
        """Ask a program to stop without waiting for it; no error when it does not run."""
        try:
            self._call("supervisor.stopProcess", name, False)
        except xmlrpc.client.Fault as fault:
            if "NOT_RUNNING" not in fault.faultString and "BAD_NAME" not in fault.faultString:
                raise StackError(f"{name} could not be stopped: {fault.faultString}") from None

    def states(self) -> dict[str, ProcessState]:
        """All programs by name."""
        found: list[dict[str, Any]] = self._call("supervisor.getAllProcessInfo")
        return {
            info["name"]: ProcessState(
                name=info["name"],
                state=info["statename"],
                pid=info["pid"],
                exit_status=info["exitstatus"],
                spawn_error=info["spawnerr"],
            )
            for info in found
        }

    def pid(self) -> int:
        """Process id of supervisord."""
        return int(self._call("supervisor.getPID"))

    def shut_down(self) -> None:
        """Ask supervisord to stop what still runs, and itself."""
        self._call("supervisor.shutdown")

    def _call(self, method: str, *arguments: object) -> Any:
        with xmlrpc.client.ServerProxy("http://localhost", SupervisorTransport(None, None, self._url)) as server:
            target: Any = server
            for part in method.split("."):
                target = getattr(target, part)
            return target(*arguments)


def tail(log: Path, *, lines: int = 20) -> str:
    """The last lines of a log, for an error message."""
    try:
        with log.open("rb") as stream:
            stream.seek(max(0, log.stat().st_size - 16_384))
            text = stream.read().decode(errors="replace")
    except FileNotFoundError:
        return "(there is no such file: the process wrote nothing)"
    return "\n".join(text.strip().splitlines()[-lines:])
