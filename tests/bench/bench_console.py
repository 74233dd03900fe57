"""How long the console's pages take with 50 models and a year of daily windows each, and whether a table is scanned.

It starts a PostgreSQL of its own. Airflow's login is left out: what is measured is what is read and written for a page.
The first page has a budget, on its first reading; no page may scan a table. Run it as
``python tests/bench/bench_console.py --out figures.json``.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from statistics import median
from typing import Any

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[2] / "include")]

import pyarrow as pa
from sqlalchemy import event, insert, text

from perennial.config import ModelConfig, load_model
from perennial.contracts import Decision, Window, to_record
from perennial.orchestration.console.pages.model import model_page
from perennial.orchestration.console.pages.overview import overview
from perennial.orchestration.console.pages.window import window_page
from perennial.pipeline.health.overview import read_healths
from perennial.pipeline.health.whole import read_model
from perennial.pipeline.health.window import read_window
from perennial.settings import ROOT
from perennial.store import Store, open_store, schema
from perennial.store.bulk import bulk_transaction, copy_in
from perennial.store.migrate import migrate
from servers import create_database, reachable_folder, temporary_postgres

N_MODELS, N_DAYS, N_SIGNALS, EVERY_RETRAIN = 50, 365, 60, 14
BUDGET_S = 1.0
ORIGIN = datetime(2025, 1, 1, tzinfo=UTC)
_UNLIKE = Random(0).randbytes(16_000).hex()  # noqa: S311  # no secret
"""Text that does not compress: an evaluation is some 12 KB."""
FLIGHTS = load_model(ROOT / "include" / "models" / "flight_delay")


def day(number: int) -> Window:
    return Window(start=ORIGIN + timedelta(days=number), end=ORIGIN + timedelta(days=number + 1))


def names() -> list[str]:
    drawn = ["performance/roc_auc", "estimate/roc_auc", "gain/roc_auc", "drift/weighted_share/vs_season"]
    return drawn + [f"drift/feature_{number}" for number in range(N_SIGNALS - len(drawn))]


def fill(store: Store, model: str) -> None:
    """A year of one model: 60 signals a day, a decision, a delivery of each source, a promotion every two weeks."""
    rows, now = [], names()
    for number in range(N_DAYS):
        window = day(number)
        for place, name in enumerate(now):
            late = timedelta(days=3) if name.startswith("performance") else timedelta(0)
            breached = place > 4 and (number + place) % 17 == 0
            rows.append((window.start, window.end, name, window.end + late, "breached" if breached else "ok"))
    columns = list(zip(*rows, strict=True))
    n = len(rows)
    moments = pa.timestamp("us", "UTC")
    table = pa.table(
        {
            "model": pa.array([model] * n),
            "window_start": pa.array(columns[0], moments),
            "window_end": pa.array(columns[1], moments),
            "name": pa.array(columns[2]),
            "as_of": pa.array(columns[3], moments),
            "version": pa.array(["2"] * n),
            "role": pa.array(["alert"] * n),
            "status": pa.array(columns[4]),
            "value": pa.array([0.7] * n),
            "threshold": pa.array([0.6] * n),
            **{
                name: pa.array([value] * n) for name, value in (("low", 0.65), ("high", 0.75), ("standard_error", 0.02))
            },
            "n_rows": pa.array([900] * n, pa.int64()),
            "n_blocks": pa.array([12] * n, pa.int64()),
            "confidence": pa.array([0.95] * n),
            "detail": pa.array(["what it rests on, in a sentence of some length"] * n),
        }
    )
    with bulk_transaction(store) as cursor:
        copy_in(cursor, schema.signals, table.to_reader())
    entries = [entry for number in range(N_DAYS) for entry in _entries(model, number)]
    with store.begin() as connection:
        connection.execute(insert(schema.ledger), entries)
        for source in ("predictions", "labels"):
            connection.execute(insert(schema.batches), [_batch(model, source, number) for number in range(N_DAYS)])


def _entries(model: str, number: int) -> list[dict[str, Any]]:
    window = day(number)
    decision = Decision(
        decision_id=f"{model}-{number}", model=model, window=window, action="stay", reasons=("quiet",), champion="2",
        bake="passed",
    )  # fmt: skip
    signal = {"name": "drift/x", "window": window.key, "as_of": window.end.isoformat(), "detail": "d" * 250}
    found = [_entry(model, "decision", number, decision=to_record(decision), batch_ids=[], signals=[signal] * 20)]
    if number % EVERY_RETRAIN == 0:
        made = {"train": to_record(day(number)), "holdout": to_record(day(number + 1))}
        signed = {"model": model, "passed": True, "review": "auto", **made}
        evaluation = {"fit_cpu_s": 12.5, "mlflow_run_id": f"run-{number}", "notes": _UNLIKE[number : number + 12_000]}
        found.append(_entry(model, "signoff", number, signoff=signed, evaluation=evaluation))
        review = {"verdict": "approved"}
        found.append(_entry(model, "review", number, review=review, signoff=f"{model}-signoff-{number}"))
        found.append(_entry(model, "promotion", number, previous=None, intent="i", **made))
        found.append(_entry(model, "bake", number, outcome="passed", windows=[]))
    return found


def _entry(model: str, kind: str, number: int, **payload: Any) -> dict[str, Any]:
    return {
        "entry_id": f"{model}-{kind}-{number}", "model": model, "kind": kind, "at": day(number).end, "actor": "policy",
        "reason": "quiet", "version": None if kind == "decision" else str(number // EVERY_RETRAIN + 1),
        "payload": payload,
    }  # fmt: skip


def _batch(model: str, source: str, number: int) -> dict[str, Any]:
    window = day(number)
    return {
        "batch_id": f"{model}-{source}-{number}", "model": model, "source": source, "window_start": window.start,
        "window_end": window.end, "status": "published", "n_staged": 9000, "n_published": 8990, "n_quarantined": 10,
        "staged": {"expected_rows": 9000},
    }  # fmt: skip


def scanned(store: Store, read: Callable[[], object]) -> list[str]:
    """The tables that reading goes through from end to end, by the plans of its statements."""
    seen: list[tuple[str, Any]] = []

    def note(_c: Any, _cursor: Any, statement: str, parameters: Any, _x: Any, _many: Any) -> None:
        seen.append((statement, parameters))

    event.listen(store.engine, "before_cursor_execute", note)
    read()
    event.remove(store.engine, "before_cursor_execute", note)
    found = set()
    with store.engine.connect() as connection:
        for statement, parameters in {(one, str(given)): (one, given) for one, given in seen}.values():
            if statement.lstrip().upper().startswith(("SELECT", "WITH")):
                plan = connection.exec_driver_sql(f"EXPLAIN {statement}", parameters).scalars()
                found |= {line.strip().partition("(")[0].strip(" ->") for line in plan if "Seq Scan" in line}
    return sorted(found)


def seconds(what: Callable[[], str], times: int = 5) -> tuple[float, float, float, int]:
    """The first reading; the median of the next ones, and of their CPU time in Python; how long the page is in KB."""
    taken, used, page = [], [], ""
    for _ in range(times + 1):
        begun, cpu = time.perf_counter(), time.process_time()
        page = what()
        taken.append(time.perf_counter() - begun)
        used.append(time.process_time() - cpu)
    return taken[0], median(taken[1:]), median(used[1:]), len(page) // 1000


def main() -> None:
    """Print the figures and write them to ``--out``."""
    options = argparse.ArgumentParser()
    options.add_argument("--out", type=Path)
    with reachable_folder() as folder, temporary_postgres(folder) as url:
        from sqlalchemy.engine import make_url

        store = open_store(create_database(make_url(url), "console"), f"file://{folder}/storage")
        migrate(store)
        models = [FLIGHTS.model_copy(update={"model": f"model_{number}"}) for number in range(N_MODELS)]
        begun = time.perf_counter()
        for config in models:
            fill(store, config.model)
        with store.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("ANALYZE"))
        print(f"filled in {time.perf_counter() - begun:.0f} s")
        figures = _measure(store, models)
        store.close()
    if out := options.parse_known_args()[0].out:
        out.write_text(json.dumps(figures, indent=2), encoding="utf-8")


def _measure(store: Store, models: list[ModelConfig]) -> list[dict[str, Any]]:
    one = models[7]

    def first() -> str:
        healths = read_healths(models, store=store)
        return overview([(config, healths[config.model], None) for config in models], root="/perennial")

    def of_model() -> str:
        return model_page(one, read_model(one, store=store), root="/perennial")

    def of_window() -> str:
        found = read_window(one, day(N_DAYS - 9), store=store)
        return window_page(one, found, root="/perennial", mlflow="http://mlflow", runs=[])

    figures = []
    for name, page, budget_s in (
        ("all models", first, BUDGET_S),
        ("one model", of_model, None),
        ("one window", of_window, None),
    ):
        at_first, then, cpu, size = seconds(page)
        scans = scanned(store, page)
        print(f"{name}: {at_first:.3f} s, then {then:.3f} s ({cpu:.3f} of CPU); {size} KB; scans {scans or 'no table'}")
        figures += [
            _figure(f"{name}, first reading", at_first, "s", budget_s),
            _figure(f"{name}, next readings", then, "s", budget_s),
            _figure(f"{name}, CPU in Python", cpu, "s", None),
            _figure(f"{name}, tables scanned", len(scans), "tables", 0),
        ]
    return figures


def _figure(name: str, ours: float, unit: str, limit: float | None) -> dict[str, Any]:
    return {"name": name, "ours": ours, "theirs": None, "unit": unit, "ratio": None, "limit": limit}


if __name__ == "__main__":
    main()
