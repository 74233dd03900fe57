"""Starts and stops the local stack: each component in turn, waiting for its health, never for a mere pause."""

import fcntl
import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

import psutil

from perennial.errors import StackError
from stack import postgres
from stack.accounts import Place, find_place
from stack.commands import AIRFLOW_COMPONENTS, commands
from stack.credentials import Credentials, load_or_create, write_private
from stack.environment import (
    airflow_environment,
    migrate_environment,
    mlflow_environment,
    perennial_environment,
)
from stack.health import Watch, mlflow_is_healthy, now, unhealthy_airflow
from stack.layout import Ports, StackLayout, require_free_ports
from stack.leftovers import end_leftovers
from stack.supervision import Program, Supervisor, write_configuration

Progress = Callable[[str], None]

COMPONENTS = ("postgres", "mlflow", "airflow")
_PROGRAMS = {"postgres": ("postgres",), "mlflow": ("mlflow",), "airflow": AIRFLOW_COMPONENTS}

MLFLOW_WITHIN_S = 180.0
MIGRATE_WITHIN_S = 240.0
AIRFLOW_WITHIN_S = 180.0
START_WITHIN_S = 30.0
STOP_WITHIN_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class StackStatus:
    """Where the running stack is. The passwords are in ``credentials_file``, never here."""

    airflow_url: str
    mlflow_url: str
    postgres_address: str
    credentials_file: Path
    home: Path
    components: tuple[str, ...]
    already_running: bool
    seconds: float


def up(
    layout: StackLayout, *, progress: Progress = lambda _: None, components: tuple[str, ...] = COMPONENTS
) -> StackStatus:
    """Start what does not run yet and return when all of it is healthy. Raises StackError naming what failed, and why.

    A failed start stops what this call started; the logs stay.
    """
    began = time.monotonic()
    layout.prepare()
    with _only_one(layout):
        supervisor = Supervisor(layout)
        running = _running(supervisor)
        wanted = {name for component in components for name in _PROGRAMS[component]}
        if wanted <= running:
            progress("the stack is already running")
            return _status(_recorded(layout), components, True, began)
        try:
            if running:
                layout = _recorded(layout)
                _start(layout, supervisor, components, progress)
            else:
                _start_from_nothing(layout, supervisor, components, progress)
        except BaseException:
            if not running:
                _stop(layout, progress)
            raise
    return _status(layout, components, False, began)


def down(home: Path, *, progress: Progress = lambda _: None) -> list[str]:
    """Stop the stack of a state folder, whatever is left of it; returns what was running. The data stays."""
    layout = StackLayout(home=home)
    if not layout.run.is_dir():
        return []
    with _only_one(layout):
        return _stop(layout, progress)


def purge(home: Path, *, progress: Progress = lambda _: None) -> None:
    """Stop the stack and remove its PostgreSQL data, also where it lies outside the state folder."""
    down(home, progress=progress)
    postgres.remove_data(StackLayout(home=home).postgres)


def _start_from_nothing(
    layout: StackLayout, supervisor: Supervisor, components: tuple[str, ...], progress: Progress
) -> None:
    for process in end_leftovers(layout):
        progress(f"ended a leftover of an earlier stack: {process}")
    require_free_ports(layout.ports, components)
    credentials = load_or_create(layout.credentials_file)
    place = find_place(layout.postgres, credentials.state_id, progress=progress)
    if postgres.initialise(place, credentials.postgres_password):
        progress(f"PostgreSQL initialised in {place.data}")
    write_private(layout.run / "ports.json", json.dumps(asdict(layout.ports)))
    supervisor.launch(write_configuration(layout, _programs(layout, credentials, place)))
    _start(layout, supervisor, components, progress)


def _start(layout: StackLayout, supervisor: Supervisor, components: tuple[str, ...], progress: Progress) -> None:
    """PostgreSQL first; then the MLflow server while Airflow's database is prepared; then Airflow's four processes."""
    credentials = load_or_create(layout.credentials_file)
    _start_postgres(layout, supervisor, credentials)
    progress("PostgreSQL is up")
    _write_env_file(layout, credentials)
    started = now()
    if "mlflow" in components:
        supervisor.start("mlflow")
    if "airflow" in components:
        _migrate_airflow(layout, supervisor, credentials, progress)
        started = now()
        for name in AIRFLOW_COMPONENTS:
            supervisor.start(name)
    if "mlflow" in components:
        watch = Watch(layout, supervisor, ("mlflow",))
        watch.until(lambda: [] if mlflow_is_healthy(layout) else ["mlflow"], within_s=MLFLOW_WITHIN_S)
        progress(f"MLflow is up: {layout.site().mlflow_url}")
    if "airflow" in components:
        watch = Watch(layout, supervisor, AIRFLOW_COMPONENTS)
        watch.until(lambda: unhealthy_airflow(layout, started), within_s=AIRFLOW_WITHIN_S)
        progress(f"Airflow is up: {layout.site().airflow_public_url}")
    started_names = tuple(name for component in components for name in _PROGRAMS[component])
    Watch(layout, supervisor, started_names).until_running(within_s=START_WITHIN_S)


def _start_postgres(layout: StackLayout, supervisor: Supervisor, credentials: Credentials) -> None:
    supervisor.start("postgres")
    watch = Watch(layout, supervisor, ("postgres",))
    postgres.wait_until_ready(layout.ports.postgres, credentials.postgres_password, check=watch.check)
    owners = {
        "perennial": credentials.perennial_db_password,
        "mlflow": credentials.mlflow_db_password,
        "airflow": credentials.airflow_db_password,
    }
    postgres.ensure_databases(layout.ports.postgres, credentials.postgres_password, owners)


def _migrate_airflow(layout: StackLayout, supervisor: Supervisor, credentials: Credentials, progress: Progress) -> None:
    """Bring Airflow's database to this version of Airflow; skipped when that was done for this state folder."""
    stamp = layout.airflow / "migrated"
    wanted = f"{version('apache-airflow')} {credentials.state_id}\n"
    if stamp.exists() and stamp.read_text() == wanted:
        return
    progress("preparing Airflow's database")
    supervisor.start("airflow-migrate")
    Watch(layout, supervisor, ()).until_done("airflow-migrate", within_s=MIGRATE_WITHIN_S)
    stamp.write_text(wanted)


def _programs(layout: StackLayout, credentials: Credentials, place: Place) -> list[Program]:
    site = layout.site()
    table = commands(site)
    airflow = airflow_environment(site, credentials)
    environments = {
        "mlflow": mlflow_environment(site, credentials),
        "airflow-migrate": migrate_environment(site, credentials),
        **dict.fromkeys(AIRFLOW_COMPONENTS, airflow),
    }
    return [
        Program(
            name="postgres",
            command=postgres.command_line(place, layout.ports.postgres),
            environment={"PGDATA": str(place.data)},
            directory=Path("/"),
            user=place.account.name if place.account else None,
            stop_signal="INT",
        ),
        *(
            Program(
                name=name,
                command=[sys.executable, *table[name][1:]],
                environment={"PYTHONUNBUFFERED": "1", **environment},
                directory=layout.mlflow if name == "mlflow" else layout.airflow,
                one_shot=name == "airflow-migrate",
            )
            for name, environment in environments.items()
        ),
    ]


def _write_env_file(layout: StackLayout, credentials: Credentials) -> None:
    variables = perennial_environment(layout.site(), credentials)
    write_private(layout.env_file, "".join(f"{name}={value}\n" for name, value in variables.items()))


def _running(supervisor: Supervisor) -> set[str]:
    if not supervisor.answers():
        return set()
    return {name for name, state in supervisor.states().items() if state.state == "RUNNING"}


def _recorded(layout: StackLayout) -> StackLayout:
    """The layout that the running stack was started with: its ports stay what they are until it is stopped."""
    ports = Ports(**json.loads((layout.run / "ports.json").read_text()))
    return StackLayout(home=layout.home, project=layout.project, ports=ports)


def _status(layout: StackLayout, components: tuple[str, ...], already: bool, began: float) -> StackStatus:
    site = layout.site()
    return StackStatus(
        airflow_url=site.airflow_public_url,
        mlflow_url=site.mlflow_url,
        postgres_address=f"{site.postgres_address}:{site.postgres_port}",
        credentials_file=layout.credentials_file,
        home=layout.home,
        components=components,
        already_running=already,
        seconds=time.monotonic() - began,
    )


def _stop(layout: StackLayout, progress: Progress) -> list[str]:
    supervisor = Supervisor(layout)
    stopped: list[str] = []
    if supervisor.answers():
        stopped = sorted(name for name, state in supervisor.states().items() if state.pid)
        progress(f"stopping {', '.join(stopped) or 'supervisord'}")
        _stop_programs(supervisor, [name for name in supervisor.states() if name != "postgres"])
        _stop_programs(supervisor, ["postgres"])
        _stop_supervisor(supervisor)
    for process in end_leftovers(layout):
        progress(f"ended a leftover: {process}")
        stopped.append(process)
    layout.env_file.unlink(missing_ok=True)
    return stopped


def _stop_programs(supervisor: Supervisor, names: list[str]) -> None:
    for name in names:
        supervisor.stop(name)
    end = time.monotonic() + STOP_WITHIN_S
    while any(state.pid for name, state in supervisor.states().items() if name in names):
        if time.monotonic() > end:
            return  # supervisord kills what does not stop; what even survives that is ended as a leftover
        time.sleep(0.1)


def _stop_supervisor(supervisor: Supervisor) -> None:
    try:
        process = psutil.Process(supervisor.pid())
        supervisor.shut_down()
        process.wait(STOP_WITHIN_S)
    except psutil.NoSuchProcess:
        return
    except psutil.TimeoutExpired:
        return  # ended as a leftover


@contextmanager
def _only_one(layout: StackLayout) -> Iterator[None]:
    """Two commands at once on one state folder would start everything twice."""
    with (layout.run / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise StackError(f"another `up` or `down` is at work on {layout.home}: wait until it has ended") from None
        yield
