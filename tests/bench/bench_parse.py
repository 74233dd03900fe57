"""What the DAG processor pays for the DAG files of 100 models: against as many DAGs and tasks of Airflow alone, and
whether it grows in step with the models.

Airflow itself is imported beforehand, as it is in the DAG processor, which forks a process for each file; our own
modules are imported by each measured process. Run it as ``python tests/bench/bench_parse.py --out figures.json``.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests")]

from dag_files import declare

PARSE = """
import sys, time
from airflow.dag_processing.dagbag import DagBag
from airflow.serialization.serialized_objects import DagSerialization

began = time.perf_counter()
bag = DagBag(dag_folder=sys.argv[1])
parsed = time.perf_counter()
[DagSerialization.to_dict(dag) for dag in bag.dags.values()]
serialised = time.perf_counter()
assert not bag.import_errors, bag.import_errors
print(parsed - began, serialised - parsed, *(len(dag.tasks) for dag in bag.dags.values()))
"""
BARE = """
from datetime import UTC, datetime
from airflow.sdk import DAG, task

@task
def step(*before):
    return 1

for number, n_tasks in enumerate({n_tasks}):
    with DAG(f"bare_{{number}}", schedule=None, start_date=datetime(2024, 1, 1, tzinfo=UTC), catchup=False):
        last = step()
        for _ in range(n_tasks - 1):
            last = step(last)
"""
TIMES_BARE = 2.0
STRAIGHT = 1.15
"""100 models may cost at most so many times what twice 50 models cost."""


def parse(folder: Path, models_dir: Path, *, of_task: str | None = None, repeat: int = 5) -> list[float]:
    """Seconds to import all DAG files of a folder, and to serialise their DAGs, the best of ``repeat`` processes; and
    how many tasks each DAG has."""
    environment = {
        **os.environ,
        "AIRFLOW_HOME": str(models_dir.parent / "airflow"),
        "PYTHONPATH": str(ROOT / "include"),
        "PERENNIAL_MODELS_DIR": str(models_dir),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(ROOT / "plugins"),
        "AIRFLOW__LOGGING__LOGGING_LEVEL": "CRITICAL",
        **({"_AIRFLOW_PARSING_CONTEXT_DAG_ID": of_task} if of_task else {}),
    }
    command = [sys.executable, "-c", PARSE, str(folder)]
    printed = [
        subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout.splitlines()[-1]
        for _ in range(repeat)
    ]
    found = [list(map(float, line.split())) for line in printed]
    return [min(one[0] for one in found), min(one[1] for one in found), *found[0][2:]]


def measure() -> list[dict[str, object]]:
    """The figures."""
    with tempfile.TemporaryDirectory() as name:
        seconds = {}
        for n_models in (1, 50, 100):
            models = Path(name) / f"of_{n_models}"
            for number in range(n_models):
                declare(models, f"model_{number:03}")
            seconds[n_models] = parse(ROOT / "dags", models)
        alone = Path(name) / "alone"
        alone.mkdir()
        n_tasks = [int(count) for count in seconds[100][2:]]
        (alone / "bare.py").write_text(BARE.format(n_tasks=n_tasks), encoding="utf-8")
        bare = parse(alone, models)
        of_task = parse(ROOT / "dags" / "monitor.py", models, of_task="model_050__monitor")
    tasks = f"{len(n_tasks)} DAGs, {sum(n_tasks):,} tasks"
    return [
        figure(
            f"all DAG files, 100 models, against {tasks} of Airflow's", seconds[100][0], "s", bare[0], limit=TIMES_BARE
        ),
        figure("all DAG files, 100 models against twice 50", seconds[100][0], "s", 2 * seconds[50][0], limit=STRAIGHT),
        figure("all DAG files, 1 model", seconds[1][0], "s"),
        figure("the DAG of one task, 100 models", of_task[0], "s"),
        figure("Airflow's serialisation of the DAGs of 100 models", seconds[100][1], "s", bare[1]),
    ]


def figure(
    name: str, ours: float, unit: str, theirs: float | None = None, *, limit: float | None = None
) -> dict[str, object]:
    """One line of the table of benchmarks."""
    ratio = ours / theirs if theirs else None
    return {"name": name, "ours": ours, "theirs": theirs, "unit": unit, "ratio": ratio, "limit": limit}


def main() -> None:
    """Print the figures and write them to ``--out``."""
    options = argparse.ArgumentParser()
    options.add_argument("--out", type=Path)
    figures = measure()
    for line in figures:
        sys.stdout.write(f"{line['name']:55} {line['ours']:8.4f} {line['unit']}\n")
    if out := options.parse_known_args()[0].out:
        out.write_text(json.dumps(figures, indent=2), encoding="utf-8")


if __name__ == "__main__":
    main()
