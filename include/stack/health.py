"""When a component counts as up: it answers, and it has said so since it was started."""

import time
from collections.abc import Callable
from datetime import UTC, datetime

import httpx

from perennial.errors import StackError
from stack.commands import AIRFLOW_COMPONENTS
from stack.layout import StackLayout
from stack.supervision import ProcessState, Supervisor, tail

_POLL_S = 0.2
_ENDED = frozenset({"EXITED", "FATAL", "BACKOFF", "STOPPED", "UNKNOWN"})

# Airflow's names of the heartbeats in /api/v2/monitor/health, by our names of the processes.
_HEARTBEATS = {
    "airflow-scheduler": "scheduler",
    "airflow-dag-processor": "dag_processor",
    "airflow-triggerer": "triggerer",
}


def mlflow_is_healthy(layout: StackLayout) -> bool:
    """Whether the MLflow server answers."""
    return _get(f"{layout.site().mlflow_url}/health") is not None


def unhealthy_airflow(layout: StackLayout, since: datetime) -> list[str]:
    """The Airflow processes without a heartbeat since that time."""
    answer = _get(f"{layout.site().airflow_url}/api/v2/monitor/health")
    if answer is None:
        return list(AIRFLOW_COMPONENTS)
    report = answer.json()
    return [name for name, key in _HEARTBEATS.items() if not _beats(report.get(key) or {}, key, since)]


def _beats(report: dict[str, str | None], key: str, since: datetime) -> bool:
    latest = report.get(f"latest_{key}_heartbeat")
    return report.get("status") == "healthy" and latest is not None and datetime.fromisoformat(latest) >= since


def _get(url: str) -> httpx.Response | None:
    try:
        answer = httpx.get(url, timeout=5, trust_env=False)
    except httpx.TransportError:
        return None
    return answer if answer.status_code == httpx.codes.OK else None


class Watch:
    """Waits for components while making sure that none of them ends or is restarted meanwhile."""

    def __init__(self, layout: StackLayout, supervisor: Supervisor, names: tuple[str, ...]) -> None:
        self._layout = layout
        self._supervisor = supervisor
        self._names = names
        self._pids: dict[str, int] = {}

    def check(self) -> None:
        """Raise StackError with the end of the log when one of the components is not running."""
        states = self._supervisor.states()
        for name in self._names:
            state = states[name]
            if state.state in _ENDED:
                raise self._failure(name, _ending(state))
            if state.pid and self._pids.setdefault(name, state.pid) != state.pid:
                raise self._failure(name, "ended right after its start")

    def until(self, waiting_for: Callable[[], list[str]], *, within_s: float) -> None:
        """Wait until the list is empty; raise StackError for its first member at the deadline."""
        end = time.monotonic() + within_s
        while True:
            self.check()
            missing = waiting_for()
            if not missing:
                return
            if time.monotonic() > end:
                raise self._failure(missing[0], f"was not healthy after {within_s:.0f} s")
            time.sleep(_POLL_S)

    def until_running(self, *, within_s: float) -> None:
        """Wait until supervisord counts every component as running: it watches a start for a second."""

        def starting() -> list[str]:
            states = self._supervisor.states()
            return [name for name in self._names if states[name].state != "RUNNING"]

        self.until(starting, within_s=within_s)

    def until_done(self, name: str, *, within_s: float) -> None:
        """Wait until a program that ends by itself has ended well."""
        end = time.monotonic() + within_s
        while time.monotonic() < end:
            self.check()
            state = self._supervisor.states()[name]
            if state.state == "EXITED" and state.exit_status == 0:
                return
            if state.state in _ENDED:
                raise self._failure(name, _ending(state))
            time.sleep(_POLL_S)
        raise self._failure(name, f"did not end within {within_s:.0f} s")

    def _failure(self, name: str, what: str) -> StackError:
        log = self._layout.log_of(name)
        return StackError(f"{name} {what}; the end of {log}:\n{tail(log)}")


def _ending(state: ProcessState) -> str:
    if state.spawn_error.startswith("Exited too quickly"):  # supervisord keeps no status of such an end
        return "ended right after its start"
    if state.spawn_error and state.state != "EXITED":
        return f"could not be started ({state.spawn_error})"
    return f"ended with status {state.exit_status}"


def now() -> datetime:
    """The present, in UTC."""
    return datetime.now(UTC)
