"""When a component counts as up: it answers, and it has said so since it was started."""

import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

import httpx

from perennial.errors import StackError
from stack.commands import AIRFLOW_COMPONENTS
from stack.layout import StackLayout
from stack.supervision import Supervisor, tail

_POLL_S = 0.2
_ENDED = frozenset({"EXITED", "FATAL", "BACKOFF", "STOPPED", "UNKNOWN"})


def mlflow_is_healthy(layout: StackLayout) -> bool:
    """Whether the MLflow server answers."""
    return _get(f"{layout.site().mlflow_url}/health") is not None


def unhealthy_airflow(layout: StackLayout, since: datetime) -> list[str]:
    """The Airflow processes without a heartbeat since that time."""
    answer = _get(f"{layout.site().airflow_url}/api/v2/monitor/health")
    if answer is None:
        return list(AIRFLOW_COMPONENTS)
    report = answer.json()
    # Airflow's names of the heartbeats, by our names of the processes.
    keys = {name: name.removeprefix("airflow-").replace("-", "_") for name in AIRFLOW_COMPONENTS[1:]}
    return [name for name, key in keys.items() if not _beats(report.get(key) or {}, key, since)]


def _beats(report: dict[str, str | None], key: str, since: datetime) -> bool:
    latest = report.get(f"latest_{key}_heartbeat")
    return report.get("status") == "healthy" and latest is not None and datetime.fromisoformat(latest) >= since


def _get(url: str) -> httpx.Response | None:
    try:
        answer = httpx.get(url, timeout=5, trust_env=False)
    except httpx.TransportError:
        return None
    return answer if answer.status_code == httpx.codes.OK else None


class HealthWatch:
    """Waits for components while making sure that none of them ends or is restarted meanwhile."""

    def __init__(self, layout: StackLayout, supervisor: Supervisor, names: tuple[str, ...]) -> None:
        self._layout = layout
        self._supervisor = supervisor
        self._names = names
        self._pids: dict[str, int] = {}

    def check(self) -> None:
        """Raise StackError with the end of the log when one of the components is not running."""
        states = self._supervisor.states()
        if not states:
            raise self._failure("supervisord", "is gone")
        for name, state in ((name, states[name]) for name in self._names):
            done = state["statename"] == "EXITED" and state["exitstatus"] == 0
            if state["statename"] in _ENDED and not done:
                raise self._failure(name, _ending(state))
            if state["pid"] and self._pids.setdefault(name, state["pid"]) != state["pid"]:
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
                raise self._failure(missing[0], f"was not ready after {within_s:.0f} s")
            time.sleep(_POLL_S)

    def until_state(self, wanted: str, *, within_s: float) -> None:
        """Wait for supervisord's word: RUNNING comes a second after a start, EXITED when the work is done."""

        def others() -> list[str]:
            states = self._supervisor.states()
            return [name for name in self._names if name not in states or states[name]["statename"] != wanted]

        self.until(others, within_s=within_s)

    def _failure(self, name: str, what: str) -> StackError:
        log = self._layout.log_of(name)
        return StackError(f"{name} {what}; the end of {log}:\n{tail(log)}")


def _ending(state: dict[str, Any]) -> str:
    if state["spawnerr"].startswith("Exited too quickly"):  # supervisord keeps no status of such an end
        return "ended right after its start"
    return f"ended with status {state['exitstatus']} {state['spawnerr']}".strip()
