"""PostgreSQL from its wheel: initialise, start, stop; on loopback TCP, every connection with a password."""

import os
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psutil
import psycopg2
from psycopg2 import extensions, sql

from perennial.errors import StackError
from stack.accounts import Place, find_place, moved_folder
from stack.commands import INITDB_OPTIONS, postgres_command
from stack.credentials import write_private
from stack.layout import LOOPBACK, free_port

SUPERUSER = "postgres"
START_WITHIN_S = 60.0
STOP_WITHIN_S = 30.0

# Only for tests: a crash of the machine would lose their data, and nobody would mind.
_NO_SYNC = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off", "shared_buffers": "128MB"}


def command_line(place: Place, port: int, settings: dict[str, str] | None = None) -> list[str]:
    """The command that runs the server in the foreground; set PGDATA to ``place.data`` for it."""
    program, *arguments = postgres_command(LOOPBACK, port, "", settings)
    return [str(place.programs / program), *arguments]


def initialise(place: Place, password: str, *, durable: bool = True) -> bool:
    """Create the data directory with its superuser; False when it is there already. Raises StackError with the output.

    The work is done beside the data directory and renamed when complete, so that a broken-off attempt leaves nothing.
    """
    if (place.data / "PG_VERSION").exists():
        return False
    draft = place.data.with_name("data.initialising")
    password_file = place.data.with_name("password.initialising")
    shutil.rmtree(draft, ignore_errors=True)
    try:
        write_private(password_file, password)
        if place.account is not None:
            os.chown(password_file, place.account.uid, place.account.gid)
        _initdb(place, draft, password_file, ["--no-sync"] if not durable else [])
    finally:
        password_file.unlink(missing_ok=True)
    draft.rename(place.data)
    return True


def _initdb(place: Place, target: Path, password_file: Path, extra: list[str]) -> None:
    options = [f"--username={SUPERUSER}", f"--pwfile={password_file}", *INITDB_OPTIONS, *extra]
    command = [str(place.programs / "initdb"), "-D", str(target), *options]
    if place.account is not None:
        done = place.account.run(command)
    else:
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603  # our own command
    if done.returncode != 0:
        output = "\n".join((done.stdout + done.stderr).strip().splitlines()[-10:])
        raise StackError(f"PostgreSQL could not be initialised in {target} (exit status {done.returncode}):\n{output}")


def wait_until_ready(port: int, password: str, *, check: Callable[[], None], within_s: float = START_WITHIN_S) -> None:
    """Wait until the server accepts a connection; ``check`` raises when its process has died meanwhile."""
    end = time.monotonic() + within_s
    refusal = "no attempt was made"
    while time.monotonic() < end:
        check()
        try:
            _connect(port, password).close()
        except psycopg2.OperationalError as error:
            refusal = " ".join(str(error).split())
            if "password authentication failed" in refusal:
                raise StackError(
                    f"PostgreSQL on port {port} refuses the password in credentials.json, which therefore belongs to "
                    "other data: restore the file, or `make clean` and start anew"
                ) from None
            time.sleep(0.05)
        else:
            return
    raise StackError(f"PostgreSQL on port {port} did not accept connections within {within_s:.0f} s: {refusal}")


def ensure_databases(port: int, password: str, owners: dict[str, str]) -> None:
    """Give each role of ``owners`` (name to password) a database of the same name that no other role may enter."""
    with closing(_connect(port, password)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            for name, secret in owners.items():
                _ensure_role(connection, cursor, name, secret)
                _ensure_database(cursor, name)


def _ensure_role(connection: extensions.connection, cursor: extensions.cursor, name: str, secret: str) -> None:
    # Hashed here, so that no statement in the server's log can ever hold the password.
    verifier = extensions.encrypt_password(secret, name, scope=connection, algorithm="scram-sha-256")
    cursor.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (name,))
    verb = sql.SQL("ALTER") if cursor.fetchone() else sql.SQL("CREATE")
    cursor.execute(sql.SQL("{} ROLE {} LOGIN PASSWORD %s").format(verb, sql.Identifier(name)), (verifier,))


def _ensure_database(cursor: extensions.cursor, name: str) -> None:
    cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,))
    if cursor.fetchone() is None:
        cursor.execute(sql.SQL("CREATE DATABASE {0} OWNER {0}").format(sql.Identifier(name)))
        cursor.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(sql.Identifier(name)))


def _connect(port: int, password: str, dbname: str = "postgres") -> extensions.connection:
    connection: extensions.connection = psycopg2.connect(
        host=LOOPBACK, port=port, user=SUPERUSER, password=password, dbname=dbname, connect_timeout=5
    )
    return connection


def postmaster(data: Path) -> psutil.Process | None:
    """The running server of a data directory, found by its pid file; a stale file is told from a live server."""
    try:
        lines = (data / "postmaster.pid").read_text().splitlines()
        process = psutil.Process(int(lines[0]))
        started_at = float(lines[2])
        # The file holds the server's start in whole seconds; a process that took over the number started later.
        same = process.name().startswith("postgres") and abs(process.create_time() - started_at) < 60  # noqa: PLR2004
    except (OSError, ValueError, IndexError, psutil.Error):
        return None
    return process if same else None


def stop(data: Path, *, within_s: float = STOP_WITHIN_S) -> bool:
    """Stop the server of a data directory, whoever started it; False when none runs."""
    process = postmaster(data)
    if process is None:
        return False
    children = process.children(recursive=True)
    process.send_signal(signal.SIGINT)  # "fast": open transactions are rolled back
    _, alive = psutil.wait_procs([process], timeout=within_s)
    if alive:
        process.kill()
        psutil.wait_procs([process, *children], timeout=within_s)
    return True


@contextmanager
def temporary_postgres(folder: Path) -> Iterator[str]:
    """A server for tests on a free port, gone afterwards. Yields the URL of its superuser, who may create databases."""
    password = secrets.token_urlsafe(24)
    place = find_place(folder, secrets.token_hex(8), progress=lambda _: None)
    initialise(place, password, durable=False)
    port = free_port()
    log = folder / "postgres.log"
    with log.open("wb") as output:
        server = subprocess.Popen(  # noqa: S603  # our own command
            command_line(place, port, _NO_SYNC),
            env={**os.environ, "PGDATA": str(place.data)},
            user=place.account.uid if place.account else None,
            group=place.account.gid if place.account else None,
            extra_groups=[] if place.account else None,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd="/",
            start_new_session=True,  # an interrupt at the terminal must not end the server before the tests end
        )
        try:
            wait_until_ready(port, password, check=lambda: _require_alive(server, log))
            yield f"postgresql+psycopg2://{SUPERUSER}:{password}@{LOOPBACK}:{port}/postgres"
        finally:
            _stop_child(server)
            remove_data(folder)


def _require_alive(server: subprocess.Popen[bytes], log: Path) -> None:
    if server.poll() is not None:
        ending = "\n".join(log.read_text(errors="replace").splitlines()[-10:])
        raise StackError(f"PostgreSQL ended with status {server.returncode}; {log} ends:\n{ending}")


def _stop_child(server: subprocess.Popen[bytes]) -> None:
    server.send_signal(signal.SIGINT)
    try:
        server.wait(STOP_WITHIN_S)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()


def remove_data(folder: Path) -> None:
    """Remove the data of the server that belongs to the folder, also where it had to move outside."""
    moved = moved_folder(folder)
    if moved is not None:
        shutil.rmtree(moved, ignore_errors=True)
        (folder / "data").unlink()
    shutil.rmtree(folder / "data", ignore_errors=True)
