"""PostgreSQL from its wheel, as root and as an ordinary user, also where its account cannot reach the state folder."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg2
import pytest

from perennial.errors import StackError
from stack import accounts, postgres
from stack.accounts import find_place, moved_folder
from stack.layout import LOOPBACK, PROJECT

SECRETS = ("p1", "p2")

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root has to give PostgreSQL to another user")


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user can reach; pytest's own are closed to others."""
    with tempfile.TemporaryDirectory(prefix="perennial-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


def _plain(url: str) -> str:
    return url.replace("+psycopg2", "")


def _owner(url: str) -> int:
    """The uid that the server's data belongs to."""
    with closing(psycopg2.connect(_plain(url))) as connection, connection.cursor() as cursor:
        cursor.execute("SHOW data_directory")
        row = cursor.fetchone()
        assert row is not None
        return Path(row[0]).stat().st_uid


def test_temporary_server_answers_and_is_gone_afterwards(open_folder: Path) -> None:
    with postgres.temporary_postgres(open_folder) as url:
        assert _owner(url) != 0
        assert postgres.postmaster(open_folder / "data") is not None
    assert not (open_folder / "data").exists()
    with pytest.raises(psycopg2.OperationalError):
        psycopg2.connect(_plain(url))


def test_no_connection_without_the_password(open_folder: Path) -> None:
    with postgres.temporary_postgres(open_folder) as url:
        wrong = _plain(url).replace("postgres:", "postgres:x", 1)
        with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
            psycopg2.connect(wrong)


@as_root
def test_folder_closed_to_the_account_moves_the_data_and_says_so(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    said: list[str] = []
    place = find_place(closed, "id", progress=said.append)
    try:
        moved = moved_folder(closed)
        assert moved is not None
        assert place.data == moved / "data"
        assert "cannot reach" in said[0]
        assert str(moved) in said[0]
        assert find_place(closed, "id", progress=said.append) == place
        assert len(said) == 1
    finally:
        postgres.remove_data(closed)
    assert not moved.exists()


@as_root
def test_what_a_removed_state_folder_left_outside_is_not_taken_over(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    first = find_place(closed, "first", progress=lambda _: None)
    first.data.mkdir()
    (closed / "data").unlink()
    said: list[str] = []
    second = find_place(closed, "second", progress=said.append)
    assert second.data == first.data
    assert not second.data.exists()
    assert any("no longer exists" in line for line in said)
    postgres.remove_data(closed)


@as_root
def test_programs_closed_to_the_account_are_copied(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As for a clone under /root: the interpreter's own folder is closed."""
    wheel = accounts.wheel_programs()
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    (closed / accounts.WHEEL).symlink_to(wheel.parents[1])
    (closed / f"{accounts.WHEEL}.libs").symlink_to(wheel.parents[1].with_name(f"{accounts.WHEEL}.libs"))
    monkeypatch.setattr(accounts, "wheel_programs", lambda: closed / accounts.WHEEL / accounts.INSTALLATION / "bin")
    with tempfile.TemporaryDirectory(prefix="perennial-") as shared:
        Path(shared).chmod(0o755)
        monkeypatch.setattr(accounts, "SHARED", Path(shared))
        with postgres.temporary_postgres(closed) as url:
            assert _owner(url) != 0
        assert list(Path(shared).glob("postgresql-*"))


def _interpreter_for_all() -> Path | None:
    """An interpreter of this version that another user may start; the one that runs the tests may lie under /root."""
    anyone = accounts.Account(name="nobody", uid=65534, gid=65534)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    candidates = (Path(sys.executable).resolve(), Path("/usr/bin") / version)
    return next((found for found in candidates if found.exists() and anyone.can_run(found)), None)


@as_root
def test_an_ordinary_user_runs_the_server_himself(open_folder: Path) -> None:
    os.chown(open_folder, 65534, -1)
    code = (
        "import sys; from pathlib import Path; from stack.postgres import temporary_postgres\n"
        "with temporary_postgres(Path(sys.argv[1])) as url: print((Path(sys.argv[1]) / 'data').stat().st_uid)"
    )
    interpreter = _interpreter_for_all()
    if interpreter is None:
        pytest.skip("every interpreter of this version is closed to other users")
    command = [str(interpreter), "-c", code, str(open_folder)]
    environment = {"PYTHONPATH": os.pathsep.join([str(PROJECT / "include"), *filter(None, sys.path)])}
    done = subprocess.run(
        command,
        user=65534,
        group=65534,
        extra_groups=[],
        cwd="/",
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout.strip()) == (0, "65534"), done.stderr


def test_databases_are_separate_and_repeatable(open_folder: Path) -> None:
    with postgres.temporary_postgres(open_folder) as url:
        password = url.split(":")[2].split("@")[0]
        port = int(url.rsplit(":", 1)[1].split("/")[0])
        for _ in range(2):
            postgres.ensure_databases(port, password, {"one": SECRETS[0], "two": SECRETS[1]})
        psycopg2.connect(host=LOOPBACK, port=port, user="one", password=SECRETS[0], dbname="one").close()
        with pytest.raises(psycopg2.OperationalError, match="permission denied"):
            psycopg2.connect(host=LOOPBACK, port=port, user="one", password=SECRETS[0], dbname="two")


def test_password_that_does_not_fit_the_data_is_named(open_folder: Path) -> None:
    with postgres.temporary_postgres(open_folder) as url:
        port = int(url.rsplit(":", 1)[1].split("/")[0])
        with pytest.raises(StackError, match=r"refuses the password in credentials\.json"):
            postgres.wait_until_ready(port, "wrong", check=lambda: None)


def test_broken_off_initialisation_leaves_nothing_in_the_way(open_folder: Path) -> None:
    place = find_place(open_folder, "id", progress=lambda _: None)
    (open_folder / "data.initialising").mkdir()
    (open_folder / "data.initialising" / "half").touch()
    assert postgres.initialise(place, "p", durable=False)
    assert not postgres.initialise(place, "p", durable=False)
    assert not (open_folder / "data.initialising").exists()
    assert not (open_folder / "password.initialising").exists()
