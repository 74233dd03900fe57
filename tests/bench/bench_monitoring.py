"""Monitoring against the bare tools doing the same work: reading a window, measuring drift, and memory as it grows.

    python tests/bench/bench_monitoring.py --rows 1000000 10000000 --sample 20000 --out figures.json

The bare reads are ADBC reads of the same columns of the whole window; the bare drift is Evidently's ``ValueDrift`` of
the same columns on the same sample, already in pandas. Times are the best of several, alternating. Memory is that of
a process that only reads a sample, at its peak (``VmHWM``: ``ru_maxrss`` of a child starts at its parent's).
PERENNIAL_TEST_POSTGRES names the server; without it one is started.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

sys.path[:0] = [str(Path(__file__).parents[2] / "include"), str(Path(__file__).parents[1])]

import numpy as np
import pyarrow as pa
from sqlalchemy import create_engine, select, text
from sqlalchemy.engine import make_url

from perennial.config import ModelConfig, load_model
from perennial.contracts import Window
from perennial.store import Store, bulk, open_store, schema
from perennial.store.migrate import migrate
from perennial.store.tables import ensure_data_tables

START = datetime(2024, 1, 1, tzinfo=UTC)
N_NUMBERS, N_CATEGORIES, CHUNK_ROWS = 16, 4, 100_000
LETTERS = np.array(list("abcdef"))


def model(sample_rows: int) -> ModelConfig:
    """A binary model of 20 features, on the settings of a test model."""
    declared = load_model(Path(__file__).parents[1] / "models" / "diabetes_progress").model_dump()
    numbers: dict[str, Any] = {f"n{i:02d}": {"type": "float"} for i in range(N_NUMBERS)}
    categories = {f"c{i}": {"type": "category", "categories": list(LETTERS)} for i in range(N_CATEGORIES)}
    declared |= {"model": "wide", "features": numbers | categories}
    declared["signals"]["sample_rows"] = sample_rows
    return ModelConfig.model_validate(declared)


def window(n_rows: int) -> Window:
    """The window that holds the first ``n_rows`` rows: they lie one second apart."""
    return Window(start=START, end=START + timedelta(seconds=n_rows))


def features(n_rows: int, rng: np.random.Generator) -> dict[str, Any]:
    """Random features; one in twenty numbers of the first column is missing."""
    numbers = {f"n{i:02d}": rng.normal(size=n_rows) for i in range(N_NUMBERS)}
    numbers["n00"][rng.random(n_rows) < 0.05] = np.nan
    return numbers | {f"c{i}": pa.array(LETTERS[rng.integers(0, 6, n_rows)]) for i in range(N_CATEGORIES)}


def predictions(n_rows: int) -> Iterator[pa.Table]:
    """Rows in time order with ids in none, a bounded table at a time."""
    for first in range(0, n_rows, CHUNK_ROWS):
        n = min(CHUNK_ROWS, n_rows - first)
        rng = np.random.default_rng(first)
        seconds = np.arange(first, first + n)
        yield pa.table(
            {
                "prediction_id": pa.array(np.char.mod("p-%09d", rng.permutation(seconds))),
                "event_time": pa.array(int(START.timestamp() * 1e6) + seconds * 1_000_000, pa.timestamp("us", "UTC")),
                **features(n, rng),
                "score": rng.normal(size=n),
                "predicted": pa.nulls(n, pa.string()),
                "model_version": pa.repeat("1", n),
                "role": pa.repeat("champion", n),
                "batch_seq": pa.repeat(pa.scalar(1, pa.int64()), n),
            }
        )


def labels(n_rows: int) -> Iterator[pa.Table]:
    """A label for nineteen rows in twenty, an hour after the last event."""
    for rows in predictions(n_rows):
        kept = rows.slice(0, rows.num_rows * 19 // 20)
        yield pa.table(
            {
                "prediction_id": kept["prediction_id"],
                "label": np.random.default_rng(1).normal(size=kept.num_rows),
                "labelled_at": pa.array([window(n_rows).end] * kept.num_rows, pa.timestamp("us", "UTC")),
                "batch_seq": kept["batch_seq"],
            }
        )


def fill(store: Store, config: ModelConfig, n_rows: int) -> None:
    """Load predictions and labels, and let PostgreSQL know what it has."""
    migrate(store)
    ensure_data_tables(store, config)
    for table, rows in ((schema.predictions_table(config), predictions), (schema.labels_table(config), labels)):
        with bulk.bulk_transaction(store) as cursor:
            for chunk in rows(n_rows):
                bulk.copy_in(cursor, table, chunk.to_reader())
    with store.begin() as connection:
        connection.execute(text("ANALYZE"))


@contextmanager
def database() -> Iterator[str]:
    """The URL of a database that is dropped afterwards."""
    if given := os.environ.get("PERENNIAL_TEST_POSTGRES"):
        yield from _fresh(given)
        return
    from servers import reachable_folder, temporary_postgres

    with reachable_folder() as folder, temporary_postgres(folder) as url:
        yield from _fresh(url)


def _fresh(server: str) -> Iterator[str]:
    name = f"bench_{uuid4().hex[:12]}"
    admin = make_url(server).set(drivername="postgresql+psycopg2")
    engine = create_engine(admin, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f'CREATE DATABASE "{name}"'))
    try:
        yield admin.set(database=name).render_as_string(hide_password=False)
    finally:
        with engine.connect() as connection:
            connection.execute(text(f'DROP DATABASE "{name}" WITH (FORCE)'))
        engine.dispose()


def race(ours: Callable[[], Any], theirs: Callable[[], Any], times: int) -> tuple[float, float]:
    """The best seconds of each, run in turn so that both meet the same disturbances."""
    seconds: tuple[list[float], list[float]] = ([], [])
    for _ in range(times):
        for runs, work in zip(seconds, (ours, theirs), strict=True):
            start = time.perf_counter()
            work()
            runs.append(time.perf_counter() - start)
    return min(seconds[0]), min(seconds[1])


def figure(
    name: str, ours: float, theirs: float | None, *, unit: str = "s", limit: float | None = None
) -> dict[str, Any]:
    """One line of the result."""
    ratio = ours / theirs if theirs else None
    return {"name": name, "ours": ours, "theirs": theirs, "unit": unit, "ratio": ratio, "limit": limit}


def drift_read(store: Store, config: ModelConfig, n_rows: int, times: int) -> dict[str, Any]:
    """The sample for drift against the whole window through bare ADBC."""
    from perennial.evidence.rows import served
    from perennial.evidence.samples import read_sample

    table = schema.predictions_table(config)
    columns = [table.c[name] for name in (*config.features, "score", "model_version")]
    bare = select(*columns).where(served(table, window(n_rows), as_of=window(n_rows).end))
    ours, theirs = race(lambda: read_sample(config, window(n_rows), store=store), lambda: bulk.read(store, bare), times)
    return figure(f"read for drift, {n_rows:,} rows", ours, theirs, limit=1.2)


def performance_read(store: Store, config: ModelConfig, n_rows: int, times: int) -> list[dict[str, Any]]:
    """The labelled rows for performance against the whole join through bare ADBC; what the coverage costs besides."""
    from perennial.evidence.labelled import labelled_query
    from perennial.evidence.maturity import read_coverage
    from perennial.evidence.rows import served

    as_of = window(n_rows).end + timedelta(days=365)
    start = time.perf_counter()
    coverage = read_coverage(config, window(n_rows), as_of=as_of, champion="1", store=store)
    coverage_s = time.perf_counter() - start
    table, known = schema.predictions_table(config), schema.labels_table(config)
    bare = (
        select(table.c.score, table.c.predicted, known.c.label)
        .join_from(table, known, table.c.prediction_id == known.c.prediction_id)
        .where(served(table, window(n_rows), as_of=window(n_rows).end))
    )
    query = labelled_query(config, coverage, version="1", as_of=as_of, with_features=False)
    ours, theirs = race(lambda: bulk.read(store, query), lambda: bulk.read(store, bare), times)
    return [
        figure(f"read for performance, {n_rows:,} rows", ours, theirs, limit=1.2),
        figure(f"count label coverage, {n_rows:,} rows", coverage_s, theirs),
    ]


def drift(config: ModelConfig, times: int) -> dict[str, Any]:
    """Our drift of one window, from Arrow rows to signals and page, against bare ``ValueDrift`` on pandas frames.

    Both sides lie in blocks of some thousand rows, which are counted within our time.
    """
    from evidently import DataDefinition, Dataset, Report
    from evidently.metrics import ValueDrift

    from drifting import drift_of

    sides = []
    for seed, n_rows in ((1, config.signals.sample_rows), (2, 2 * config.signals.sample_rows)):
        rng = np.random.default_rng(seed)
        more = {"score": rng.normal(size=n_rows), "model_version": ["1"] * n_rows, "part": ["holdout"] * n_rows}
        more["event_time"] = pa.array(np.arange(n_rows) * 3_000_000 - seed * 10**14, pa.timestamp("us", "UTC"))
        sides.append(pa.table(features(n_rows, rng) | more))
    rows, reference = sides
    columns = [*config.features, "score"]
    frames = [side.select(columns).to_pandas() for side in sides]
    definition = DataDefinition(
        numerical_columns=[*config.numbers, "score"], categorical_columns=list(config.categories)
    )

    def bare() -> None:
        metrics = [
            ValueDrift(
                column=name,
                method="jensenshannon" if name in config.categories else "wasserstein",
                threshold=0.1,
            )
            for name in columns
        ]
        datasets = [Dataset.from_pandas(frame, data_definition=definition) for frame in frames]
        Report(metrics).run(*datasets).dict()

    def ours() -> None:
        drift_of(config, rows, reference)

    bare()
    mine, theirs = race(ours, bare, times)
    return figure(f"drift of {len(columns)} columns, sample {rows.num_rows:,}", mine, theirs, limit=1.3)


def peak_mb(url: str, sample_rows: int, n_rows: int) -> float:
    """The peak memory of a process that reads the sample of a window, in MB."""
    command = [sys.executable, __file__, "--read", url, "--rows", str(n_rows), "--sample", str(sample_rows)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(done.stdout)


def read_and_weigh(url: str, sample_rows: int, n_rows: int) -> None:
    """In a process of its own: read a sample, and print the peak memory in MB."""
    from perennial.evidence.samples import read_sample

    read_sample(model(sample_rows), window(n_rows), store=open_store(url, "file:///nonexistent"))
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    print(int(status.split("VmHWM:")[1].split()[0]) / 1024)


def main() -> int:
    """Measure and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[200_000, 1_000_000])
    parser.add_argument("--sample", type=int, default=20_000)
    parser.add_argument("--times", type=int, default=15)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--read", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.read:
        read_and_weigh(asked.read, asked.sample, asked.rows[0])
        return 0
    sizes = [asked.sample, 100_000, 200_000] if asked.quick else [asked.sample, *sorted(asked.rows)]
    config = model(asked.sample)
    figures = [drift(config, asked.times)]
    with database() as url:
        store = open_store(url, "file:///nonexistent")
        fill(store, config, sizes[-1])
        for n_rows in sizes:
            figures.append(drift_read(store, config, n_rows, asked.times))
            figures += performance_read(store, config, n_rows, asked.times)
        peaks = [peak_mb(url, asked.sample, n_rows) for n_rows in sizes[-2:]]
        name = f"memory to read {sizes[-1]:,} rows against {sizes[-2]:,}"
        figures.append(figure(name, peaks[1], peaks[0], unit="MB", limit=1.1))
        store.close()
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
