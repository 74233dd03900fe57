"""One scoring service a model: its name among the components, its command, its environment, and whether it answers."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import httpx

from stack.credentials import Credentials

if TYPE_CHECKING:
    from stack.commands import Site

SERVING = "serving"
"""The account on MLflow that only reads."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceProcess:
    """Where the service of one model listens; ``url`` is where the rest of the deployment reaches it."""

    model: str
    port: int
    url: str

    @property
    def component(self) -> str:
        """Its name among the components.

        >>> ServiceProcess(model="flight_delay", port=8100, url="http://127.0.0.1:8100").component
        'serving-flight-delay'
        """
        return f"{SERVING}-{self.model.replace('_', '-')}"


def services_of(models: tuple[str, ...], *, address: str, first_port: int) -> tuple[ServiceProcess, ...]:
    """The services of some models on one machine, on ports that follow one another.

    >>> [service.url for service in services_of(("a", "b"), address="127.0.0.1", first_port=8100)]
    ['http://127.0.0.1:8100', 'http://127.0.0.1:8101']
    """
    return tuple(
        ServiceProcess(model=model, port=port, url=f"http://{address}:{port}")
        for port, model in enumerate(models, start=first_port)
    )


def serving_commands(site: "Site") -> dict[str, tuple[str, ...]]:
    """The command line of every scoring service, by the name of its component."""
    serve = ("python", "-m", "perennial.cli", "serve")
    return {
        service.component: (*serve, service.model, "--host", site.listen, "--port", str(service.port))
        for service in site.services
    }


def serving_environment(site: "Site", credentials: Credentials) -> dict[str, str]:
    """Environment of a scoring service, which is told of no database."""
    return {
        "PYTHONPATH": f"{site.project}/include",
        "PERENNIAL_HOME": site.state,
        "MLFLOW_TRACKING_URI": site.mlflow_url,
        "MLFLOW_TRACKING_USERNAME": SERVING,
        "MLFLOW_TRACKING_PASSWORD": credentials.mlflow_serving_password,
        "PERENNIAL_SERVING_KEY": credentials.serving_key,
    }


def clients_environment(site: "Site", credentials: Credentials) -> dict[str, str]:
    """What whoever asks the services has to know: where each is, and a key; nothing where there is none."""
    if not site.services:
        return {}
    urls = ",".join(f"{service.model}={service.url}" for service in site.services)
    return {"PERENNIAL_SERVING_URLS": urls, "PERENNIAL_SERVING_KEY": credentials.serving_key}


def deaf(services: tuple[ServiceProcess, ...]) -> list[str]:
    """The components that do not answer yet. One without a champion does: it lives, and refuses requests."""
    return [service.component for service in services if not _answers(service)]


def _answers(service: ServiceProcess) -> bool:
    try:
        return httpx.get(f"{service.url}/healthz", timeout=5, trust_env=False).status_code == httpx.codes.OK
    except httpx.TransportError:
        return False
