"""Starts and stops the local stack: each component in turn, waiting for its health, never for a mere pause."""

import fcntl
import shlex
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import psutil

from perennial.errors import StackError
from stack import postgres
from stack.commands import AIRFLOW_COMPONENTS, commands
from stack.credentials import Credentials, load, load_or_create, write_private
from stack.environment import (
    FIT_POOL,
    accounts_environment,
    airflow_environment,
    migrate_environment,
    mlflow_environment,
    perennial_environment,
)
from stack.health import HealthWatch, mlflow_is_healthy, unhealthy_airflow
from stack.layout import StackLayout, require_free_ports
from stack.leftovers import end_leftovers
from stack.postgres.accounts import Cluster, data_of, find_cluster
from stack.serving.services import ServiceProcess, deaf, serving_environment
from stack.supervision import Supervisor, environment_setting, write_configuration

Progress = Callable[[str], None]

COMPONENTS = {"postgres": ("postgres",), "mlflow": ("mlflow",), "airflow": AIRFLOW_COMPONENTS}

# Removed by name: PERENNIAL_HOME may be a folder that holds other things too.
STATE = ("postgres", "airflow", "mlflow", "logs", "run", "storage", "serving", "credentials.json", "stack.env")

START_WITHIN_S = 240.0
STOP_WITHIN_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class StackStatus:
    """Where the running stack is. The passwords are in ``credentials_file``, never here."""

    airflow_url: str
    mlflow_url: str
    credentials_file: Path
    already_running: bool
    services: tuple[ServiceProcess, ...] = ()


def up(
    layout: StackLayout, *, progress: Progress = lambda _: None, components: tuple[str, ...] = tuple(COMPONENTS)
) -> StackStatus:
    """Start what does not run yet and return when all of it is healthy. Raises StackError naming what failed, and why.

    A failed start stops what this call started; the logs stay.
    """
    layout.prepare()
    with _only_one(layout):
        supervisor = Supervisor(layout)
        running = {name for name, state in supervisor.states().items() if state["statename"] == "RUNNING"}
        if running:  # with the ports and services that it was started with, until it is stopped
            layout = _as_started(layout, progress)
        already = set(_names(layout, components)) <= running
        try:
            if already:
                progress("the stack is already running")
            elif running:
                _start(layout, supervisor, components, progress)
            else:
                _start_anew(layout, supervisor, components, progress)
        except BaseException:
            if not running:
                _stop(layout, progress)
            raise
    site = layout.site()
    return StackStatus(
        airflow_url=site.airflow_public_url,
        mlflow_url=site.mlflow_url,
        credentials_file=layout.credentials_file,
        already_running=already,
        services=layout.services,
    )


def _names(layout: StackLayout, components: tuple[str, ...]) -> tuple[str, ...]:
    """The processes of some components, and those of the services."""
    of_components = (name for component in components for name in COMPONENTS[component])
    return (*of_components, *(service.component for service in layout.services))


def _as_started(layout: StackLayout, progress: Progress) -> StackLayout:
    started = layout.as_started()
    if set(started.served) != set(layout.served):
        was, wanted = (", ".join(models) or "none" for models in (started.served, layout.served))
        progress(f"models served since the start: {was}; wanted now: {wanted}: `perennial down`, then `perennial up`")
    return started


def down(home: Path, *, progress: Progress = lambda _: None) -> list[str]:
    """Stop the stack of a state folder, whatever is left of it; returns what was running. The data stays."""
    layout = StackLayout(home=home)
    if not layout.run.is_dir():
        return []
    with _only_one(layout):
        return _stop(layout, progress)


def purge(home: Path, *, progress: Progress = lambda _: None) -> None:
    """Stop the stack and remove its state and its data, also where an earlier release moved that. Nothing else does."""
    down(home, progress=progress)
    layout = StackLayout(home=home)
    moved = {data_of(layout.postgres).parent} - {layout.postgres}
    for path in (*moved, *(layout.home / name for name in STATE)):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def _start_anew(layout: StackLayout, supervisor: Supervisor, components: tuple[str, ...], progress: Progress) -> None:
    for process in end_leftovers(layout):
        progress(f"ended a leftover of an earlier stack: {process}")
    require_free_ports(layout.ports, components, layout.services)
    credentials = load_or_create(layout.credentials_file, data=layout.postgres / "data")
    place = find_cluster(layout.postgres, credentials.state_id)
    if postgres.initialise(place, credentials.postgres_password):
        progress(f"PostgreSQL initialised in {place.data}")
    layout.remember()
    supervisor.launch(write_configuration(layout, _programs(layout, credentials, place)))
    _start(layout, supervisor, components, progress)


def _start(layout: StackLayout, supervisor: Supervisor, components: tuple[str, ...], progress: Progress) -> None:
    """PostgreSQL first; then the MLflow server while Airflow's database is prepared; then Airflow's four processes, and
    the scoring services.

    Where MLflow has no accounts yet, they come before the processes that would be refused without.
    """
    credentials = load(layout.credentials_file)
    _start_postgres(layout, supervisor, credentials)
    progress("PostgreSQL is up")
    started = datetime.now(UTC)
    if "mlflow" in components:
        supervisor.order("startProcess", "mlflow")
    if "airflow" in components:
        _migrate_airflow(layout, supervisor, credentials, progress)
    accounts = layout.mlflow / "accounts"
    without_accounts = "mlflow" in components and not accounts.exists()
    if without_accounts:
        _open_mlflow(layout, supervisor, progress)
        accounts.touch()
    if "airflow" in components:
        started = datetime.now(UTC)
        for name in AIRFLOW_COMPONENTS:
            supervisor.order("startProcess", name)
    for service in layout.services:
        supervisor.order("startProcess", service.component)
    if "mlflow" in components and not without_accounts:
        _open_mlflow(layout, supervisor, progress)
    if "airflow" in components:
        watch = HealthWatch(layout, supervisor, AIRFLOW_COMPONENTS)
        watch.until(lambda: unhealthy_airflow(layout, started), within_s=START_WITHIN_S)
        progress(f"Airflow is up: {layout.site().airflow_public_url}")
    _await_services(layout, supervisor, progress)
    HealthWatch(layout, supervisor, _names(layout, components)).until_state("RUNNING", within_s=START_WITHIN_S)


def _await_services(layout: StackLayout, supervisor: Supervisor, progress: Progress) -> None:
    """Wait until the scoring services answer; that they have a champion is no condition."""
    watch = HealthWatch(layout, supervisor, tuple(service.component for service in layout.services))
    watch.until(lambda: deaf(layout.services), within_s=START_WITHIN_S)
    for service in layout.services:
        progress(f"{service.model} is served: {service.url}")


def _start_postgres(layout: StackLayout, supervisor: Supervisor, credentials: Credentials) -> None:
    supervisor.order("startProcess", "postgres")
    watch = HealthWatch(layout, supervisor, ("postgres",))
    postgres.wait_until_ready(layout.ports.postgres, credentials.postgres_password, check=watch.check)
    owners = {name: getattr(credentials, f"{name}_db_password") for name in ("perennial", "mlflow", "airflow")}
    postgres.ensure_databases(layout.ports.postgres, credentials.postgres_password, owners)
    postgres.prepare_ledger_owner(layout.ports.postgres, credentials.postgres_password)
    variables = perennial_environment(layout.site(), credentials)
    write_private(layout.env_file, "".join(f"{name}={value}\n" for name, value in variables.items()))


def _open_mlflow(layout: StackLayout, supervisor: Supervisor, progress: Progress) -> None:
    """Wait until MLflow answers, and give its accounts their passwords and rights."""
    watch = HealthWatch(layout, supervisor, ("mlflow",))
    watch.until(lambda: [] if mlflow_is_healthy(layout) else ["mlflow"], within_s=START_WITHIN_S)
    _run_once(layout, supervisor, "mlflow-accounts")
    progress(f"MLflow is up: {layout.site().mlflow_url}")


def _run_once(layout: StackLayout, supervisor: Supervisor, name: str) -> None:
    supervisor.order("startProcess", name)
    HealthWatch(layout, supervisor, (name,)).until_state("EXITED", within_s=START_WITHIN_S)


def _migrate_airflow(layout: StackLayout, supervisor: Supervisor, credentials: Credentials, progress: Progress) -> None:
    """Bring Airflow's database to this version of Airflow; skipped when that was done for this state folder."""
    stamp = layout.airflow / "migrated"
    wanted = f"{version('apache-airflow')} {credentials.state_id} {FIT_POOL}\n"
    if stamp.exists() and stamp.read_text() == wanted:
        return
    progress("preparing Airflow's database")
    _run_once(layout, supervisor, "airflow-migrate")
    stamp.write_text(wanted)


def _programs(layout: StackLayout, credentials: Credentials, place: Cluster) -> dict[str, dict[str, str]]:
    site = layout.site()
    airflow = airflow_environment(site, credentials)
    environments = {
        "mlflow": mlflow_environment(site, credentials),
        "mlflow-accounts": accounts_environment(site, credentials),
        "airflow-migrate": migrate_environment(site, credentials),
        **dict.fromkeys(AIRFLOW_COMPONENTS, airflow),
        **{service.component: serving_environment(site, credentials) for service in layout.services},
    }
    once = {"autorestart": "false", "startsecs": "0"}
    return {
        "postgres": {
            "command": shlex.join(postgres.command_line(place, layout.ports.postgres)),
            "environment": environment_setting({"PGDATA": str(place.data)}),
            "directory": "/",
            "stopsignal": "INT",
            **({"user": place.account.name} if place.account else {}),
        },
        **{
            name: {
                "command": shlex.join([sys.executable, *commands(site)[name][1:]]),
                "environment": environment_setting({"PYTHONUNBUFFERED": "1", **environment}),
                "directory": str(layout.mlflow if name.startswith("mlflow") else layout.airflow),
                **(once if name in ("mlflow-accounts", "airflow-migrate") else {}),
            }
            for name, environment in environments.items()
        },
    }


def _stop(layout: StackLayout, progress: Progress) -> list[str]:
    supervisor = Supervisor(layout)
    stopped: list[str] = []
    if states := supervisor.states():
        pids = {name: state["pid"] for name, state in states.items() if state["pid"]}
        stopped = sorted(pids)
        progress(f"stopping {', '.join(stopped) or 'supervisord'}")
        _stop_programs(supervisor, {name: pid for name, pid in pids.items() if name != "postgres"})
        _stop_programs(supervisor, pids)
        supervisor.shut_down(within_s=STOP_WITHIN_S)
    for process in end_leftovers(layout):
        progress(f"ended a leftover: {process}")
        stopped.append(process)
    layout.env_file.unlink(missing_ok=True)
    return stopped


def _stop_programs(supervisor: Supervisor, pids: dict[str, int]) -> None:
    processes = [process for process in psutil.process_iter() if process.pid in pids.values()]
    for name in pids:
        supervisor.order("stopProcess", name)
    psutil.wait_procs(processes, timeout=STOP_WITHIN_S)


@contextmanager
def _only_one(layout: StackLayout) -> Iterator[None]:
    """Two commands at once on one state folder would start everything twice."""
    with (layout.run / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise StackError(f"another `up` or `down` is at work on {layout.home}: wait until it has ended") from None
        yield
