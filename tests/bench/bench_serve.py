"""One row a request, eight connections on loopback: the service beside ``mlflow models serve`` and a bare FastAPI loop
over pandas, with one version of flight_delay's recipe and one native thread each, one after another.

The service validates, logs each answer before it leaves, and keeps its figures; the others only answer. The load is
that of ``wrk`` (of Debian's package of that name), which has to be on the path. It is a closed loop, whose p99 hides
what waits before it: so each is asked at a constant rate, too, and timed from when a request was due (``open_loop``).

Then five services stand side by side, four of them without a part (``without``), and are asked by turns: a part's share
is that of the time of a request that is saved without it. Run it as
``python tests/bench/bench_serve.py --out figures.json``.
"""

import argparse
import json
import os
import re
import secrets
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "include")]

import httpx
import joblib
from open_loop import Arrivals, arrivals
from sqlalchemy.engine import make_url

from perennial.config import ModelConfig, load_model
from perennial.contracts.tags import CHAMPION
from perennial.registry import Registry, set_alias
from perennial.serving.measured.counting import Counting
from perennial.serving.process import PINNED
from servers import free_port, logged_in, reachable_folder, temporary_mlflow, temporary_postgres, wait_for_mlflow
from serving import fitted, registered, rows, serving
from stack.environment import ADMIN

MODEL, CONNECTIONS = "flight_delay", 8
SLOWER_THAN_MLFLOW, SLOWER_THAN_PANDAS = 1 / 20, 1 / 10
PER_S, SHARE_OF_CAPACITY, COUNTED_WITHIN_US = 10.0, 0.3, 50.0
"""How often all three are asked, which is well below what the slowest can; how much of its own capacity ours is."""
PARTS = ("validation", "spool", "metrics", "features")
BARE = """
import sys
import joblib, pandas as pd, uvicorn
from fastapi import FastAPI
model, app = joblib.load(sys.argv[1]), FastAPI()
@app.post("/predict")
async def predict(rows: list[dict]) -> list[float]:
    return model.predict_proba(pd.DataFrame(rows))[:, 1].tolist()
uvicorn.run(app, port=int(sys.argv[2]), access_log=False, log_level="error")
"""


@dataclass(frozen=True, slots=True)
class Load:
    """Requests a second, and milliseconds."""

    per_s: float
    p50_ms: float
    p99_ms: float


@dataclass(frozen=True, slots=True)
class Met:
    """One server under both loads."""

    closed: Load
    open: Arrivals


@dataclass(frozen=True, slots=True)
class Lasting:
    """For how many seconds each load lasts, and how many turns there are."""

    closed_s: int
    open_s: float
    turn_s: int
    n_turns: int


def load(url: str, body: Any, folder: Path, seconds: int, *, warm_s: int = 2) -> Load:
    """What wrk measures. Raises SystemExit when it is not there, RuntimeError for an answer other than 2xx."""
    if (wrk := shutil.which("wrk")) is None:
        raise SystemExit("wrk is not on the path: apt-get install wrk")
    script = folder / "post.lua"
    header = 'wrk.method = "POST"\nwrk.headers["Content-Type"] = "application/json"'
    script.write_text(f"{header}\nwrk.body = [==[{json.dumps(body)}]==]\n", encoding="utf-8")
    command = [wrk, "-t1", f"-c{CONNECTIONS}", "--latency", "-s", str(script)]
    if warm_s:
        subprocess.run([*command, f"-d{warm_s}s", url], check=True, capture_output=True)
    said = subprocess.run([*command, f"-d{seconds}s", url], check=True, capture_output=True, text=True).stdout
    if "Non-2xx" in said:
        raise RuntimeError(said)
    unit = {"us": 0.001, "ms": 1.0, "s": 1000.0}
    p50, p99 = (
        float(number) * unit[kind]
        for share in ("50", "99")
        for number, kind in re.findall(rf"^\s+{share}%\s+([\d.]+)(us|ms|s)$", said, re.MULTILINE)
    )
    return Load(float(re.findall(r"Requests/sec:\s+([\d.]+)", said)[0]), p50, p99)


@contextmanager
def answering(command: list[str], port: int, log: Path, environment: dict[str, str]) -> Iterator[str]:
    """Another server, as soon as it listens; its address."""
    with log.open("wb") as output:
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=output, start_new_session=True)
        try:
            end = time.monotonic() + 120
            while True:
                with suppress(httpx.TransportError):
                    httpx.get(f"http://127.0.0.1:{port}/", timeout=5)
                    break
                if process.poll() is not None or time.monotonic() > end:
                    raise RuntimeError(log.read_text(encoding="utf-8", errors="replace")[-2000:])
                time.sleep(0.2)
            yield f"http://127.0.0.1:{port}"
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, 15)
            process.wait(30)


def met(url: str, body: Any, folder: Path, lasting: Lasting) -> Met:
    """One server, as soon as it listens."""
    closed = load(url, body, folder, lasting.closed_s)
    return Met(closed, arrivals(url, body, per_s=PER_S, seconds=lasting.open_s))


def measured(
    config: ModelConfig, models_dir: Path, folder: Path, mlflow_uri: str, lasting: Lasting
) -> tuple[dict[str, Met], Arrivals]:
    """All servers, one after another; and ours at a share of its own capacity."""
    scope: dict[str, Any] = {}
    exec((models_dir / MODEL / "recipe.py").read_text(encoding="utf-8"), scope)  # noqa: S102 - our own recipe
    model = fitted(config, scope["build"](seed=0))
    registry = Registry(mlflow_uri)
    set_alias(registry, MODEL, CHAMPION, registered(config, registry, model))
    row = one_row(config)
    joblib.dump(model, folder / "model.joblib")
    environment = {**os.environ, **PINNED, "MLFLOW_TRACKING_URI": mlflow_uri}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"  # mlflow looks for uvicorn
    found = {}
    with serving(config, models_dir, folder / "home", mlflow_uri) as served:
        assert served.model()["predictor"] == "trees"
        url = f"{served.client.base_url}/predict"
        found["ours"] = met(url, {"rows": [row]}, folder, lasting)
        per_s = SHARE_OF_CAPACITY * found["ours"].closed.per_s
        busy = arrivals(url, {"rows": [row]}, per_s=per_s, seconds=min(lasting.open_s, 15))
    port = free_port()
    command = [sys.executable, "-c", BARE, str(folder / "model.joblib"), str(port)]
    with answering(command, port, folder / "bare.log", environment) as url:
        found["pandas"] = met(f"{url}/predict", [row], folder, lasting)
    port = free_port()
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", f"models:/{MODEL}@{CHAMPION}"]
    command += ["--env-manager", "local", "-h", "127.0.0.1", "-p", str(port), "-w", "1"]
    with answering(command, port, folder / "mlflow.log", environment) as url:
        found["mlflow"] = met(f"{url}/invocations", {"dataframe_records": [row]}, folder, lasting)
    return found, busy


def one_row(config: ModelConfig) -> dict[str, Any]:
    """A row without a null."""
    return next(row for row in rows(config, 100) if None not in row.values())


def shares(
    config: ModelConfig, models_dir: Path, folder: Path, mlflow_uri: str, lasting: Lasting
) -> list[dict[str, Any]]:
    """Of the time of a request, what each part takes: the median over turns in which all are asked once."""
    body, rates = {"rows": [one_row(config)]}, []
    with ExitStack() as stack:
        urls = {}
        for part in ("nothing", *PARTS):
            program = (str(Path(__file__).with_name("without.py")), part)
            served = stack.enter_context(serving(config, models_dir, folder / part, mlflow_uri, program=program))
            urls[part] = f"{served.client.base_url}/predict"
        for turn in range(lasting.n_turns):
            warm_s = 0 if turn else 1
            rates.append(
                {part: load(url, body, folder, lasting.turn_s, warm_s=warm_s).per_s for part, url in urls.items()}
            )
    for rate in rates:
        print({part: round(per_s) for part, per_s in rate.items()}, flush=True)
    return [
        {"name": f"share of the {part} in a request, median of {len(rates)} turns", "unit": "1",
         "ours": statistics.median(1 - rate["nothing"] / rate[part] for rate in rates)}
        for part in PARTS
    ]  # fmt: skip


def counted(config: ModelConfig, folder: Path) -> dict[str, Any]:
    """What the figures for the guards cost a request of one row, in microseconds: the least of five times."""
    counting, row, took = Counting(config, folder, "bench"), [tuple(one_row(config).values())], []
    for _ in range(5):
        began = time.perf_counter()
        for _ in range(2000):
            counting.answered("7", CHAMPION, row, [0.3], 0.004)
        took.append((time.perf_counter() - began) / 2000 * 1e6)
    return {"name": "figures of one answered row", "ours": min(took), "unit": "us", "limit": COUNTED_WITHIN_US}


def compared(found: dict[str, Met], busy: Arrivals) -> list[dict[str, Any]]:
    """The figures: a ratio is theirs to ours where more is better."""
    figures: list[dict[str, Any]] = []
    for name, limit in (("mlflow", SLOWER_THAN_MLFLOW), ("pandas", SLOWER_THAN_PANDAS)):
        ours, theirs = found["ours"], found[name]
        figures.append(
            {"name": f"single rows, {CONNECTIONS} connections, beside {name}", "ours": ours.closed.per_s,
             "theirs": theirs.closed.per_s, "unit": "1/s", "ratio": theirs.closed.per_s / ours.closed.per_s,
             "limit": limit}
        )  # fmt: skip
        for told, mine, other in (
            (f"p99, {CONNECTIONS} connections", ours.closed.p99_ms, theirs.closed.p99_ms),
            (f"p99 from when it was due, {PER_S:g} requests a second", ours.open.p99_ms, theirs.open.p99_ms),
        ):
            figures.append(
                {"name": f"{told}, beside {name}", "ours": mine, "theirs": other, "unit": "ms", "ratio": mine / other,
                 "limit": 1.0}
            )  # fmt: skip
    told = f"p99 from when it was due, at {SHARE_OF_CAPACITY:.0%} of its capacity, {busy.n_requests} requests"
    return [*figures, {"name": told, "ours": busy.p99_ms, "unit": "ms"}]


def copied_models(folder: Path) -> Path:
    """The models of the repository, asked as they are outside of a replay: when a request comes is its time."""
    models = shutil.copytree(ROOT / "include" / "models", folder / "models")
    path = models / MODEL / "model.yaml"
    told = path.read_text(encoding="utf-8").replace("event_time: given", "event_time: arrival")
    path.write_text(told.replace("rotate_s: 1.0", "rotate_s: 60.0"), encoding="utf-8")
    return Path(models)


def still(folder: Path) -> Path:
    """The same models, whose services hardly ask the registry: five at once would disturb one another."""
    models = shutil.copytree(folder / "models", folder / "still")
    path = models / MODEL / "model.yaml"
    path.write_text(path.read_text(encoding="utf-8").replace("poll_s: 1.0", "poll_s: 600.0"), encoding="utf-8")
    return Path(models)


def main() -> None:
    """Print the figures and write them to ``--out``."""
    options = argparse.ArgumentParser()
    options.add_argument("--out", type=Path)
    options.add_argument("--quick", action="store_true")
    given, _ = options.parse_known_args()
    lasting = Lasting(5, 5.0, 2, 1) if given.quick else Lasting(15, 60.0, 4, 7)
    password = secrets.token_urlsafe(12)
    with (
        tempfile.TemporaryDirectory() as name,
        reachable_folder() as place,
        temporary_postgres(place) as database,
        temporary_mlflow(make_url(database), password) as mlflow_uri,
    ):
        folder = Path(name)
        copied_models(folder)
        wait_for_mlflow(mlflow_uri, password)
        with logged_in(ADMIN, password):
            config = load_model(folder / "models" / MODEL)
            found, busy = measured(config, folder / "models", folder, mlflow_uri, lasting)
            parts = shares(config, still(folder), folder, mlflow_uri, lasting)
    figures = [*compared(found, busy), *parts, counted(config, folder)]
    for one in [*found.items(), ("ours, busy", busy)]:
        sys.stdout.write(f"{one}\n")
    if given.out:
        given.out.write_text(json.dumps(figures, indent=2), encoding="utf-8")


if __name__ == "__main__":
    main()
