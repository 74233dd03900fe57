"""Stage, audit and publish of one wide JSON Lines file, against the bare tools doing the same work.

    python tests/bench/bench_ingest.py --rows 1000000 5000000 --out ratios.json

The bare parts are a parse of the file by pyarrow, an ADBC ingest of the same typed rows into a table with the same
primary key, and a Great Expectations run of the same suite over one whole pandas frame. Every part runs in a process of
its own that has imported what it needs (ours by a delivery of a thousand rows), as a task of Airflow's is forked from
one that has; its peak resident memory is its ``ru_maxrss``. All take turns ``--rounds`` times, and a time is the median
of its rounds. Beside the seconds stand the CPU seconds of the process (the server's are not counted), which say more
where cores are shared. Two figures without a budget show what is slow: records with their keys in any order, and a text
in place of a number in every block of the file. PERENNIAL_TEST_POSTGRES names the server; without it one is started.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from itertools import pairwise
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
BEFORE = Window(start=datetime(2023, 12, 31, tzinfo=UTC), end=WINDOW.start)
"""The day of the delivery that is not timed."""
PARTS = ("stage", "audit", "publish")
BARE = ("parse", "ingest", "expectations")
HARD = {"mixed": "keys in mixed order", "faulty": "a fault in every block"}
CHUNK_ROWS = 50_000
FAULTY_EVERY = 5_000
"""A block of the file holds some ten thousand rows."""
Spent = tuple[float, float]
"""Seconds, and CPU seconds of this process with its threads."""


def now() -> Spent:
    """The readings of both clocks."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return time.perf_counter(), used.ru_utime + used.ru_stime


def since(begun: Spent) -> Spent:
    """What was spent since ``begun``."""
    seconds, cpu_s = (later - earlier for later, earlier in zip(now(), begun, strict=True))
    return seconds, cpu_s


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


def chunks(n_rows: int, window: Window = WINDOW) -> Iterator[pa.Table]:
    """The typed rows of a day, a bounded table at a time; the same ones every time."""
    start_us = int(window.start.timestamp() * 1e6)
    for first in range(0, n_rows, CHUNK_ROWS):
        n = min(CHUNK_ROWS, n_rows - first)
        rng = np.random.default_rng(first)
        numbers = np.arange(first, first + n)
        times = pa.array(start_us + numbers * (86_400_000_000 // n_rows), pa.timestamp("us", tz="UTC"))
        colours = np.array(["red", "green", "blue"])
        yield pa.table(
            {
                "prediction_id": pa.array(np.char.mod(f"{window.start:%m%d}-%09d", rng.permutation(numbers))),
                "event_time": times,
                **{f"f{i:02d}": rng.normal(size=n).round(6) for i in range(N_FLOATS)},
                "n": rng.integers(0, 1000, n),
                "c0": pa.array(colours[rng.integers(0, 3, n)]),
                "c1": pa.array(colours[rng.integers(0, 3, n)]),
                "score": rng.normal(size=n).round(6),
                "model_version": pa.repeat("7", n),
            }
        )


def write_log(home: Path, n_rows: int, kind: str = "plain", window: Window = WINDOW) -> None:
    """The rows as JSON Lines, as a serving system logs them; of a ``HARD`` kind, or ``plain``."""
    path = log_path(home, window)
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(1)
    with path.open("w", encoding="utf-8") as log:
        for rows in chunks(n_rows, window):
            moments = [moment.isoformat() for moment in rows.column("event_time").to_pylist()]
            records = rows.set_column(1, "event_time", pa.array(moments)).to_pylist()
            if kind == "mixed":
                orders = [rng.permutation(rows.schema.names).tolist() for _ in range(100)]
                records = [{key: record[key] for key in orders[i % 100]} for i, record in enumerate(records)]
            if kind == "faulty":
                for record in records[::FAULTY_EVERY]:
                    record["f00"] = "n/a"
            log.writelines(json.dumps(record) + "\n" for record in records)


def log_path(home: Path, window: Window = WINDOW) -> Path:
    """Where the model's source looks."""
    return home / "landing" / "wide" / "predictions" / f"{window.start:%Y-%m-%d}" / "part-0.jsonl"


def bare_parse(home: Path, n_rows: int) -> Spent:
    """pyarrow's own JSON reader over the file, block by block."""
    import pyarrow.json as pajson

    begun = now()
    for _ in pajson.open_json(str(log_path(home)), read_options=pajson.ReadOptions(block_size=4 << 20)):
        pass
    return since(begun)


def bare_ingest(home: Path, url: str, n_rows: int) -> Spent:
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
    begun = now()
    with adbc.connect(url) as connection, connection.cursor() as cursor:
        cursor.adbc_ingest(bare.name, rows.to_reader(65_536), mode="append")
        connection.commit()
    return since(begun)


def bare_expectations(home: Path, n_rows: int) -> Spent:
    """The same suite by Great Expectations over one pandas frame of all rows."""
    from perennial.validation.expectations import rules
    from perennial.validation.gx_imports import gx, whole_dataframe

    frame = pa.concat_tables(chunks(n_rows)).to_pandas()
    frame["role"] = "champion"
    begun = now()
    suite = gx.ExpectationSuite("bare", expectations=[r.build() for r in rules(model(home / "models"), "predictions")])
    batch = whole_dataframe().get_batch({"dataframe": frame})
    assert batch.validate(suite, result_format={"result_format": "COMPLETE"}).success
    return since(begun)


def ours(home: Path, url: str, n_rows: int) -> dict[str, Spent]:
    """Stage, audit and publish, each timed, after a small delivery that is not."""
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

    def delivered(window: Window) -> tuple[list[Spent], Any]:
        clock = [now()]
        batch = stage(config, window, "predictions", store=store, home=home)
        clock.append(now())
        verdict = audit(config, batch, store=store)
        clock.append(now())
        account = publish(config, batch, verdict, store=store)
        clock.append(now())
        spent = [(end[0] - begun[0], end[1] - begun[1]) for begun, end in pairwise(clock)]
        return spent, account

    write_log(home, 1_000, window=BEFORE)
    delivered(BEFORE)
    spent, account = delivered(WINDOW)
    n_faulty = n_rows // FAULTY_EVERY if home.name == "faulty" else 0
    assert (account.n_published, account.n_quarantined) == (n_rows - n_faulty, n_faulty), account
    return dict(zip(PARTS, spent, strict=True))


def run_part(part: str, home: Path, url: str, n_rows: int) -> None:
    """The body of one subprocess: prints seconds, CPU seconds and peak memory as JSON."""
    bare = {"parse": bare_parse, "ingest": partial(bare_ingest, url=url), "expectations": bare_expectations}
    spent = ours(home, url, n_rows) if part == "ours" else {part: bare[part](home, n_rows=n_rows)}
    print(json.dumps({"spent": spent, "peak_mb": _peak_mb()}))


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


def one_round(folder: Path, n_rows: int) -> dict[str, Any]:
    """Every bare part, then ours, each on a database of its own: PostgreSQL goes on with the rows of the one before."""
    runs = {}
    for part in (*BARE, "ours"):
        with database() as url:
            runs[part] = in_process(part, folder / "plain", url, n_rows)
    spent = {part: one for run in runs.values() for part, one in run["spent"].items()}
    return {"spent": spent, "peak_mb": {part: run["peak_mb"] for part, run in runs.items()}}


def measure(n_rows: int, rounds: int) -> dict[str, Any]:
    """All parts at one size, each the median of its rounds, and their ratios; what is hard is run once."""
    hard_kinds = tuple(HARD) if n_rows <= 1_000_000 else ()
    with tempfile.TemporaryDirectory(prefix="bench-ingest-") as name:
        folder = Path(name)
        for kind in ("plain", *hard_kinds):
            model(folder / kind / "models")
            write_log(folder / kind, n_rows, kind)
        found = [one_round(folder, n_rows) for _ in range(rounds)]
        hard: dict[str, Any] = {}
        for kind in hard_kinds:
            with database() as url:
                hard[kind] = in_process("ours", folder / kind, url, n_rows)["spent"]
    medians = {part: np.median([one["spent"][part] for one in found], axis=0).tolist() for part in (*BARE, *PARTS)}
    return {
        "rows": n_rows,
        "seconds": {part: spent[0] for part, spent in medians.items()},
        "cpu_s": {part: spent[1] for part, spent in medians.items()},
        "hard": {kind: {part: seconds for part, (seconds, _) in spent.items()} for kind, spent in hard.items()},
        "peak_mb": max(one["peak_mb"]["ours"] for one in found),
        "bare_peak_mb": {part: max(one["peak_mb"][part] for one in found) for part in BARE},
    }


def summed(spent: dict[str, float], parts: Iterable[str]) -> float:
    return sum(spent[part] for part in parts)


def table(results: list[dict[str, Any]]) -> str:
    """The results as a Markdown table."""
    head = ("rows", "", *(f"bare {part}" for part in BARE), *PARTS, "ratio", "peak memory")
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for one in results:
        for key, word in (("seconds", "s"), ("cpu_s", "CPU s")):
            cells = [f"{one[key][part]:.1f}" for part in (*BARE, *PARTS)]
            ratio = summed(one[key], PARTS) / summed(one[key], BARE)
            lines.append(
                "| " + " | ".join([f"{one['rows']:,}", word, *cells, f"{ratio:.2f}", f"{one['peak_mb']:.0f} MB |"])
            )
        for kind, seconds in one["hard"].items():
            cells = [*("" for _ in BARE), *(f"{seconds[part]:.1f}" for part in PARTS)]
            ratio = summed(seconds, PARTS) / summed(one["seconds"], BARE)
            lines.append("| " + " | ".join([f"{one['rows']:,}, {HARD[kind]}", "s", *cells, f"{ratio:.2f}", " |"]))
    return "\n".join(lines)


def figures(results: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What ``tests/bench`` collects: each time against the bare sum, and each peak against its bound."""
    found: list[dict[str, Any]] = []
    for one in results:
        work = f"stage, audit, publish {one['rows']:,} rows"
        found.append(
            _ratio(work, "s", summed(one["seconds"], PARTS), summed(one["seconds"], BARE), 1.3) | {"parts": one}
        )
        found.append(_ratio(work, "CPU s", summed(one["cpu_s"], PARTS), summed(one["cpu_s"], BARE), None))
        for kind, seconds in one["hard"].items():
            theirs = summed(one["seconds"], BARE)
            found.append(_ratio(f"{work}, {HARD[kind]}", "s", summed(seconds, PARTS), theirs, None))
        peak = {"ours": one["peak_mb"], "theirs": None, "ratio": None, "limit": 1000.0}
        found.append({"name": f"peak memory {one['rows']:,} rows", "unit": "MB", **peak})
    if len(results) > 1:
        small, large = results[0]["peak_mb"], results[-1]["peak_mb"]
        found.append(_ratio("peak memory, largest against smallest", "MB", large, small, 1.1))
    return found


def _ratio(name: str, unit: str, ours_: float, theirs: float, limit: float | None) -> dict[str, Any]:
    return {"name": name, "unit": unit, "ours": ours_, "theirs": theirs, "ratio": ours_ / theirs, "limit": limit}


def over_budget(found: list[dict[str, Any]]) -> list[str]:
    measured = [(one["name"], one["ratio"] or one["ours"], one["limit"]) for one in found]
    return [
        f"over budget: {name}: {value:.2f}, not {limit:g}"
        for name, value, limit in measured
        if limit is not None and value > limit
    ]


def main() -> int:
    """Measure every size asked for, print the table, write the figures; 1 when one is over its budget."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000_000, 5_000_000])
    parser.add_argument("--quick", action="store_true", help="200,000 rows only")
    parser.add_argument("--rounds", type=int, default=3, help="what is hard has one, up to a million rows")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--part", choices=(*BARE, "ours"), help=argparse.SUPPRESS)
    parser.add_argument("--home", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.part:
        run_part(given.part, given.home, os.environ["BENCH_POSTGRES"], given.rows[0])
        return 0
    sizes = [200_000] if given.quick else given.rows
    results = [measure(n_rows, given.rounds) for n_rows in sizes]
    print(table(results))
    found = figures(results)
    if given.out:
        given.out.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    print("\n".join(over := over_budget(found)), file=sys.stderr)
    return 1 if over else 0


if __name__ == "__main__":
    raise SystemExit(main())
