"""Stage, audit and publish of one wide JSON Lines file, against the bare tools doing the same work.

    python tests/bench/bench_ingest.py --rows 1000000 5000000 --out ratios.json

The bare parts are a parse of the file by pyarrow, an ADBC ingest of the same typed rows into a table with the same
primary key, and a Great Expectations run of the same suite over one whole pandas frame. Every part runs in a process of
its own, whose peak resident memory is its ``ru_maxrss``. PERENNIAL_TEST_POSTGRES names the server; without it one is
started.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

sys.path[:0] = [str(Path(__file__).parents[2] / "include"), str(Path(__file__).parents[1])]

import numpy as np
import pyarrow as pa

from perennial.config import ModelConfig, load_model
from perennial.contracts import Window

N_FLOATS = 13
WINDOW = Window(start=datetime(2024, 1, 1, tzinfo=UTC), end=datetime(2024, 1, 2, tzinfo=UTC))
PARTS = ("stage", "audit", "publish")
BARE = ("parse", "ingest", "expectations")
CHUNK_ROWS = 50_000


def model(folder: Path) -> ModelConfig:
    """A model of 20 columns: 13 floats, a whole number, two categories, id, time, score and version."""
    made = folder / "wide"
    if not made.exists():
        made.mkdir(parents=True)
        template = Path(__file__).parents[1] / "models" / "diabetes_progress"
        (made / "recipe.py").write_bytes((template / "recipe.py").read_bytes())
        text = (template / "model.yaml").read_text().replace("diabetes_progress", "wide")
        before, rest = text.split("features:\n")
        validation = rest[rest.index("signals:") :]
        features = [f"  f{i:02d}: {{type: float, min: -10, max: 10}}" for i in range(N_FLOATS)]
        features += ["  n: {type: int, min: 0, max: 1000}"]
        features += [f"  c{i}: {{type: category, categories: [red, green, blue]}}" for i in range(2)]
        limits = "\nvalidation: {max_share_bad: 0.1, min_rows: 20}\n"
        (made / "model.yaml").write_text(before + "features:\n" + "\n".join(features) + limits + validation)
    return load_model(made)


def chunks(n_rows: int) -> Iterator[pa.Table]:
    """The typed rows, a bounded table at a time; the same ones every time."""
    start_us = int(WINDOW.start.timestamp() * 1e6)
    for first in range(0, n_rows, CHUNK_ROWS):
        n = min(CHUNK_ROWS, n_rows - first)
        rng = np.random.default_rng(first)
        numbers = np.arange(first, first + n)
        times = pa.array(start_us + numbers * (86_400_000_000 // n_rows), pa.timestamp("us", tz="UTC"))
        colours = np.array(["red", "green", "blue"])
        yield pa.table(
            {
                "prediction_id": pa.array(np.char.mod("p-%09d", rng.permutation(numbers))),
                "event_time": times,
                **{f"f{i:02d}": rng.normal(size=n).round(6) for i in range(N_FLOATS)},
                "n": rng.integers(0, 1000, n),
                "c0": pa.array(colours[rng.integers(0, 3, n)]),
                "c1": pa.array(colours[rng.integers(0, 3, n)]),
                "score": rng.normal(size=n).round(6),
                "model_version": pa.repeat("7", n),
            }
        )


def write_log(path: Path, n_rows: int) -> None:
    """The rows as JSON Lines, as a serving system logs them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8") as log:
        for rows in chunks(n_rows):
            moments = [moment.isoformat() for moment in rows.column("event_time").to_pylist()]
            written = rows.set_column(1, "event_time", pa.array(moments))
            log.writelines(json.dumps(row) + "\n" for row in written.to_pylist())


def log_path(home: Path) -> Path:
    """Where the model's source looks."""
    return home / "landing" / "wide" / "predictions" / "2024-01-01" / "part-0.jsonl"


def bare_parse(home: Path, n_rows: int) -> float:
    """pyarrow's own JSON reader over the file, block by block."""
    import pyarrow.json as pajson

    started = time.perf_counter()
    for _ in pajson.open_json(str(log_path(home)), read_options=pajson.ReadOptions(block_size=4 << 20)):
        pass
    return time.perf_counter() - started


def bare_ingest(home: Path, url: str, n_rows: int) -> float:
    """ADBC ingest of typed rows that are in memory into a table with the same primary key."""
    import adbc_driver_postgresql.dbapi as adbc
    from sqlalchemy import create_engine
    from sqlalchemy.schema import CreateTable

    from perennial.store.schema import delivered_columns, predictions_table

    table = predictions_table(model(home / "models"))
    bare = table.to_metadata(table.metadata, schema="public", name=f"bare_{uuid4().hex[:8]}")
    bare.indexes.clear()
    with create_engine(url.replace("postgresql:", "postgresql+psycopg2:")).begin() as connection:
        connection.execute(CreateTable(bare))
    rows = pa.concat_tables(chunks(n_rows))
    ones = pa.repeat(1, n_rows).cast(pa.int64())
    rows = rows.append_column("predicted", pa.nulls(n_rows, pa.string()))
    rows = rows.append_column("role", pa.repeat("champion", n_rows)).append_column("batch_seq", ones)
    rows = rows.select([column.name for column in delivered_columns(bare)])
    started = time.perf_counter()
    with adbc.connect(url) as connection, connection.cursor() as cursor:
        cursor.adbc_ingest(bare.name, rows.to_reader(65_536), mode="append")
        connection.commit()
    return time.perf_counter() - started


def bare_expectations(home: Path, n_rows: int) -> float:
    """The same suite by Great Expectations over one pandas frame of all rows."""
    from perennial.validation.expectations import rules
    from perennial.validation.gx_imports import gx, whole_dataframe

    frame = pa.concat_tables(chunks(n_rows)).to_pandas()
    frame["role"] = "champion"
    started = time.perf_counter()
    suite = gx.ExpectationSuite("bare", expectations=[r.build() for r in rules(model(home / "models"), "predictions")])
    batch = whole_dataframe().get_batch({"dataframe": frame})
    assert batch.validate(suite, result_format={"result_format": "COMPLETE"}).success
    return time.perf_counter() - started


def ours(home: Path, url: str, n_rows: int) -> dict[str, float]:
    """Stage, audit and publish, each timed."""
    from perennial.ingest.stage import stage
    from perennial.publishing.publish import publish
    from perennial.store import open_store
    from perennial.store.migrate import migrate
    from perennial.store.tables import ensure_data_tables
    from perennial.validation.audit import audit

    config = model(home / "models")
    store = open_store(url, (home / "storage").as_uri())
    migrate(store)
    ensure_data_tables(store, config)
    marks = [time.perf_counter()]
    batch = stage(config, WINDOW, "predictions", store=store, home=home)
    marks.append(time.perf_counter())
    verdict = audit(config, batch, store=store)
    marks.append(time.perf_counter())
    account = publish(config, batch, verdict, store=store)
    marks.append(time.perf_counter())
    assert account.n_published == n_rows, (account, verdict)
    return dict(zip(PARTS, np.diff(marks).tolist(), strict=True))


def run_part(part: str, home: Path, url: str, n_rows: int) -> None:
    """The body of one subprocess: prints seconds and peak memory as JSON."""
    bare = {"parse": bare_parse, "ingest": partial(bare_ingest, url=url), "expectations": bare_expectations}
    seconds = ours(home, url, n_rows) if part == "ours" else {part: bare[part](home, n_rows=n_rows)}
    print(json.dumps({"seconds": seconds, "peak_mb": _peak_mb()}))


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def in_process(part: str, home: Path, url: str, n_rows: int) -> dict[str, Any]:
    """Run one part in a process of its own."""
    command = [sys.executable, __file__, "--part", part, "--home", str(home), "--rows", str(n_rows)]
    done = subprocess.run(
        command, env={**os.environ, "BENCH_POSTGRES": url}, stdout=subprocess.PIPE, check=True, text=True
    )
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


@contextmanager
def database() -> Iterator[str]:
    """A fresh database on the test server, or on one that is started for this run; dropped afterwards."""
    from sqlalchemy import create_engine, text
    from sqlalchemy.engine import make_url

    @contextmanager
    def server() -> Iterator[str]:
        if given := os.environ.get("PERENNIAL_TEST_POSTGRES"):
            yield given
            return
        from servers import reachable_folder, temporary_postgres

        with reachable_folder() as folder, temporary_postgres(folder) as url:
            yield url

    with server() as url:
        name = f"bench_{uuid4().hex[:12]}"
        admin = create_engine(make_url(url).set(drivername="postgresql+psycopg2"), isolation_level="AUTOCOMMIT")
        with admin.connect() as connection:
            connection.execute(text(f'CREATE DATABASE "{name}"'))
        try:
            fresh = make_url(url).set(drivername="postgresql", database=name)
            yield fresh.render_as_string(hide_password=False)
        finally:
            with admin.connect() as connection:
                connection.execute(text(f'DROP DATABASE "{name}" WITH (FORCE)'))
            admin.dispose()


def measure(n_rows: int) -> dict[str, Any]:
    """All parts at one size, and their ratio."""
    with tempfile.TemporaryDirectory(prefix="bench-ingest-") as folder, database() as url:
        home = Path(folder)
        model(home / "models")
        write_log(log_path(home), n_rows)
        bare = {part: in_process(part, home, url, n_rows) for part in BARE}
        found = in_process("ours", home, url, n_rows)
    bare_s = {part: one["seconds"][part] for part, one in bare.items()}
    return {
        "rows": n_rows,
        "bare_s": bare_s,
        "bare_sum_s": sum(bare_s.values()),
        "ours_s": found["seconds"],
        "ours_sum_s": sum(found["seconds"].values()),
        "ratio": sum(found["seconds"].values()) / sum(bare_s.values()),
        "peak_mb": found["peak_mb"],
        "bare_peak_mb": {part: one["peak_mb"] for part, one in bare.items()},
    }


def table(results: list[dict[str, Any]]) -> str:
    """The results as a Markdown table."""
    lines = ["| rows | " + " | ".join((*(f"bare {p}" for p in BARE), *PARTS, "ratio", "peak memory")) + " |"]
    lines.append("|---" * (len(BARE) + len(PARTS) + 3) + "|")
    for one in results:
        seconds = [f"{one['bare_s'][p]:.1f} s" for p in BARE] + [f"{one['ours_s'][p]:.1f} s" for p in PARTS]
        lines.append(
            f"| {one['rows']:,} | " + " | ".join(seconds) + f" | {one['ratio']:.2f} | {one['peak_mb']:.0f} MB |"
        )
    return "\n".join(lines)


def figures(results: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What ``tests/bench`` collects: each time against the bare sum, and each peak against its bound."""
    found: list[dict[str, Any]] = []
    for one in results:
        rows = f"{one['rows']:,} rows"
        times = {"ours": one["ours_sum_s"], "theirs": one["bare_sum_s"], "ratio": one["ratio"], "limit": 1.3}
        peak = {"ours": one["peak_mb"], "theirs": None, "ratio": None, "limit": 1000.0}
        found.append({"name": f"stage, audit, publish {rows}", "unit": "s", **times, "parts": one})
        found.append({"name": f"peak memory {rows}", "unit": "MB", **peak})
    if len(results) > 1:
        small, large = results[0]["peak_mb"], results[-1]["peak_mb"]
        growth = {"ours": large, "theirs": small, "ratio": large / small, "limit": 1.1}
        found.append({"name": "peak memory, largest against smallest", "unit": "MB", **growth})
    return found


def over_budget(found: list[dict[str, Any]]) -> list[str]:
    measured = [(one["name"], one["ratio"] or one["ours"], one["limit"]) for one in found]
    return [f"over budget: {name}: {value:.2f}, not {limit:g}" for name, value, limit in measured if value > limit]


def main() -> int:
    """Measure every size asked for, print the table, write the figures; 1 when one is over its budget."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000_000, 5_000_000])
    parser.add_argument("--quick", action="store_true", help="200,000 rows only")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--part", choices=(*BARE, "ours"), help=argparse.SUPPRESS)
    parser.add_argument("--home", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.part:
        run_part(given.part, given.home, os.environ["BENCH_POSTGRES"], given.rows[0])
        return 0
    results = [measure(n_rows) for n_rows in ([200_000] if given.quick else given.rows)]
    print(table(results))
    found = figures(results)
    if given.out:
        given.out.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    print("\n".join(over := over_budget(found)), file=sys.stderr)
    return 1 if over else 0


if __name__ == "__main__":
    raise SystemExit(main())
