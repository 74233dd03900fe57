"""What the DAG processor pays for the DAG files: in seconds for 100 models, and whether that grows in step with them.

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
n_dags = len([DagSerialization.to_dict(dag) for dag in bag.dags.values()])
assert not bag.import_errors, bag.import_errors
print(parsed - began, time.perf_counter() - parsed, n_dags)
"""
BUDGET_S = 2.0
STRAIGHT = 1.15
"""100 models may cost at most so many times what twice 50 models cost."""


def parse(models_dir: Path, home: Path, *, of_task: str | None = None, repeat: int = 5) -> tuple[float, float]:
    """Seconds to import all DAG files, and to serialise their DAGs; the best of ``repeat`` processes."""
    environment = {
        **os.environ,
        "AIRFLOW_HOME": str(home),
        "PYTHONPATH": str(ROOT / "include"),
        "PERENNIAL_MODELS_DIR": str(models_dir),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(ROOT / "plugins"),
        "AIRFLOW__LOGGING__LOGGING_LEVEL": "CRITICAL",
        **({"_AIRFLOW_PARSING_CONTEXT_DAG_ID": of_task} if of_task else {}),
    }
    folder = ROOT / "dags" / ("monitor.py" if of_task else "")
    command = [sys.executable, "-c", PARSE, str(folder)]
    printed = [
        subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout.splitlines()[-1]
        for _ in range(repeat)
    ]
    times = [tuple(map(float, line.split()[:2])) for line in printed]
    return min(found[0] for found in times), min(found[1] for found in times)


def measure() -> list[dict[str, object]]:
    """The figures."""
    with tempfile.TemporaryDirectory() as name:
        home, seconds, serialised = Path(name) / "airflow", {}, {}
        for n_models in (1, 50, 100):
            models = Path(name) / f"of_{n_models}"
            for number in range(n_models):
                declare(models, f"model_{number:03}")
            seconds[n_models], serialised[n_models] = parse(models, home)
        of_task, _ = parse(Path(name) / "of_100", home, of_task="model_050__monitor")
    return [
        figure("all DAG files, 100 models", seconds[100], "s", limit=BUDGET_S),
        figure("all DAG files, 100 models against twice 50", seconds[100], "s", 2 * seconds[50], limit=STRAIGHT),
        figure("all DAG files, 1 model", seconds[1], "s"),
        figure("the DAG of one task, 100 models", of_task, "s"),
        figure("Airflow's serialisation of the DAGs of 100 models", serialised[100], "s"),
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
