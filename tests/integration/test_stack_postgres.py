"""PostgreSQL from its wheel, as root and as an ordinary user: where its data is, and that nothing takes it away."""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg2
import pytest

import stack
from perennial.errors import StackError
from servers import reachable_folder, temporary_postgres, temporary_stack
from stack import StackLayout, postgres
from stack.layout import LOOPBACK, PROJECT
from stack.postgres import accounts
from stack.postgres.accounts import find_cluster

pytestmark = pytest.mark.xdist_group("stack")  # each starts servers of its own

SECRETS = ("p1", "p2")
ONLY_POSTGRES = ("postgres",)

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root has to give PostgreSQL to another user")


@pytest.fixture
def open_folder() -> Iterator[Path]:
    with reachable_folder() as folder:
        yield folder


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The URL of a server's superuser, for tests that only ask it."""
    with reachable_folder() as folder, temporary_postgres(folder) as url:
        yield url


@pytest.fixture
def layout() -> Iterator[StackLayout]:
    with temporary_stack() as made:
        yield made


def _plain(url: str) -> str:
    return url.replace("+psycopg2", "")


def _data(url: str) -> Path:
    """The data directory that the server itself names."""
    with closing(psycopg2.connect(_plain(url))) as connection, connection.cursor() as cursor:
        cursor.execute("SHOW data_directory")
        row = cursor.fetchone()
        assert row is not None
        return Path(row[0])


def _run_sql(layout: StackLayout, statement: str) -> list[tuple[object, ...]]:
    password = stack.credentials.load(layout.credentials_file).perennial_db_password
    where = {"host": LOOPBACK, "port": layout.ports.postgres, "user": "perennial", "dbname": "perennial"}
    with closing(psycopg2.connect(password=password, **where)) as connection, connection.cursor() as cursor:
        cursor.execute(statement)
        connection.commit()
        return cursor.fetchall() if cursor.description else []


def _up_with_a_ledger(layout: StackLayout) -> None:
    """Bring PostgreSQL up once, put a row into it, and stop it."""
    stack.up(layout, components=ONLY_POSTGRES)
    _run_sql(layout, "CREATE TABLE ledger AS SELECT 42 AS entry")
    stack.down(layout.home)


def _serves_the_ledger(layout: StackLayout) -> bool:
    stack.up(layout, components=ONLY_POSTGRES)
    return _run_sql(layout, "SELECT entry FROM ledger") == [(42,)]


def _files(folder: Path) -> dict[Path, int]:
    return {path: path.lstat().st_size for path in folder.rglob("*")}


def test_temporary_server_answers_and_is_gone_afterwards(open_folder: Path) -> None:
    with temporary_postgres(open_folder) as url:
        assert _data(url).stat().st_uid != 0
        assert postgres.postmaster(open_folder / "data") is not None
    assert not (open_folder / "data").exists()
    with pytest.raises(psycopg2.OperationalError):
        psycopg2.connect(_plain(url))


def test_no_connection_without_the_password(server: str) -> None:
    wrong = _plain(server).replace("postgres:", "postgres:x", 1)
    with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
        psycopg2.connect(wrong)


@as_root
def test_folder_closed_to_the_account_is_refused_and_nothing_is_made(open_folder: Path) -> None:
    closed = open_folder / "closed"
    closed.mkdir(mode=0o700)
    layout = StackLayout(home=closed / "state")
    moved_before = sorted(accounts.SHARED.glob("*")) if accounts.SHARED.exists() else []
    with pytest.raises(StackError, match=rf"cannot enter {closed} on the way.*`chmod o\+x {closed}`.*PERENNIAL_HOME"):
        stack.up(layout, components=ONLY_POSTGRES)
    assert list(layout.postgres.iterdir()) == []
    assert moved_before == (sorted(accounts.SHARED.glob("*")) if accounts.SHARED.exists() else [])
    closed.chmod(0o701)
    assert find_cluster(layout.postgres, "id").data == layout.postgres / "data"


@as_root
def test_the_first_closed_folder_is_the_outermost(open_folder: Path) -> None:
    deep = open_folder / "a" / "b"
    deep.mkdir(parents=True)
    account = accounts.unprivileged_account()
    assert account.first_closed(deep) is None
    deep.chmod(0o700)
    assert account.first_closed(deep) == deep
    deep.parent.chmod(0o700)
    assert account.first_closed(deep) == deep.parent


def test_lost_credentials_never_cost_the_data(layout: StackLayout) -> None:
    _up_with_a_ledger(layout)
    kept = layout.credentials_file.rename(layout.home / "kept.json")
    before = _files(layout.postgres)
    with pytest.raises(StackError, match=r"credentials\.json is gone.*restore the file.*[Nn]othing\s+was\s+deleted"):
        stack.up(layout, components=ONLY_POSTGRES)
    assert not layout.credentials_file.exists()
    assert _files(layout.postgres) == before
    kept.rename(layout.credentials_file)
    assert _serves_the_ledger(layout)


def test_other_credentials_never_cost_the_data(layout: StackLayout) -> None:
    _up_with_a_ledger(layout)
    kept = layout.credentials_file.read_text()
    stack.credentials.write_private(layout.credentials_file, kept.replace('_password": "', '_password": "x'))
    with pytest.raises(StackError, match=r"refuses the password in credentials\.json"):
        stack.up(layout, components=ONLY_POSTGRES)
    stack.credentials.write_private(layout.credentials_file, kept)
    assert _serves_the_ledger(layout)


def _as_an_earlier_release_moved_it(layout: StackLayout, monkeypatch: pytest.MonkeyPatch, shared: Path) -> Path:
    """Move the data as releases before 0006 did: below ``shared``, in a folder that the account owns, behind a link."""
    monkeypatch.setattr(accounts, "SHARED", shared)
    shared.mkdir(mode=0o755)
    moved = shared / hashlib.sha256(str(layout.postgres).encode()).hexdigest()[:16]
    moved.mkdir(mode=0o755)
    account = accounts.unprivileged_account()
    os.chown(moved, account.uid, account.gid)
    state_id = stack.credentials.load(layout.credentials_file).state_id
    (moved / "owner.json").write_text(json.dumps({"state": str(layout.postgres), "state_id": state_id}))
    (layout.postgres / "data").rename(moved / "data")
    (layout.postgres / "data").symlink_to(moved / "data")
    return moved


@as_root
def test_data_that_an_earlier_release_moved_is_still_served(
    layout: StackLayout, open_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _up_with_a_ledger(layout)
    moved = _as_an_earlier_release_moved_it(layout, monkeypatch, open_folder / "shared")
    layout.home.chmod(0o700)  # that was the reason to move it
    assert _serves_the_ledger(layout)
    assert (layout.postgres / "data").is_symlink()
    assert moved.stat().st_uid == 0
    stack.down(layout.home)
    owner = (moved / "owner.json").read_text()
    for other in ({"state": "/elsewhere"}, {"state_id": "another"}):
        (moved / "owner.json").write_text(json.dumps({**json.loads(owner), **other}))
        with pytest.raises(StackError, match="Nothing was followed or deleted"):
            stack.up(layout, components=ONLY_POSTGRES)
    (moved / "owner.json").write_text(owner)
    assert _serves_the_ledger(layout)
    stack.purge(layout.home)
    assert not moved.exists()


@as_root
@pytest.mark.parametrize("planter", [65534, 0], ids=["by the account", "to another place"])
def test_planted_link_is_refused_and_its_target_left_alone(
    layout: StackLayout, open_folder: Path, planter: int
) -> None:
    target = open_folder / "target"
    target.mkdir()
    (target / "precious").write_text("root's")
    layout.prepare()
    stack.credentials.load_or_create(layout.credentials_file, data=layout.postgres / "data")
    os.chown(layout.postgres, 65534, 65534)  # as an earlier release left it
    (layout.postgres / "data").symlink_to(target)
    os.chown(layout.postgres / "data", planter, planter, follow_symlinks=False)
    for attempt in (lambda: stack.up(layout, components=ONLY_POSTGRES), lambda: stack.purge(layout.home)):
        with pytest.raises(StackError, match="root follows none but its own"):
            attempt()
    assert (target / "precious").read_text() == "root's"
    assert target.stat().st_uid == 0
    assert [path.name for path in target.iterdir()] == ["precious"]
    (layout.postgres / "data").unlink()
    stack.up(layout, components=ONLY_POSTGRES)
    assert layout.postgres.stat().st_uid == 0


@as_root
def test_data_of_another_user_is_refused_by_the_server_and_left_as_it_is(layout: StackLayout) -> None:
    _up_with_a_ledger(layout)
    data, owner = layout.postgres / "data", (layout.postgres / "data").stat().st_uid
    os.chown(data, 1, 1)
    with pytest.raises(StackError, match=r"(?s)postgres ended.*(wrong ownership|[Pp]ermission denied)"):
        stack.up(layout, components=ONLY_POSTGRES)
    os.chown(data, owner, owner)
    assert _serves_the_ledger(layout)


def test_folder_with_files_that_are_no_database_is_left_alone(open_folder: Path) -> None:
    place = find_cluster(open_folder, "id")
    (open_folder / "data").mkdir()
    (open_folder / "data" / "precious").touch()
    with pytest.raises(StackError, match="is not empty and holds no database"):
        postgres.initialise(place, "p")
    assert (open_folder / "data" / "precious").exists()


@as_root
def test_programs_closed_to_the_account_are_copied(monkeypatch: pytest.MonkeyPatch, open_folder: Path) -> None:
    """As for a clone under /root: the interpreter's own folder is closed."""
    wheel = accounts.wheel_programs()
    closed = open_folder / "closed"
    closed.mkdir(mode=0o700)
    (closed / accounts.WHEEL).symlink_to(wheel.parents[1])
    (closed / f"{accounts.WHEEL}.libs").symlink_to(wheel.parents[1].with_name(f"{accounts.WHEEL}.libs"))
    monkeypatch.setattr(accounts, "wheel_programs", lambda: closed / accounts.WHEEL / accounts.INSTALLATION / "bin")
    shared, state = open_folder / "shared", open_folder / "state"
    state.mkdir(mode=0o755)
    monkeypatch.setattr(accounts, "SHARED", shared)
    with temporary_postgres(state) as url:
        assert _data(url) == state / "data"
    (copied,) = shared.iterdir()
    mine = [path.lstat() for path in (shared, copied, *copied.rglob("*"))]
    assert {found.st_uid for found in mine} == {0}
    assert not [found for found in mine if found.st_mode & 0o022]
    shared.chmod(0o777)
    state.mkdir()
    with pytest.raises(StackError, match="only root may change"):
        find_cluster(state, "id")


def _interpreter_for_all() -> Path | None:
    """An interpreter of this version that another user may start; the one that runs the tests may lie under /root."""
    anyone = accounts.unprivileged_account()
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    candidates = (Path(sys.executable).resolve(), Path("/usr/bin") / version)
    return next((found for found in candidates if found.exists() and anyone.can_run(found)), None)


@as_root
def test_an_ordinary_user_runs_the_server_himself(open_folder: Path) -> None:
    os.chown(open_folder, 65534, -1)
    code = (
        "import sys; from pathlib import Path; from servers import temporary_postgres\n"
        "with temporary_postgres(Path(sys.argv[1])) as url: print((Path(sys.argv[1]) / 'data').stat().st_uid)"
    )
    interpreter = _interpreter_for_all()
    if interpreter is None or accounts.unprivileged_account().first_closed(PROJECT):
        pytest.skip("every interpreter of this version, or the project itself, is closed to other users")
    command = [str(interpreter), "-c", code, str(open_folder)]
    code_folders = [str(PROJECT / "include"), str(PROJECT / "tests"), *filter(None, sys.path)]
    done = subprocess.run(
        command,
        user=65534,
        group=65534,
        extra_groups=[],
        cwd="/",
        env={"PYTHONPATH": os.pathsep.join(code_folders)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout.strip()) == (0, "65534"), done.stderr


def test_databases_are_separate_and_repeatable(server: str) -> None:
    password = server.split(":")[2].split("@", maxsplit=1)[0]
    port = int(server.rsplit(":", 1)[1].split("/", maxsplit=1)[0])
    for _ in range(2):
        postgres.ensure_databases(port, password, {"one": SECRETS[0], "two": SECRETS[1]})
    psycopg2.connect(host=LOOPBACK, port=port, user="one", password=SECRETS[0], dbname="one").close()
    with pytest.raises(psycopg2.OperationalError, match="permission denied"):
        psycopg2.connect(host=LOOPBACK, port=port, user="one", password=SECRETS[0], dbname="two")


def test_password_that_does_not_fit_the_data_is_named(server: str) -> None:
    port = int(server.rsplit(":", 1)[1].split("/", maxsplit=1)[0])
    with pytest.raises(StackError, match=r"refuses the password in credentials\.json"):
        postgres.wait_until_ready(port, "wrong", check=lambda: None)


def test_broken_off_initialisation_is_never_served_nor_in_the_way(open_folder: Path) -> None:
    place = find_cluster(open_folder, "id")
    half = open_folder / "data.initialising-half"
    half.mkdir()
    assert postgres.initialise(place, "p")
    assert not postgres.initialise(place, "p")
    assert sorted(open_folder.iterdir()) == [place.data, half]


def test_failed_initialisation_says_what_initdb_said_and_leaves_no_folder(
    open_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres, "INITDB_OPTIONS", ("--encoding=nonsense",))
    with pytest.raises(StackError, match=r"(?s)could not be initialised.*nonsense"):
        postgres.initialise(find_cluster(open_folder, "id"), "p")
    assert list(open_folder.iterdir()) == []
