"""Where the local stack keeps things and which ports it listens on.

Everything lies below one state folder, so that removing the folder removes the stack:

    <home>/postgres/          the data directory, or a link to it where PostgreSQL cannot reach this folder
    <home>/airflow/           AIRFLOW_HOME with the logs of tasks
    <home>/mlflow/artifacts/  what MLflow stores beside its database
    <home>/logs/              one log for each process
    <home>/run/               supervisord's configuration, process id and lock
    <home>/credentials.json   generated secrets (mode 0600)
    <home>/stack.env          what perennial.settings reads (mode 0600)
"""

import errno
import hashlib
import socket
from dataclasses import dataclass, field
from pathlib import Path

from perennial.errors import StackError
from stack.commands import Site

LOOPBACK = "127.0.0.1"
PROJECT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """TCP ports on the loopback interface."""

    airflow: int = 8080
    mlflow: int = 5000
    postgres: int = 54329


PORT_SETTINGS = {
    "airflow": "PERENNIAL_AIRFLOW_PORT",
    "mlflow": "PERENNIAL_MLFLOW_PORT",
    "postgres": "PERENNIAL_POSTGRES_PORT",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class StackLayout:
    """Paths and ports of one local stack. ``home`` and ``project`` are absolute."""

    home: Path
    project: Path = PROJECT
    ports: Ports = field(default_factory=Ports)

    def __post_init__(self) -> None:
        object.__setattr__(self, "home", self.home.resolve())
        object.__setattr__(self, "project", self.project.resolve())

    @property
    def postgres(self) -> Path:
        """PostgreSQL's folder."""
        return self.home / "postgres"

    @property
    def airflow(self) -> Path:
        """AIRFLOW_HOME."""
        return self.home / "airflow"

    @property
    def mlflow(self) -> Path:
        """MLflow's folder."""
        return self.home / "mlflow"

    @property
    def logs(self) -> Path:
        """The logs of the processes."""
        return self.home / "logs"

    @property
    def run(self) -> Path:
        """What only the running stack needs."""
        return self.home / "run"

    @property
    def credentials_file(self) -> Path:
        """The generated secrets."""
        return self.home / "credentials.json"

    @property
    def env_file(self) -> Path:
        """What perennial.settings reads where the environment is silent."""
        return self.home / "stack.env"

    @property
    def digest(self) -> str:
        """A short name for this state folder, the same in every process."""
        return hashlib.sha256(str(self.home).encode()).hexdigest()[:16]

    def log_of(self, component: str) -> Path:
        """The log of one component's standard output and error."""
        return self.logs / f"{component}.log"

    def prepare(self) -> None:
        """Create the folders. Secrets lie in files of mode 0600, so the state folder itself stays traversable."""
        if not self.home.is_dir():
            self.home.mkdir(parents=True)
            self.home.chmod(0o755)
        for folder in (self.airflow, self.mlflow, self.logs, self.run):
            folder.mkdir(mode=0o700, exist_ok=True)
        if not self.postgres.is_dir():
            self.postgres.mkdir()
            self.postgres.chmod(0o755)

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
        )


def require_free_ports(ports: Ports, components: tuple[str, ...] = ("postgres", "mlflow", "airflow")) -> None:
    """Raise StackError for a port that something else listens on, naming the setting that changes it."""
    for component in components:
        port: int = getattr(ports, component)
        refusal = _refusal(port)
        if refusal is not None:
            raise StackError(
                f"port {port} on {LOOPBACK}, wanted for {component}, {refusal}: stop what uses it, or choose another "
                f"port with {PORT_SETTINGS[component]}=<port>"
            )


def _refusal(port: int) -> str | None:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError as error:
            return "is already in use" if error.errno == errno.EADDRINUSE else f"cannot be used ({error.strerror})"
    return None


def free_port() -> int:
    """A loopback port that nothing listens on at the moment of the call."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
    return port
