"""Airflow's own API server for tests: its login, its pages and our plugin, over tables of its own in SQLite.

``python -m airflow_site PORT`` makes the tables, writes the DAGs of the models down as the DAG processor does, and is
``airflow api-server`` from then on. No scheduler: a run that is started there waits.
"""

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from dag_files import ROOT
from servers import free_port, kept, reachable_folder

STARTS_WITHIN_S = 120
DAG_FILES = ("monitor", "retrain", "rollback")


@dataclass(frozen=True, slots=True)
class AirflowSite:
    """A running server, and what its users log in with."""

    url: str
    password: str
    database: Path


@contextmanager
def airflow_site(users: dict[str, str], environment: dict[str, str]) -> Iterator[AirflowSite]:
    """Serve the console to ``users``, by their names their roles; ``environment`` is what Perennial needs of it."""
    port, password = free_port(), "of this test alone"
    url = f"http://localhost:{port}"
    with reachable_folder() as folder:
        (folder / "passwords.json").write_text(json.dumps(dict.fromkeys(users, password)), encoding="utf-8")
        given = {
            "PYTHONPATH": f"{ROOT / 'include'}:{ROOT / 'tests'}",
            "AIRFLOW_HOME": str(folder),
            "AIRFLOW__CORE__PLUGINS_FOLDER": str(ROOT / "plugins"),
            "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "dags"),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": ",".join(f"{name}:{role}" for name, role in users.items()),
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(folder / "passwords.json"),
            "AIRFLOW__API__BASE_URL": url,
            "AIRFLOW__API__SECRET_KEY": "of this test alone" * 4,
            "AIRFLOW__API_AUTH__JWT_SECRET": "of this test alone" * 4,
            **environment,
        }
        log = folder.with_suffix(".log")
        command = [sys.executable, "-m", "airflow_site", str(port)]
        try:
            with kept(folder, log=log, environment=given, command=command) as check:
                _wait(url, check)
                yield AirflowSite(url, password, folder / "airflow.db")
        finally:
            log.unlink(missing_ok=True)


def _wait(url: str, check: Any) -> None:
    end = time.monotonic() + STARTS_WITHIN_S
    while time.monotonic() < end:
        check()
        with suppress(httpx.TransportError):
            if httpx.get(f"{url}/api/v2/version", timeout=5).status_code == httpx.codes.OK:
                return
        time.sleep(0.2)
    raise RuntimeError(f"Airflow at {url} did not answer within {STARTS_WITHIN_S} s")


def main() -> None:
    """What the process of the server does."""
    from airflow.dag_processing.dagbag import DagBag, sync_bag_to_db
    from airflow.models.dagbundle import DagBundleModel
    from airflow.utils.db import initdb
    from airflow.utils.session import create_session

    initdb()
    with create_session(scoped=False) as session:
        session.merge(DagBundleModel(name="dags", version=None))
    for kind in DAG_FILES:
        found = DagBag(dag_folder=str(ROOT / "dags" / f"{kind}.py"), bundle_path=ROOT / "dags", bundle_name="dags")
        if found.import_errors:
            raise RuntimeError(str(found.import_errors))
        sync_bag_to_db(found, "dags", None)
    port = sys.argv[1]
    sys.argv = ["airflow", "api-server", "--host", "127.0.0.1", "--port", port, "--workers", "1", "--apps", "core"]
    from airflow.__main__ import main as airflow

    airflow()


if __name__ == "__main__":
    main()
