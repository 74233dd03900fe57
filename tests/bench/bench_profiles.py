"""Profiles against the fastest installed alternative, and drift over a year of them.

    python tests/bench/bench_profiles.py --rows 1000000 --out figures.json

Building: the rows of twelve days, 20 features and a score, to profiles, against one DuckDB scan that makes the same
histograms by day. Both have the rows in memory; CPU seconds of the process, the best of several, in turn. Drift: 365
daily profiles of that width as they are kept, read into counts and judged in one test, against a budget of a second.
"""

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parents[1] / "include"), str(HERE.parent), str(HERE)]

import duckdb
import numpy as np
import pyarrow as pa
from bench_monitoring import N_CATEGORIES, N_NUMBERS, START, features, figure

from perennial.monitoring.drift.judging import Effect, judge
from perennial.profiles.coding import decode, encode
from perennial.profiles.counting import ProfileLayout, count_rows, grid_of
from perennial.profiles.grid import Floats
from perennial.profiles.profile import merge

NUMBERS = [f"n{i:02d}" for i in range(N_NUMBERS)]
CATEGORIES = [f"c{i}" for i in range(N_CATEGORIES)]
DAY_US = 86_400_000_000
START_US = int(START.timestamp() * 1e6)


def rows_of(n_rows: int) -> pa.Table:
    """Rows in time order over twelve days."""
    rng = np.random.default_rng(1)
    times = START_US + np.arange(n_rows) * (12 * DAY_US // n_rows)
    more = {"score": rng.normal(size=n_rows), "model_version": pa.repeat("1", n_rows)}
    return pa.table({"event_time": pa.array(times, pa.timestamp("us", "UTC")), **features(n_rows, rng), **more})


def cpu_s(work: Any) -> float:
    """CPU seconds of this process, all its threads."""
    begun = time.process_time()
    work()
    return time.process_time() - begun


def building(rows: pa.Table, grid: dict[str, Floats], times: int) -> dict[str, Any]:
    """The profile of the rows against the same histograms by DuckDB."""
    layout = ProfileLayout(block_us=DAY_US, numbers=NUMBERS, categories=CATEGORIES, grid=grid)
    tables = [pa.Table.from_batches([one]) for one in rows.to_batches(65_536)]
    counted = [f"histogram({name}, {grid[name].tolist()})" for name in (*NUMBERS, "score")]
    counted += [f"histogram({name})" for name in CATEGORIES]
    scan = f"SELECT event_time::DATE AS block, {', '.join(counted)} FROM rows GROUP BY block"  # noqa: S608
    connection = duckdb.connect(config={"threads": 2})
    connection.register("rows", rows)
    pairs = [
        (cpu_s(lambda: count_rows(tables, layout)), cpu_s(lambda: connection.sql(scan).fetchall()))
        for _ in range(times)
    ]
    ours, theirs = (min(column) for column in zip(*pairs, strict=True))
    return figure(f"profile of {rows.num_rows:,} x {N_NUMBERS + N_CATEGORIES}, CPU", ours, theirs, limit=2.0)


def drift_of_a_year(rows: pa.Table, grid: dict[str, Floats]) -> dict[str, Any]:
    """Fourteen days of 365 against the others: bytes to verdict."""
    layout = ProfileLayout(block_us=DAY_US, numbers=NUMBERS, categories=CATEGORIES, grid=grid)
    (_, n_rows, kept), *_ = encode(count_rows([rows.slice(0, 50_000)], layout))

    def verdict() -> None:
        year = merge([decode(START_US + day * DAY_US, n_rows, kept, grid) for day in range(365)], grid)
        in_window = np.arange(365) >= 351
        asked = [Effect(name=name, method="wasserstein", threshold=0.1) for name in NUMBERS]
        asked += [Effect(name=name, method="jensen_shannon", threshold=0.1) for name in CATEGORIES]
        judge(year.among(~in_window), year.among(in_window), asked, alpha=0.002, seed=1)

    return figure("drift over 365 daily profiles, CPU", min(cpu_s(verdict) for _ in range(3)), None, limit=1.0)


def main() -> int:
    """Measure and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--times", type=int, default=5)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    rows = rows_of(200_000 if asked.quick else asked.rows)
    grid = grid_of(rows.slice(0, 200_000), [*NUMBERS, "score"])
    figures = [building(rows, grid, asked.times), drift_of_a_year(rows, grid)]
    for item in figures:
        shown = {
            key: f"{item[key]:.3f}" if item[key] is not None else "-" for key in ("ours", "theirs", "ratio", "limit")
        }
        print(f"{item['name']:45} {item['unit']:3} " + "  ".join(f"{key} {value}" for key, value in shown.items()))
    if asked.out:
        asked.out.write_text(json.dumps(figures, indent=2), encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
