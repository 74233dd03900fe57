"""Runs every benchmark in a process of its own and prints the ratios: ``python tests/bench [--quick] [NAME ...]``.

Each ``bench_*.py`` measures against the raw tool in the same run and writes a list of figures as JSON to ``--out``:
``{"name", "ours", "theirs", "unit", "ratio", "limit"}``; ``limit`` is the budget of the ratio, or of ``ours`` where
there is nothing to compare with.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent)]

from keeper import die_with_parent

RESULTS = HERE.parents[1] / ".state" / "bench.json"


def over_budget(figure: dict[str, Any]) -> bool:
    """True when the ratio of a figure, or its value where there is nothing to compare with, is above its budget."""
    measured = figure["ours"] if figure.get("ratio") is None else figure["ratio"]
    return figure.get("limit") is not None and measured > figure["limit"]


def measured(script: Path, options: list[str]) -> tuple[list[dict[str, Any]], bool]:
    """The figures of one benchmark, and whether it went well: one that wrote none has measured nothing."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "figures.json"
        command = [sys.executable, str(script), "--out", str(out), *options]
        done = subprocess.run(command, check=False, preexec_fn=die_with_parent)
        figures = json.loads(out.read_text(encoding="utf-8")) if out.exists() else []
    return figures, not done.returncode and bool(figures)


def main() -> int:
    """Run the benchmarks named on the command line, or all; 1 when one is over its budget or could not be measured."""
    die_with_parent()
    wanted = {argument for argument in sys.argv[1:] if not argument.startswith("--")}
    options = [argument for argument in sys.argv[1:] if argument.startswith("--")]
    figures, failed = [], []
    for script in sorted(HERE.glob("bench_*.py")):
        name = script.stem.removeprefix("bench_")
        if wanted and name not in wanted:
            continue
        found, went_well = measured(script, options)
        figures += [{"benchmark": name, **figure} for figure in found]
        if not went_well:
            failed.append(name)
    failed += sorted({figure["benchmark"] for figure in figures if over_budget(figure)} - set(failed))
    table = Table("benchmark", "figure", "ours", "raw tool", "ratio", "budget")
    for figure in figures:
        cells = [figure.get(key) for key in ("ours", "theirs", "ratio", "limit")]
        shown = [f"{value:.3g}" if isinstance(value, int | float) else "-" for value in cells]
        table.add_row(figure["benchmark"], f"{figure['name']} ({figure['unit']})", *shown)
    Console().print(table)
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(json.dumps(figures, indent=2), encoding="utf-8")
    Console().print(
        f"written to {RESULTS}" + (f"; over budget, or not measured: {', '.join(failed)}" if failed else "")
    )
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
