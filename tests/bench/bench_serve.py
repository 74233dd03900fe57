"""One row a request, eight connections on loopback: the service beside ``mlflow models serve`` and a bare FastAPI loop
over pandas, with one version of flight_delay's recipe and one native thread each, one after another.

The service validates, logs each answer before it leaves, and keeps its figures; the others only answer. The load is
that of ``wrk`` (of Debian's package of that name), which has to be on the path. It is a closed loop: its p99 hides what
waits before it. Run it as ``python tests/bench/bench_serve.py --out figures.json``.
"""

import argparse
import json
import os
import re
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "include")]

import httpx
import joblib
from sqlalchemy.engine import make_url

from perennial.config import ModelConfig, load_model
from perennial.contracts.tags import CHAMPION
from perennial.registry import Registry, set_alias
from perennial.serving.process import PINNED
from servers import free_port, logged_in, reachable_folder, temporary_mlflow, temporary_postgres, wait_for_mlflow
from serving import fitted, registered, rows, serving
from stack.environment import ADMIN

MODEL, CONNECTIONS = "flight_delay", 8
SLOWER_THAN_MLFLOW, SLOWER_THAN_PANDAS = 1 / 20, 1 / 10
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


def load(url: str, body: Any, folder: Path, seconds: int) -> Load:
    """What wrk measures. Raises SystemExit when it is not there, RuntimeError for an answer other than 2xx."""
    if (wrk := shutil.which("wrk")) is None:
        raise SystemExit("wrk is not on the path: apt-get install wrk")
    script = folder / "post.lua"
    header = 'wrk.method = "POST"\nwrk.headers["Content-Type"] = "application/json"'
    script.write_text(f"{header}\nwrk.body = [==[{json.dumps(body)}]==]\n", encoding="utf-8")
    command = [wrk, "-t1", f"-c{CONNECTIONS}", "--latency", "-s", str(script)]
    subprocess.run([*command, "-d2s", url], check=True, capture_output=True)
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


def measured(config: ModelConfig, models_dir: Path, folder: Path, mlflow_uri: str, seconds: int) -> dict[str, Load]:
    """All servers, one after another."""
    scope: dict[str, Any] = {}
    exec((models_dir / MODEL / "recipe.py").read_text(encoding="utf-8"), scope)  # noqa: S102 - our own recipe
    model = fitted(config, scope["build"](seed=0))
    registry = Registry(mlflow_uri)
    set_alias(registry, MODEL, CHAMPION, registered(config, registry, model))
    row = next(row for row in rows(config, 100) if None not in row.values())
    joblib.dump(model, folder / "model.joblib")
    environment = {**os.environ, **PINNED, "MLFLOW_TRACKING_URI": mlflow_uri}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"  # mlflow looks for uvicorn
    found = {}
    with serving(config, models_dir, folder / "home", mlflow_uri) as served:
        assert served.model()["predictor"] == "trees"
        found["ours"] = load(f"{served.client.base_url}/predict", {"rows": [row]}, folder, seconds)
    port = free_port()
    command = [sys.executable, "-c", BARE, str(folder / "model.joblib"), str(port)]
    with answering(command, port, folder / "bare.log", environment) as url:
        found["pandas"] = load(f"{url}/predict", [row], folder, seconds)
    port = free_port()
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", f"models:/{MODEL}@{CHAMPION}"]
    command += ["--env-manager", "local", "-h", "127.0.0.1", "-p", str(port), "-w", "1"]
    with answering(command, port, folder / "mlflow.log", environment) as url:
        found["mlflow"] = load(f"{url}/invocations", {"dataframe_records": [row]}, folder, seconds)
    return found


def compared(found: dict[str, Load]) -> list[dict[str, Any]]:
    """The figures: a ratio is theirs to ours where more is better."""
    figures: list[dict[str, Any]] = []
    for name, limit in (("mlflow", SLOWER_THAN_MLFLOW), ("pandas", SLOWER_THAN_PANDAS)):
        ours, theirs = found["ours"], found[name]
        figures.append(
            {"name": f"single rows, 8 connections, beside {name}", "ours": ours.per_s, "theirs": theirs.per_s,
             "unit": "1/s", "ratio": theirs.per_s / ours.per_s, "limit": limit}
        )  # fmt: skip
        figures.append(
            {"name": f"p99 beside {name}", "ours": ours.p99_ms, "theirs": theirs.p99_ms, "unit": "ms",
             "ratio": ours.p99_ms / theirs.p99_ms, "limit": 1.0}
        )  # fmt: skip
    return figures


def copied_models(folder: Path) -> Path:
    """The models of the repository, asked as they are outside of a replay: when a request comes is its time."""
    models = shutil.copytree(ROOT / "include" / "models", folder / "models")
    path = models / MODEL / "model.yaml"
    told = path.read_text(encoding="utf-8").replace("event_time: given", "event_time: arrival")
    path.write_text(told.replace("rotate_s: 1.0", "rotate_s: 60.0"), encoding="utf-8")
    return Path(models)


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
        temporary_postgres(place) as database,
        temporary_mlflow(make_url(database), password) as mlflow_uri,
    ):
        folder = Path(name)
        copied_models(folder)
        wait_for_mlflow(mlflow_uri, password)
        with logged_in(ADMIN, password):
            config = load_model(folder / "models" / MODEL)
            found = measured(config, folder / "models", folder, mlflow_uri, 5 if given.quick else 15)
    figures = compared(found)
    for one in found.items():
        sys.stdout.write(f"{one}\n")
    if given.out:
        given.out.write_text(json.dumps(figures, indent=2), encoding="utf-8")


if __name__ == "__main__":
    main()
