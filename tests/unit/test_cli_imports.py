"""What a command imports before it does anything, by the names of modules: seconds would be the machine's."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy
import pytest
import scipy.special
from skops.io._trusted_types import NUMPY_UFUNC_TYPE_NAMES, SCIPY_UFUNC_TYPE_NAMES
from skops.io._utils import whichmodule

from perennial.registry.skops_imports import module_of
from perennial.settings import ROOT

NUMBERS = {"numpy", "pandas", "scipy", "sklearn", "pyarrow", "duckdb", "adbc_driver_postgresql", "matplotlib"}
VENDORS = {"mlflow", "great_expectations", "evidently", "alembic", "optuna", "skops", "airflow"}
STORE = {"sqlalchemy", "psycopg2", "croniter", "yaml"}
WITNESS = """
import json, os, sys
sys.argv = ["perennial", *sys.argv[1:]]
from perennial.cli import main
try:
    main()
except SystemExit:
    pass
tops = sorted({name.partition(".")[0] for name in sys.modules})
print("\\n" + json.dumps({"modules": tops, "threads": os.environ.get("OMP_NUM_THREADS")}))
"""


def seen(tmp_path: Path, *words: str, **environment: str) -> dict:
    """What a process of its own imported for a command; there is no server for it to ask."""
    given = {
        "PYTHONPATH": str(ROOT / "include"),
        "PERENNIAL_HOME": str(tmp_path / "home"),
        "PERENNIAL_MODELS_DIR": str(tmp_path / "models"),
        "PERENNIAL_DATABASE_URL": "postgresql://nobody:none@127.0.0.1:9/none",
        "MLFLOW_TRACKING_URI": "http://127.0.0.1:9",
        **environment,
    }
    done = subprocess.run(
        [sys.executable, "-c", WITNESS, *words], env=given, capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """One model without expectations of its own."""
    shutil.copytree(ROOT / "tests" / "models" / "tumour_malignant", tmp_path / "models" / "tumour_malignant")
    return tmp_path / "models"


@pytest.mark.parametrize(
    ("words", "unneeded"),
    [
        (("--help",), NUMBERS | VENDORS | STORE),
        (("run", "monitor", "--help"), NUMBERS | VENDORS | STORE),
        (("status",), (NUMBERS - {"numpy", "pyarrow"}) | VENDORS),
        (("signals", "tumour_malignant"), (NUMBERS - {"numpy", "pyarrow"}) | VENDORS),
        (("check",), {"great_expectations", "evidently", "mlflow", "alembic"}),
    ],
)
def test_a_command_imports_nothing_that_it_does_not_need(
    words: tuple[str, ...], unneeded: set[str], tmp_path: Path, models: Path
) -> None:
    assert unneeded & set(seen(tmp_path, *words)["modules"]) == set()


def test_a_command_works_on_one_thread_unless_told_otherwise(tmp_path: Path) -> None:
    assert seen(tmp_path, "--help")["threads"] == "1"
    assert seen(tmp_path, "--help", OMP_NUM_THREADS="4")["threads"] == "4"


def test_what_vendors_import_and_hardly_use_waits() -> None:
    """The divergence of a column needs scipy.stats and altair, and gets them then; what reads a model runs no plot."""
    asked = (
        "import sys, perennial.validation.gx_imports as g; "
        "print(type(sys.modules['scipy.stats']).__name__, type(sys.modules['altair']).__name__)\n"
        "import perennial.registry.trust\n"
        "print(type(sys.modules['altair']).__name__)\n"
        "from mlflow import MlflowClient; print('mlflow.genai.judges' in sys.modules, 'fastapi' in sys.modules)\n"
        "from great_expectations.expectations.core import expect_column_kl_divergence_to_be_less_than as kl\n"
        "print(float(kl.stats.entropy([0.5, 0.5], [0.5, 0.5])), type(sys.modules['scipy.stats']).__name__)"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", asked],
        env={"PYTHONPATH": str(ROOT / "include")}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.split() == ["_LazyModule"] * 3 + ["False", "False", "0.0", "module"]


def test_what_skops_takes_for_harmless_is_named_as_skops_names_it() -> None:
    """Other names would refuse the files of before; each twelfth function is looked for in every module."""
    for package, listed in ((numpy, NUMPY_UFUNC_TYPE_NAMES), (scipy.special, SCIPY_UFUNC_TYPE_NAMES)):
        functions = [(name, getattr(package, name.rpartition(".")[2])) for name in listed[::12]]
        found = [[search(one, one.__name__) for search in (module_of, whichmodule)] for _, one in functions]
        assert found == [[name.rpartition(".")[0]] * 2 for name, _ in functions]
