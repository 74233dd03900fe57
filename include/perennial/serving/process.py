"""Becoming the service: the command replaces its own process, with native threads pinned and nothing else loaded."""

import copy
import os
import shutil
import sys
from typing import NoReturn

from perennial.config import load_model
from perennial.errors import ConfigError
from perennial.serving.guard import LOOPBACK
from perennial.serving.keys import Keys
from perennial.serving.service import Spec
from perennial.settings import Settings, load_settings

PINNED = {
    "OMP_NUM_THREADS": "1",
    "OMP_WAIT_POLICY": "PASSIVE",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
}
"""One native thread a process: of many, each request would wait for the slowest."""
_SHARED = "PROMETHEUS_MULTIPROC_DIR"


def replace_by_service(model: str, *, host: str, port: int, workers: int) -> NoReturn:
    """Become ``python -m perennial.serving``, with native threads pinned. Raises ConfigError for what can not be."""
    settings = load_settings()
    spec = spec_of(settings, model, host=host, workers=workers)
    environment = {**os.environ, **PINNED}
    if workers > 1:
        shared = spec.folder / "figures"
        shutil.rmtree(shared, ignore_errors=True)
        shared.mkdir(parents=True)
        environment[_SHARED] = str(shared)
    command = [sys.executable, "-P", "-m", __package__, model, host, str(port), str(workers)]
    os.execve(sys.executable, command, environment)  # noqa: S606 - our own interpreter and code


def spec_of(settings: Settings, model: str, *, host: str, workers: int) -> Spec:
    """What the processes that answer are told. Raises ConfigError."""
    from perennial.serving.spool.places import landings

    config = load_model(settings.models_dir / model)
    landings(config, settings.home)
    key = settings.serving_key.get_secret_value() if settings.serving_key else None
    if host not in LOOPBACK and not Keys.below(settings.home, key).known():
        raise ConfigError(
            f"{host} can be asked by others than this machine: make a key first, perennial keys add NAME, or keep to "
            "127.0.0.1"
        )
    return Spec(
        config=config,
        home=settings.home.absolute(),
        registry_uri=settings.require_mlflow_uri(),
        login=settings.mlflow_login,
        host=host,
        workers=workers,
        key=key,
    )


def run(model: str, host: str, port: int, workers: int) -> None:
    """Answer until the process is told to end."""
    from functools import partial

    import uvicorn
    from uvicorn.supervisors import Multiprocess

    from perennial.serving.app import make_app

    spec = spec_of(load_settings(), model, host=host, workers=workers)
    logs = copy.deepcopy(uvicorn.config.LOGGING_CONFIG)
    logs["loggers"]["perennial"] = {"handlers": ["default"], "level": "INFO", "propagate": False}
    options = {
        "log_config": logs,
        "host": host,
        "port": port,
        "access_log": False,
        "server_header": False,
        "proxy_headers": False,
    }
    config = uvicorn.Config(partial(make_app, spec), factory=True, workers=workers, log_level="info", **options)  # type: ignore[arg-type]
    spec.folder.mkdir(parents=True, exist_ok=True)
    if workers == 1:
        server = uvicorn.Server(config)
        server.run()
        if not server.started:
            raise SystemExit(3)
        return
    Multiprocess(config, sockets=[config.bind_socket()]).run()
