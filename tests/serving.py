"""A scoring service as a process of its own, as ``perennial serve`` becomes one, and versions for it to serve."""

import json
import os
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from monitored import release
from perennial.config import ModelConfig, load_model
from perennial.contracts.tags import DIGEST_TAG
from perennial.registry import Registry, artifact_digest
from perennial.registry.scoring import features_frame
from perennial.registry.versions import set_version_tags
from perennial.serving.app import make_app
from perennial.serving.following.follower import Current, Follower
from perennial.serving.following.messages import Loaded, Looked
from perennial.serving.predictors.predictor import Built, table_of
from perennial.serving.predictors.samples import sample
from perennial.serving.process import PINNED
from perennial.serving.service import Spec
from perennial.settings import ROOT
from servers import free_port

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it would rather have httpx2; MLflow and Airflow bring httpx
    from starlette.testclient import TestClient

__all__ = ["TestClient"]
STARTS_WITHIN_S = 180.0
_PROGRAM = ("-P", "-m", "perennial.serving")
TUMOUR = load_model(ROOT / "tests" / "models" / "tumour_malignant")


@dataclass(slots=True)
class Served:
    """A running service."""

    process: "subprocess.Popen[bytes]"
    client: httpx.Client
    log: Path

    def ready(self) -> dict[str, Any]:
        found: dict[str, Any] = self.client.get("/readyz").json()
        return found

    def model(self) -> dict[str, Any]:
        found: dict[str, Any] = self.client.get("/model").json()
        return found

    def wait_for(self, what: Callable[[], bool], *, within_s: float = STARTS_WITHIN_S) -> None:
        """Until ``what`` is so. Raises AssertionError with the end of the log."""
        end = time.monotonic() + within_s
        while time.monotonic() < end:
            assert self.process.poll() is None, self.log.read_text(encoding="utf-8")[-3000:]
            with suppress(httpx.TransportError):
                if what():
                    return
            time.sleep(0.02)
        raise AssertionError(
            f"not so within {within_s} s; the log ends:\n{self.log.read_text(encoding='utf-8')[-3000:]}"
        )

    def kill(self) -> None:
        """As the power does."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


@contextmanager
def serving(
    config: ModelConfig, models_dir: Path, home: Path, mlflow_uri: str, *, program: tuple[str, ...] = _PROGRAM
) -> Iterator[Served]:
    """The service of a model, ready to answer; ended as a supervisor ends it, unless a test did."""
    port, log = free_port(), home / "service.log"
    home.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, **PINNED, "PERENNIAL_HOME": str(home), "PERENNIAL_MODELS_DIR": str(models_dir)}
    environment |= {"MLFLOW_TRACKING_URI": mlflow_uri}
    environment.pop("PERENNIAL_DATABASE_URL", None)
    command = [sys.executable, *program, config.model, "127.0.0.1", str(port), "1"]
    with log.open("ab") as output, httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=output, cwd="/")
        served = Served(process, client, log)
        try:
            served.wait_for(lambda: client.get("/readyz").status_code == httpx.codes.OK)
            yield served
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait(30)


def opened(home: Path, **rules: Any) -> TestClient:
    """A service of the tumours in this process, begun; its version 7 always answers 0.5. Leave it by ``__exit__``."""

    def start(self: Follower) -> None:
        built = Built(lambda columns: ([0.5] * len(columns[0]), None), "arrays", "")  # type: ignore[arg-type]
        self.following.looked = Looked(at=1.0, champion="7")
        self.following.current = Current(Loaded(version="7", digest="d", built=built, origin="", took_s=0.1), 1.0)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Follower, "start", start)
        serving = TUMOUR.serving.model_copy(update={"max_rows": 5, "max_body_kb": 8, **rules})
        config = TUMOUR.model_copy(update={"serving": serving})
        app = make_app(Spec(config=config, home=home, registry_uri="http://127.0.0.1:9", login=None))
        client = TestClient(app, base_url="http://127.0.0.1:8000", raise_server_exceptions=False)
        client.__enter__()
    return client


def registered(config: ModelConfig, registry: Registry, estimator: Any) -> str:
    """A version of a fitted estimator, with the digest that a registered candidate has; no alias names it."""
    version = release(config, registry, estimator=estimator, rows=table_of(config, sample(config, 60, seed=1)))
    digest = artifact_digest(registry, config.model, version)
    set_version_tags(registry, config.model, version, {DIGEST_TAG: digest})
    return version


def fitted(config: ModelConfig, estimator: Any, *, seed: int = 5) -> Any:
    """Fitted on made-up rows of which the first number says most of the truth."""
    frame = features_frame(config, table_of(config, sample(config, 600, seed=seed)))
    first = frame[config.numbers[0]].fillna(0).to_numpy()
    classes = config.label.classes
    if classes is None:
        return estimator.fit(frame, first + np.random.default_rng(seed).normal(0, first.std(), len(first)))
    ranks = (first.argsort().argsort() * len(classes)) // len(first)
    return estimator.fit(frame, np.array(classes)[ranks])


def rows(config: ModelConfig, n_rows: int, *, seed: int = 9) -> list[dict[str, Any]]:
    """Rows as a client sends them."""
    columns = sample(config, n_rows, seed=seed)
    return [dict(zip(config.features, values, strict=True)) for values in zip(*columns, strict=True)]


def logged(*folders: Path) -> list[dict[str, Any]]:
    """The lines of all files below some folders."""
    files = sorted(path for folder in folders for path in folder.rglob("*") if path.suffix in (".jsonl", ".open"))
    return [json.loads(line) for path in files for line in path.read_text(encoding="utf-8").splitlines()]
