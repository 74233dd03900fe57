"""Where the local stack keeps things and which ports it listens on.

Everything lies below one state folder, so that removing the folder removes the stack:

    <home>/postgres/data/     PostgreSQL's data directory
    <home>/airflow/           AIRFLOW_HOME with the logs of tasks
    <home>/mlflow/artifacts/  what MLflow stores beside its database
    <home>/logs/              one log for each process
    <home>/run/               supervisord's configuration, process id and lock
    <home>/credentials.json   generated secrets (mode 0600)
    <home>/stack.env          what perennial.settings reads (mode 0600)
"""

import errno
import json
import socket
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from perennial.errors import StackError
from stack.commands import Site
from stack.credentials import write_private
from stack.serving.services import ServiceProcess, services_of

LOOPBACK = "127.0.0.1"
PROJECT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """TCP ports on the loopback interface."""

    airflow: int = 8080
    mlflow: int = 5000
    postgres: int = 54329
    serving: int = 8100
    """Of the first scoring service; each further one has the next."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StackLayout:
    """Paths and ports of one local stack, all paths absolute, and the models that it serves.

    >>> StackLayout(home=Path("/srv/state")).credentials_file
    PosixPath('/srv/state/credentials.json')
    """

    home: Path
    project: Path = PROJECT
    ports: Ports = field(default_factory=Ports)
    served: tuple[str, ...] = ()
    postgres: Path = field(init=False)
    airflow: Path = field(init=False)
    mlflow: Path = field(init=False)
    logs: Path = field(init=False)
    run: Path = field(init=False)
    credentials_file: Path = field(init=False)
    env_file: Path = field(init=False)

    def __post_init__(self) -> None:
        home = self.home.resolve()
        paths = {name: home / name for name in ("postgres", "airflow", "mlflow", "logs", "run")}
        files = {"credentials_file": home / "credentials.json", "env_file": home / "stack.env"}
        for name, path in {"home": home, "project": self.project.resolve(), **paths, **files}.items():
            object.__setattr__(self, name, path)

    @property
    def services(self) -> tuple[ServiceProcess, ...]:
        """The scoring services of this stack."""
        return services_of(self.served, address=LOOPBACK, first_port=self.ports.serving)

    def remember(self) -> None:
        """Keep the ports and the served models for whoever finds the stack running."""
        kept = {**asdict(self.ports), "served": self.served}
        write_private(self.run / "ports.json", json.dumps(kept))

    def as_started(self) -> "StackLayout":
        """With the ports and the served models that the running stack was started with."""
        kept = json.loads((self.run / "ports.json").read_text())
        served = tuple(kept.pop("served", ()))  # absent in a stack that an earlier release started
        return replace(self, ports=Ports(**kept), served=served)

    def log_of(self, component: str) -> Path:
        """The log of one component's standard output and error."""
        return self.logs / f"{component}.log"

    def prepare(self) -> None:
        """Create the folders. Secrets lie in files of mode 0600, so the state folder itself stays traversable."""
        on_the_way_to_data = (self.home, self.postgres)
        for folder in (*on_the_way_to_data, self.airflow, self.mlflow, self.logs, self.run):
            if not folder.is_dir():
                folder.mkdir(mode=0o700, parents=True)
                folder.chmod(0o755 if folder in on_the_way_to_data else 0o700)

    def site(self) -> Site:
        """What the commands of this stack need to know about it."""
        return Site(
            listen=LOOPBACK,
            project=str(self.project),
            postgres_address=LOOPBACK,
            postgres_port=self.ports.postgres,
            postgres_socket_folder="",
            mlflow_port=self.ports.mlflow,
            mlflow_url=f"http://{LOOPBACK}:{self.ports.mlflow}",
            mlflow_allowed_hosts=f"localhost:{self.ports.mlflow},{LOOPBACK}:{self.ports.mlflow}",
            mlflow_artifacts=(self.mlflow / "artifacts").as_uri(),
            airflow_home=str(self.airflow),
            airflow_port=self.ports.airflow,
            airflow_url=f"http://{LOOPBACK}:{self.ports.airflow}",
            airflow_public_url=f"http://localhost:{self.ports.airflow}",
            state=str(self.home),
            services=self.services,
        )


def require_free_ports(
    ports: Ports,
    components: tuple[str, ...] = ("postgres", "mlflow", "airflow"),
    services: tuple[ServiceProcess, ...] = (),
) -> None:
    """Raise StackError for a port that something else listens on, naming the setting that changes it."""
    wanted = [(component, getattr(ports, component), component) for component in components]
    wanted += [(service.component, service.port, "serving") for service in services]
    taken: dict[int, str] = {}
    for component, port, setting in wanted:
        if (other := taken.setdefault(port, component)) != component:
            raise StackError(
                f"port {port} is wanted for {other} and for {component}: choose another with "
                f"PERENNIAL_{setting.upper()}_PORT=<port>"
            )
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((LOOPBACK, port))
            except OSError as error:
                used = error.errno == errno.EADDRINUSE
                raise StackError(
                    f"port {port} on {LOOPBACK}, wanted for {component}, "
                    f"{'is already in use' if used else f'cannot be used ({error.strerror})'}: stop what uses it, or "
                    f"choose another port with PERENNIAL_{setting.upper()}_PORT=<port>"
                ) from None
