"""One monitor run of a 10k-row window through a warm Airflow: from its trigger to its success.

The first runs warm it and give the model a champion, so that drift, quality, performance and what a retrain would gain
are really measured. What no task was running for is the scheduler's share. Run it as
``python tests/bench/bench_airflow.py --out figures.json``.
"""

import argparse
import json
import sys
import time
from datetime import datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "include")]

import yaml

from dag_files import TEMPLATES
from logs import day, deliver, delivery
from running_loop import MODEL, MONITOR, RETRAIN, Loop, running_loop
from servers import temporary_stack

N_ROWS = 10_000
BUDGET_S = 15.0


def everything_on() -> str:
    """The signals of the model with the probe that it does without in the tests, as an entry of ``model.yaml``."""
    declared = yaml.safe_load((TEMPLATES / "wine_cultivar" / "model.yaml").read_text(encoding="utf-8"))
    return json.dumps({**declared["signals"], "gain": {"probe": "small"}})


def spans_of(loop: Loop, run_id: str) -> list[tuple[datetime, datetime, str]]:
    """When each task of a run was at work, and its name; in order."""
    answer = loop.airflow.http.get(f"/dags/{MONITOR}/dagRuns/{run_id}/taskInstances").raise_for_status()
    return sorted(
        (datetime.fromisoformat(task["start_date"]), datetime.fromisoformat(task["end_date"]), task["task_id"])
        for task in answer.json()["task_instances"]
        if task["duration"]
    )


def busy_s(spans: list[tuple[datetime, datetime, str]]) -> float:
    """Seconds in which at least one task was at work."""
    busy, last = 0.0, spans[0][0]
    for start, end, _ in spans:
        if end > last:
            busy += (end - max(start, last)).total_seconds()
            last = end
    return busy


def main() -> None:
    """Print the figures and write them to ``--out``."""
    options = argparse.ArgumentParser()
    options.add_argument("--out", type=Path)
    with temporary_stack() as layout, running_loop(layout, signals=everything_on()) as loop:
        loop.airflow.unpause(MONITOR)
        seconds = 0.0
        for number in range(6):
            deliver(loop.home, MODEL, day(number), delivery(MODEL, day(number), N_ROWS))
            began = time.monotonic()
            states = loop.monitor(day(number))
            seconds = time.monotonic() - began
            if asked := loop.entries("decision")[-1].payload["decision"]["retrain_run_id"]:
                loop.await_run(RETRAIN, asked)
        assert states["measure_drift"] == states["measure_gain"] == "success"
        assert loop.alias("champion") == "1"
        spans = spans_of(loop, f"{day(number).key}__by_hand")
    busy, first = busy_s(spans), spans[0][0]
    for start, end, task in spans:
        at, took = (start - first).total_seconds(), (end - start).total_seconds()
        sys.stdout.write(f"{task:30} from {at:6.2f} s, {took:6.2f} s long\n")
    figures = [
        {"name": "monitor run of 10k rows, trigger to success", "ours": seconds, "limit": BUDGET_S},
        {"name": "of it, tasks at work", "ours": busy, "limit": None},
        {"name": "of it, the scheduler's share", "ours": seconds - busy, "limit": None},
    ]
    figures = [{**figure, "unit": "s", "theirs": None, "ratio": None} for figure in figures]
    for line in figures:
        sys.stdout.write(f"{line['name']:55} {line['ours']:8.2f} s\n")
    if out := options.parse_known_args()[0].out:
        out.write_text(json.dumps(figures, indent=2), encoding="utf-8")


if __name__ == "__main__":
    main()
