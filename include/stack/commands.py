"""The one table of commands: the local stack runs it, and docker-compose.yaml repeats it (a test compares them).

The first word ``python`` stands for the interpreter of the environment that holds the project.
"""

from dataclasses import dataclass

from stack.serving.services import ServiceProcess, serving_commands

AIRFLOW_COMPONENTS = ("airflow-api-server", "airflow-scheduler", "airflow-dag-processor", "airflow-triggerer")

POSTGRES_SETTINGS = {
    "shared_buffers": "256MB",
    "max_connections": "200",
    "max_wal_size": "4GB",
    "checkpoint_timeout": "15min",
}
INITDB_OPTIONS = (
    "--encoding=UTF8",
    "--locale=C",
    "--locale-provider=builtin",
    "--builtin-locale=C.UTF-8",
    "--auth=scram-sha-256",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """Addresses and folders in which one deployment differs from another; no secret among them."""

    listen: str
    project: str
    postgres_address: str
    postgres_port: int
    postgres_socket_folder: str
    mlflow_port: int
    mlflow_url: str
    mlflow_allowed_hosts: str
    mlflow_artifacts: str
    airflow_home: str
    airflow_port: int
    airflow_url: str
    airflow_public_url: str
    state: str
    services: tuple[ServiceProcess, ...] = ()


def commands(site: Site) -> dict[str, tuple[str, ...]]:
    """The command line of every component of a deployment, by the component's name."""
    airflow = ("python", "-m", "airflow")
    return {
        "postgres": postgres_command(site.listen, site.postgres_port, site.postgres_socket_folder),
        "mlflow": (
            *("python", "-m", "mlflow", "server", "--app-name", "basic-auth"),
            *("--host", site.listen, "--port", str(site.mlflow_port)),
            *("--workers", "1", "--allowed-hosts", site.mlflow_allowed_hosts),
            *("--serve-artifacts", "--artifacts-destination", site.mlflow_artifacts),
        ),
        "mlflow-accounts": ("python", "-m", "stack.mlflow_accounts"),
        "airflow-migrate": ("python", "-m", "stack.migrate_airflow"),
        "airflow-api-server": (
            *(*airflow, "api-server", "--host", site.listen, "--port", str(site.airflow_port), "--workers", "1"),
        ),
        "airflow-scheduler": (*airflow, "scheduler", "--skip-serve-logs"),
        "airflow-dag-processor": (*airflow, "dag-processor"),
        "airflow-triggerer": (*airflow, "triggerer", "--skip-serve-logs"),
        **serving_commands(site),
    }


def postgres_command(listen: str, port: int, socket_folder: str) -> tuple[str, ...]:
    """PostgreSQL in the foreground; the data directory comes from PGDATA. No socket folder: TCP only.

    >>> postgres_command("127.0.0.1", 54329, "")[:5]
    ('postgres', '-c', 'listen_addresses=127.0.0.1', '-c', 'port=54329')
    """
    where = {"listen_addresses": listen, "port": str(port), "unix_socket_directories": socket_folder}
    return ("postgres", *(word for item in {**where, **POSTGRES_SETTINGS}.items() for word in ("-c", "=".join(item))))
