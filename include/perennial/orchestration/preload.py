"""Imports the heavy libraries once, in the scheduler, so that the tasks forked from it have them for nothing.

LocalExecutor forks its workers from the scheduler and each task from a worker: what the scheduler has imported, a task
does not import again. Started fresh, a task that uses everything imports for 12 to 18 seconds.

A forked process inherits memory but no threads, and a library whose threads were already running at the fork can hang
in the child. What importing starts (OpenBLAS's pool, jemalloc's background thread) prepares itself for a fork; OpenMP,
Arrow and DuckDB start theirs on first use. So nothing but importing may happen here: no fit, no query, no connection.
tests/integration/test_preload.py does all of that in forked children.
"""

import importlib
import logging
import os
import pkgutil
import sys
import threading
import time
from collections.abc import Sequence

_log = logging.getLogger(__name__)

LIBRARIES = (
    "pyarrow.parquet",
    "pyarrow.compute",
    "pyarrow.csv",
    "pyarrow.json",
    "pyarrow.dataset",
    "pandas",
    "duckdb",
    "adbc_driver_postgresql.dbapi",
    "sklearn.ensemble",
    "sklearn.linear_model",
    "sklearn.model_selection",
    "sklearn.pipeline",
    "perennial.registry.skops_imports",  # skops itself would ask each of Airflow's modules for SciPy's functions
    "mlflow.sklearn",
    "mlflow.tracking",
    "great_expectations",
    "evidently",
    "evidently.metrics",
    "matplotlib.figure",
)
ROOMS = tuple(
    f"perennial.{name}"
    for name in (
        "bake",
        "decision",
        "evidence",
        "ingest",
        "monitoring",
        "orchestration.tasks",
        "pipeline",
        "publishing",
        "registry",
        "release",
        "signoff",
        "training",
        "validation",
    )
)
"""The project's own rooms that tasks enter: a scheduler knows another version of them when it is started again."""
RECIPES = (
    "perennial.training.fitting.worker",
    "perennial.registry.skops_imports",
    "perennial.registry.trust",
    "perennial.recipes.columns",
    "perennial.recipes.models",
    "sklearn.dummy",
    "sklearn.ensemble",
    "sklearn.model_selection",
)
"""What fits and probes use, for the process that they are forked from (:mod:`perennial.apart.forking`)."""


def is_scheduler(arguments: Sequence[str]) -> bool:
    """Whether this process is the one that forks tasks.

    >>> is_scheduler(["/venv/bin/airflow", "scheduler", "--skip-serve-logs"])
    True
    >>> is_scheduler(["/venv/bin/airflow", "tasks", "list", "scheduler"])
    False
    """
    return arguments[1:2] == ["scheduler"]


def quiet_great_expectations() -> None:
    """Its analytics off and its hundreds of "Skipping registering function" lines unsaid; before it is imported."""
    os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
    logging.getLogger("great_expectations").setLevel(logging.WARNING)


def preload(libraries: Sequence[str] = LIBRARIES) -> list[str]:
    """Import the libraries; returns those that are missing, which a task will then report by itself."""
    quiet_great_expectations()
    began = time.monotonic()
    threads_before = threading.active_count()
    missing = [name for name in libraries if not _imported(name)]
    if threading.active_count() > threads_before:
        names = ", ".join(sorted(thread.name for thread in threading.enumerate()))
        _log.warning("an import started a thread, and forked tasks may hang: %s", names)
    _log.info("imported %d libraries for the tasks in %.1f s", len(libraries) - len(missing), time.monotonic() - began)
    return missing


def modules_of(rooms: Sequence[str] = ROOMS) -> list[str]:
    """The names of all modules in the rooms.

    >>> "perennial.decision.policy" in modules_of(["perennial.decision"])
    True
    """
    found = []
    for room in rooms:
        folder = importlib.import_module(room).__path__
        found += [room, *(module.name for module in pkgutil.walk_packages(folder, f"{room}."))]
    return found


def _imported(name: str) -> bool:
    try:
        importlib.import_module(name)
    except ImportError:
        _log.warning("cannot preload %s", name, exc_info=True)
        return False
    return True


def preload_if_scheduler() -> None:
    """Preload in the scheduler and nowhere else: the other processes would only wait for it."""
    quiet_great_expectations()
    if is_scheduler(sys.argv):
        preload()
