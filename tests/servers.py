"""Real servers for tests and benchmarks, each gone with the process that asked for it (see keeper.py)."""

import ipaddress
import json
import os
import random
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import psutil
import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.engine import URL, make_url

import stack
from stack import Ports, StackLayout, postgres
from stack.commands import commands
from stack.credentials import Credentials
from stack.environment import ADMIN, mlflow_environment
from stack.layout import LOOPBACK
from stack.leftovers import find_leftovers
from stack.mlflow_accounts import RIGHTS, make_accounts
from stack.postgres import accounts

KEEPER = Path(__file__).with_name("keeper.py")
ENDS_WITHIN_S = 90
# A crash of the machine would lose the data of a test, and nobody would mind.
NO_SYNC = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off", "shared_buffers": "128MB"}
# Below the ports that the system gives to outgoing connections: one of those may not take it before the server does.
PORTS = range(20_000, 32_000)


def free_port() -> int:
    """A TCP port on loopback that nobody listens on now."""
    while True:
        port = random.SystemRandom().choice(PORTS)  # test runs side by side must not draw the same
        with socket.socket() as probe, suppress(OSError):
            probe.bind((LOOPBACK, port))
            return port


def free_ports() -> Ports:
    """Free ports for a whole stack."""
    return Ports(airflow=free_port(), mlflow=free_port(), postgres=free_port(), serving=free_port())


@contextmanager
def reachable_folder() -> Iterator[Path]:
    """A folder that every account can enter, gone afterwards: pytest's own are closed to the one PostgreSQL runs as."""
    bases = (tempfile.gettempdir(), "/tmp", "/var/tmp")  # noqa: S108  # made by mkdtemp
    folder = Path(tempfile.mkdtemp(prefix="perennial-", dir=next(base for base in bases if _reaches(Path(base)))))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _reaches(folder: Path) -> bool:
    return os.geteuid() != 0 or accounts.unprivileged_account().first_closed(folder.resolve()) is None


@contextmanager
def kept(
    folder: Path, *, log: Path | None = None, environment: dict[str, str] | None = None, **order: object
) -> Iterator[Callable[[], None]]:
    """Have keeper.py carry out the order and at the end remove the folder; yields a check that the server runs."""
    with (log or Path(os.devnull)).open("ab") as output:
        keeper = subprocess.Popen(
            [sys.executable, str(KEEPER), json.dumps({"remove": str(folder), **order})],
            env={**os.environ, **(environment or {})},
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=output,
            cwd="/",
            start_new_session=True,  # an interrupt at the terminal must not end the server before the tests end
        )

    def check() -> None:
        if keeper.poll() is not None:
            ending = log.read_text(errors="replace")[-2000:] if log else "nothing"
            raise RuntimeError(f"a server of the tests ended; its log ends:\n{ending}")

    try:
        yield check
    finally:
        assert keeper.stdin is not None
        keeper.stdin.close()
        keeper.wait(ENDS_WITHIN_S)


@contextmanager
def temporary_postgres(folder: Path, **settings: str) -> Iterator[str]:
    """PostgreSQL below the folder. Yields the URL of its superuser, who may create databases."""
    password = secrets.token_urlsafe(24)
    place = accounts.find_cluster(folder, secrets.token_hex(8))
    postgres.initialise(place, password)
    port = free_port()
    careless = [word for name, value in {**NO_SYNC, **settings}.items() for word in ("-c", f"{name}={value}")]
    user = place.account
    with kept(
        folder,
        log=folder / "postgres.log",
        environment={"PGDATA": str(place.data)},
        command=[*postgres.command_line(place, port), *careless],
        **({"user": user.uid, "group": user.gid, "extra_groups": []} if user else {}),
    ) as check:
        postgres.wait_until_ready(port, password, check=check)
        url = f"postgresql+psycopg2://{postgres.SUPERUSER}:{password}@{LOOPBACK}:{port}/postgres"
        _ease_connecting(url, password)
        yield url


def _ease_connecting(url: str, password: str) -> None:
    """Keep the password under one iteration of its hash in place of 4096: tests connect some ten thousand times."""
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text("SET scram_iterations = 1"))
        connection.execute(text(f"ALTER ROLE {postgres.SUPERUSER} PASSWORD '{password}'"))  # URL-safe, made here
    engine.dispose()


def create_database(server: URL, name: str, template: str = "template1") -> str:
    """The URL of a new database on the server."""
    engine = create_engine(
        server.set(drivername="postgresql+psycopg2", database="postgres"), isolation_level="AUTOCOMMIT"
    )
    with engine.connect() as connection:
        connection.execute(text(f'CREATE DATABASE "{name}" TEMPLATE "{template}"'))
    engine.dispose()
    return server.set(drivername="postgresql+psycopg2", database=name).render_as_string(hide_password=False)


@contextmanager
def temporary_mlflow(server: URL, password: str) -> Iterator[str]:
    """An MLflow server on a database of its own, run as the local stack runs it. Its URI; it may not answer yet.

    Each of its accounts has this password, once :func:`wait_for_mlflow` made them.
    """
    with reachable_folder() as folder:
        layout = StackLayout(home=folder, ports=Ports(mlflow=free_port()))
        site = layout.site()
        database = make_url(create_database(server, f"mlflow_{uuid4().hex[:12]}"))
        where = {"HOST": database.host, "PORT": database.port, "USER": database.username}
        where |= {"PASSWORD": database.password, "DATABASE": database.database}
        with kept(
            folder,
            log=folder / "mlflow.log",
            environment={
                **mlflow_environment(site, Credentials(mlflow_admin_password=password)),
                **{f"PG{name}": str(value) for name, value in where.items()},
                "MLFLOW_BACKEND_STORE_URI": database.render_as_string(hide_password=False),
            },
            command=[sys.executable, *commands(site)["mlflow"][1:]],
        ):
            yield site.mlflow_url


def wait_for_mlflow(uri: str, password: str, *, deadline_s: float = 180) -> None:
    """Wait until the server answers, and see that its accounts are there."""
    end = time.monotonic() + deadline_s
    while time.monotonic() < end:
        with suppress(httpx.TransportError):
            if httpx.get(f"{uri}/health", timeout=2).status_code == httpx.codes.OK:
                make_accounts(uri, dict.fromkeys((ADMIN, *RIGHTS), password))
                return
        time.sleep(0.2)
    raise RuntimeError(f"MLflow at {uri} did not answer within {deadline_s:.0f} s")


@contextmanager
def logged_in(account: str, password: str | None = None) -> Iterator[None]:
    """Within, MLflow is asked as this account, by default with the password that all accounts of the tests have."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("MLFLOW_TRACKING_USERNAME", account)
        if password is not None:
            environment.setenv("MLFLOW_TRACKING_PASSWORD", password)
        yield


@contextmanager
def temporary_stack(name: str = "state") -> Iterator[StackLayout]:
    """The layout of a stack that is not up yet; what is up of it at the end is brought down, and its state removed."""
    with reachable_folder() as folder:
        layout = StackLayout(home=folder / name, ports=free_ports())
        where = {"PERENNIAL_HOME": str(layout.home), "PYTHONPATH": str(layout.project / "include")}
        with kept(folder, environment=where, at_end=[sys.executable, "-m", "stack", "purge"]):
            try:
                yield layout
            finally:
                stack.purge(layout.home)
                shutil.rmtree(folder)  # nothing is left for the keeper to do


def listeners(layout: StackLayout) -> tuple[list[Any], list[Any]]:
    """The addresses that the processes of a running stack really listen on, and those of them beyond loopback."""
    server = postgres.postmaster(layout.postgres / "data")
    processes = [*find_leftovers(layout), *([server] if server else [])]
    sockets = []
    for process in processes:
        with suppress(psutil.NoSuchProcess):  # a short one of Airflow has ended meanwhile
            sockets += process.net_connections("inet")
    listening = [found.laddr for found in sockets if found.status == psutil.CONN_LISTEN]
    return listening, [address for address in listening if not ipaddress.ip_address(address.ip).is_loopback]
