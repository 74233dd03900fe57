"""PostgreSQL from its wheel: initialise, start, stop; on loopback TCP, every connection with a password."""

import os
import signal
import tempfile
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

import psutil
import psycopg2
from psycopg2 import extensions, sql

from perennial.errors import StackError
from perennial.settings import ROOT
from stack.commands import INITDB_OPTIONS, postgres_command
from stack.layout import LOOPBACK
from stack.postgres.accounts import Cluster, run

SUPERUSER = "postgres"
LEDGER_OWNER = ROOT / "include" / "perennial" / "store" / "ledger_owner.sql"
START_WITHIN_S = 60.0
STOP_WITHIN_S = 30.0


def command_line(place: Cluster, port: int) -> list[str]:
    """The command that runs the server in the foreground; set PGDATA to ``place.data`` for it."""
    program, *arguments = postgres_command(LOOPBACK, port, "")
    return [str(place.programs / program), *arguments]


def initialise(place: Cluster, password: str) -> bool:
    """Create the data directory with its superuser; False when it is there already. Raises StackError with the output.

    The work is done in a new folder beside it, which is renamed when complete: a broken-off attempt is never served.
    """
    if (place.data / "PG_VERSION").exists():
        return False
    if place.data.is_dir() and any(place.data.iterdir()):
        raise StackError(f"{place.data} is not empty and holds no database: restore it, or move it out of the way")
    draft = Path(tempfile.mkdtemp(dir=place.data.parent, prefix="data.initialising-"))
    if place.account is not None:
        os.chown(draft, place.account.uid, place.account.gid)
    try:
        _initdb(place, draft, password)
    except StackError:
        with suppress(OSError):  # initdb has emptied it
            draft.rmdir()
        raise
    draft.rename(place.data)
    return True


def _initdb(place: Cluster, target: Path, password: str) -> None:
    options = [f"--username={SUPERUSER}", "--pwfile=/dev/stdin", *INITDB_OPTIONS]
    reading, writing = os.pipe()
    try:
        if place.account is not None:  # /dev/stdin is opened anew, which only the owner of the pipe may do
            os.fchown(reading, place.account.uid, place.account.gid)
        os.write(writing, f"{password}\n".encode())
        os.close(writing)
        done = run([str(place.programs / "initdb"), "-D", str(target), *options], place.account, stdin=reading)
    finally:
        os.close(reading)
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
                role = sql.Identifier(name)
                # Hashed here, so that no statement in the server's log can ever hold the password.
                verifier = extensions.encrypt_password(secret, name, scope=connection, algorithm="scram-sha-256")
                cursor.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (name,))
                verb = sql.SQL("ALTER" if cursor.fetchone() else "CREATE")
                cursor.execute(sql.SQL("{} ROLE {} LOGIN PASSWORD %s").format(verb, role), (verifier,))
                cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,))
                if cursor.fetchone() is None:
                    cursor.execute(sql.SQL("CREATE DATABASE {0} OWNER {0}").format(role))
                    cursor.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(role))


def prepare_ledger_owner(port: int, password: str, database: str = "perennial") -> None:
    """Let the role that migrates a database give its ledger to one that nobody can log in as (ledger_owner.sql)."""
    with closing(_connect(port, password, database)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(LEDGER_OWNER.read_text(encoding="utf-8"))


def _connect(port: int, password: str, database: str = "postgres") -> extensions.connection:
    return psycopg2.connect(
        host=LOOPBACK, port=port, user=SUPERUSER, password=password, dbname=database, connect_timeout=5
    )


def postmaster(data: Path) -> psutil.Process | None:
    """The running server of a data directory, found by its pid file; a stale file is told from a live server."""
    try:
        lines = (data / "postmaster.pid").read_text().splitlines()
        process = psutil.Process(int(lines[0]))
        started_at = float(lines[2])
        # The file holds the server's start in whole seconds; a process that took over the number started later.
        same = process.name().startswith("postgres") and abs(process.create_time() - started_at) < 60  # noqa: PLR2004
        same = same and process.uids().effective == data.stat().st_uid
    except (OSError, ValueError, IndexError, psutil.Error):
        return None
    return process if same else None


def stop(server: psutil.Process) -> None:
    """Stop a running server, whoever started it."""
    with suppress(psutil.NoSuchProcess):
        server.send_signal(signal.SIGINT)  # "fast": open transactions are rolled back
        if psutil.wait_procs([server], timeout=STOP_WITHIN_S)[1]:
            server.kill()
            server.wait(STOP_WITHIN_S)
