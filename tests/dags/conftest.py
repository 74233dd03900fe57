"""Airflow as the DAG processor sees it: our DAG files, our plugin, no database."""

import atexit
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dag_files import ROOT

# Airflow reads these once, when it is first imported.
os.environ["AIRFLOW_HOME"] = tempfile.mkdtemp(prefix="perennial-airflow-")
atexit.register(shutil.rmtree, os.environ["AIRFLOW_HOME"], ignore_errors=True)
os.environ["AIRFLOW__CORE__PLUGINS_FOLDER"] = str(ROOT / "plugins")
os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"
os.environ["AIRFLOW__API_AUTH__JWT_SECRET"] = "of these tests alone" * 4


@pytest.fixture
def parse(models_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Any]:
    """Import the DAG files over the models of this test."""
    from airflow.dag_processing.dagbag import DagBag

    monkeypatch.setenv("PERENNIAL_MODELS_DIR", str(models_dir))
    return lambda: DagBag(dag_folder=str(ROOT / "dags"), bundle_path=ROOT / "dags", bundle_name="dags")


@pytest.fixture(scope="session")
def airflow_login() -> Any:
    """Airflow's login of the local stack, over tables of its own in the SQLite file of its home."""
    from airflow import settings
    from airflow.api_fastapi.app import create_auth_manager
    from airflow.models import import_all_models
    from airflow.models.base import Base

    import_all_models()
    Base.metadata.create_all(settings.engine)
    return create_auth_manager()
