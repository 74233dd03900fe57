"""What the scheduler imports works in the tasks that are forked from it, and costs them nothing."""

import os
import subprocess
import sys
from pathlib import Path

from stack.layout import PROJECT

# A process of its own: a fork from the tests' process would inherit whatever other tests have started in it.
PROGRAM = """
import multiprocessing, os, sys, time
from pathlib import Path
sys.argv[0:1] = ["airflow", "scheduler"]
import airflow.utils.timezone, airflow_local_settings  # Airflow is there when it imports our settings
assert "evidently" in sys.modules, "the scheduler has not imported what its tasks need"
from airflow.executors.local_executor import LocalExecutor
from perennial.orchestration.executor import RevokingLocalExecutor
from perennial.orchestration.preload import preload

def task(folder):
    began = time.monotonic()
    known = set(sys.modules)
    import perennial.monitoring.drift.measuring, perennial.pipeline.loops, perennial.training.probe
    import perennial.signoff.signing, perennial.validation.audit, perennial.orchestration.tasks.retrain
    assert not (new := set(sys.modules) - known), f"imported in the task: {new}"
    import duckdb, mlflow.sklearn, numpy as np, pandas as pd, pyarrow as pa, pyarrow.parquet as pq
    import evidently, great_expectations
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.linear_model import LogisticRegression
    imported_s = time.monotonic() - began
    x = np.random.default_rng(0).normal(size=(20_000, 8))
    y = (x[:, 0] > 0).astype(int)
    assert HistGradientBoostingClassifier(max_iter=5).fit(x, y).score(x, y) > 0.9   # OpenMP
    assert LogisticRegression().fit(x @ (x.T @ x), y).classes_.size == 2            # OpenBLAS
    file = Path(folder) / f"{os.getpid()}.parquet"
    pq.write_table(pa.Table.from_pandas(pd.DataFrame(x).rename(columns=str)), file)
    assert pq.read_table(file, use_threads=True).num_rows == 20_000                 # Arrow
    assert duckdb.sql(f"SELECT count(*) FROM '{file}'").fetchall() == [(20_000,)]   # DuckDB
    assert imported_s < 1.0, f"importing took {imported_s:.1f} s in the task"

if __name__ == "__main__":
    assert preload() == []
    LocalExecutor.start = lambda executor: None
    RevokingLocalExecutor().start()
    fork = multiprocessing.get_context("fork")
    tasks = [fork.Process(target=task, args=(sys.argv[2],)) for _ in range(3)]
    for started in tasks:
        started.start()
    for started in tasks:
        started.join(90)
    alive = [started for started in tasks if started.is_alive()]
    for hanging in alive:
        hanging.kill()
    sys.exit(f"{len(alive)} of {len(tasks)} hang" if alive else max(started.exitcode for started in tasks))
"""


def scheduler_environment() -> dict[str, str]:
    """What a scheduler starts with; the limit that parallel workers of pytest set would keep OpenMP's threads away."""
    inherited = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    return {**inherited, "PYTHONPATH": str(PROJECT / "include")}


def test_forked_tasks_import_for_nothing_and_every_library_works_in_them(tmp_path: Path) -> None:
    program = tmp_path / "scheduler.py"
    program.write_text(PROGRAM)
    done = subprocess.run(
        [sys.executable, str(program), str(tmp_path)],
        env=scheduler_environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    assert "is deprecated" not in done.stdout + done.stderr  # of names that nobody used


def test_no_other_process_of_airflow_imports_them() -> None:
    code = "import sys; sys.argv = ['airflow', 'triggerer']; import airflow_local_settings; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        env=scheduler_environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = done.stdout.split()
    assert "airflow_local_settings" in loaded
    assert "pandas" not in loaded
