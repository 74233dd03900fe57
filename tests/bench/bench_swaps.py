"""Another version under load, and a rollback until requests see it: one version of flight_delay's recipe and its twins.

First ``wrk`` asks a service that keeps its version, and one whose champion changes meanwhile, by turns, until it has
changed a hundred times: what fails is counted, and the median p99 stands beside the other. Then a version is promoted
and rolled back, twenty times, through the ledger and as the DAG does it: the seconds are those that the ledger keeps.
``--quick`` takes a tenth of both. It is run as ``python tests/bench/bench_swaps.py --out figures.json``.
"""

import argparse
import json
import re
import secrets
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "include")]

from bench_serve import CONNECTIONS, MODEL, copied_models
from sqlalchemy.engine import make_url

from logs import day
from perennial.config import ModelConfig, load_model
from perennial.contracts.tags import CHAMPION
from perennial.pipeline import Case
from perennial.registry import Registry, set_alias
from perennial.settings import Settings
from perennial.store import open_store
from releases import made_stable, released, signed
from servers import create_database, logged_in, reachable_folder, temporary_mlflow, temporary_postgres, wait_for_mlflow
from serving import Served, fitted, registered, rows, serving
from stack.environment import ADMIN

SLOWER_WHILE_SWAPPED, WORST_S = 2.0, 10.0
_TURNS = 5
_UNIT = {"us": 0.001, "ms": 1.0, "s": 1000.0}


@dataclass(frozen=True, slots=True)
class Asked:
    """What wrk saw: requests, those that failed, p99 in milliseconds."""

    n_requests: int
    n_failed: int
    p99_ms: float


class Wrk:
    """``wrk``, from its start until :meth:`end`."""

    def __init__(self, url: str, body: Any, folder: Path) -> None:
        if (wrk := shutil.which("wrk")) is None:
            raise SystemExit("wrk is not on the path: apt-get install wrk")
        script = folder / "post.lua"
        header = 'wrk.method = "POST"\nwrk.headers["Content-Type"] = "application/json"'
        script.write_text(f"{header}\nwrk.body = [==[{json.dumps(body)}]==]\n", encoding="utf-8")
        command = [wrk, "-t1", f"-c{CONNECTIONS}", "--latency", "-d3600s", "-s", str(script), url]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    def end(self) -> Asked:
        """Stop, and what it saw by then."""
        self._process.send_signal(signal.SIGINT)
        said, _ = self._process.communicate(timeout=60)
        ((number, unit),) = re.findall(r"^\s+99%\s+([\d.]+)(us|ms|s)$", said, re.MULTILINE)
        failed = sum(map(int, re.findall(r"(?:connect|read|write|timeout|responses:) (\d+)", said)))
        return Asked(int(re.findall(r"(\d+) requests in", said)[0]), failed, float(number) * _UNIT[unit])


def follow(served: Served, version: str) -> None:
    """Wait until the service has the version."""
    served.wait_for(lambda: served.model()["version"] == version)


def swapped(
    config: ModelConfig, registry: Registry, served: Served, twins: list[str], folder: Path, n_swaps: int
) -> tuple[list[Asked], list[Asked]]:
    """What was seen by turns: without another version, and with some of ``n_swaps`` on their way."""
    row = next(row for row in rows(config, 100) if None not in row.values())
    url, body = f"{served.client.base_url}/predict", {"rows": [row]}
    warm = Wrk(url, body, folder)
    time.sleep(2)
    warm.end()
    calm, busy = [], []
    for turn in range(_TURNS):
        asking, began = Wrk(url, body, folder), time.monotonic()
        for number in range(n_swaps // _TURNS):
            version = twins[1 - (turn * n_swaps // _TURNS + number) % 2]
            set_alias(registry, MODEL, CHAMPION, version)
            follow(served, version)
        took_s = time.monotonic() - began
        busy.append(asking.end())
        asking = Wrk(url, body, folder)
        time.sleep(took_s)
        calm.append(asking.end())
        print(f"{n_swaps // _TURNS} swaps in {took_s:.0f} s: {busy[-1]}; none for as long: {calm[-1]}", flush=True)
    return calm, busy


def rolled_back(case: Case, served: Served, versions: list[str]) -> list[float]:
    """Seconds from the decision until requests see it, for a rollback of each version but the first."""
    stable, seconds = versions[0], []
    made_stable(case.config, stable, None, 6, store=case.store, registry=case.registry)
    for number, version in enumerate(versions[1:], start=20):
        signoff = signed(case.config, case.registry, version, stable, number)
        released(case.config, signoff, store=case.store, registry=case.registry)
        follow(served, version)
        case.roll_back(actor="bench", reason="to see how long it takes", at=day(number).end, run_id=str(number))
        found = case.verify_traffic()
        assert found is not None
        seconds.append(found.payload["seconds"])
    print(f"rollbacks: {sorted(seconds)}")
    return seconds


def measured(folder: Path, mlflow_uri: str, database: str, *, quick: bool) -> list[dict[str, Any]]:
    """All figures."""
    models_dir, home, n_swaps, n_rollbacks = folder / "models", folder / "home", *((10, 2) if quick else (100, 20))
    config, registry = load_model(models_dir / MODEL), Registry(mlflow_uri)
    scope: dict[str, Any] = {}
    exec((models_dir / MODEL / "recipe.py").read_text(encoding="utf-8"), scope)  # noqa: S102 - our own recipe
    model = fitted(config, scope["build"](seed=0))
    versions = [registered(config, registry, model) for _ in range(n_rollbacks + 1)]
    set_alias(registry, MODEL, CHAMPION, versions[0])
    with serving(config, models_dir, home, mlflow_uri) as served:
        calm, busy = swapped(config, registry, served, versions[:2], folder, n_swaps)
        registry.client.delete_registered_model_alias(MODEL, CHAMPION)
        settings = Settings(home=home, serving_urls=f"{MODEL}={served.client.base_url}")
        store = open_store(database, (home / "storage").as_uri())
        case = Case(config=config, store=store, registry=registry, settings=settings)
        case.prepare()
        seconds = rolled_back(case, served, versions)
        store.close()
    what, n_requests = f"{n_swaps} swaps under load", sum(one.n_requests for one in busy)
    ours, theirs = (statistics.median(one.p99_ms for one in some) for some in (busy, calm))
    return [
        {"name": f"p99 with {what}, beside none", "ours": ours, "theirs": theirs, "unit": "ms", "ratio": ours / theirs,
         "limit": SLOWER_WHILE_SWAPPED},
        {"name": f"failed of {n_requests} requests, {what}", "ours": sum(one.n_failed for one in busy), "unit": "1",
         "limit": 0},
        {"name": f"rollback until requests see it, median of {n_rollbacks}", "ours": statistics.median(seconds),
         "unit": "s"},
        {"name": f"rollback until requests see it, worst of {n_rollbacks}", "ours": max(seconds), "unit": "s",
         "limit": WORST_S},
    ]  # fmt: skip


def main() -> None:
    """Print the figures and write them to ``--out``."""
    options = argparse.ArgumentParser()
    options.add_argument("--out", type=Path)
    options.add_argument("--quick", action="store_true")
    given, _ = options.parse_known_args()
    password = secrets.token_urlsafe(12)
    with (
        tempfile.TemporaryDirectory() as name,
        reachable_folder() as place,
        temporary_postgres(place) as server,
        temporary_mlflow(make_url(server), password) as mlflow_uri,
    ):
        folder = Path(name)
        copied_models(folder)
        wait_for_mlflow(mlflow_uri, password)
        with logged_in(ADMIN, password):
            figures = measured(folder, mlflow_uri, create_database(make_url(server), "bench"), quick=given.quick)
    for one in figures:
        print(one)
    if given.out:
        given.out.write_text(json.dumps(figures, indent=2), encoding="utf-8")


if __name__ == "__main__":
    main()
