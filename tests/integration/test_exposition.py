"""What Prometheus reads: every family, by its conventions."""

import re
import shutil
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import psutil
import pytest
from prometheus_client.core import CounterMetricFamily
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import event, text

import notices
from notices import HELD, NOW, ROLLED_BACK, SERVES, WAS_PROMOTED, decided, fortnight, measured, signed, signoff_entry
from observers import said
from perennial import ledger
from perennial.exposition import MachineFigures, PoolFigures, page, read_machine, read_standing
from perennial.exposition.families import MACHINE_METRICS, METRICS
from perennial.orchestration.console import metrics
from perennial.settings import ROOT
from perennial.store import Store
from perennial.store.signals import save

FLIGHTS = notices.FLIGHTS
ALONE = MachineFigures(
    disk_free_bytes=1, disk_bytes=2, memory_available_bytes=1, memory_bytes=2, cpu_busy_s=3.0, n_cpus=2, store_bytes=4,
    pools=(PoolFigures(pool="default_pool", n_waiting=0, n_running=0, waited_s=0.0),),
)  # fmt: skip
OF_MACHINE = {f"{name}{'_total' if kind is CounterMetricFamily else ''}" for kind, name, *_ in MACHINE_METRICS}


@pytest.fixture
def standing(store: Store) -> Store:
    """A model that was rolled back, whose newest window is blind, with a review and a hold."""
    for entry in (*SERVES, WAS_PROMOTED, signoff_entry(signed("5")), ROLLED_BACK, HELD, decided(4, "stay", "quiet"),
                  decided(5, "blind", "no labels")):  # fmt: skip
        ledger.append(store, entry)
    roc_auc = replace(measured("performance/roc_auc", 5, value=0.58, role="watch"), threshold=0.6)
    coverage = measured("label_coverage", 5, "ok", 0.9)
    save(store, [roc_auc, coverage, measured("drift/score", 5), measured("gain/roc_auc", 5, "ok", 0.01),
                 measured("drift/temp_f", 5, "unknown", None)])  # fmt: skip
    return store


def now() -> datetime:
    return datetime.now(NOW.tzinfo)


def read(store: Store) -> dict[tuple[str, tuple[str, ...]], float]:
    exposed = page([read_standing(FLIGHTS, store=store, now=now())], ALONE).decode()
    samples = [one for family in text_string_to_metric_families(exposed) for one in family.samples]
    samples = [one for one in samples if one.name.removeprefix("perennial_") not in OF_MACHINE]
    assert {one.labels.pop("model") for one in samples} == {"flight_delay"}
    return {
        (one.name.removeprefix("perennial_"), tuple(one.labels[key] for key in sorted(one.labels))): one.value
        for one in samples
    }


def test_a_model_stands_there_with_everything_that_is_known_of_it(standing: Store) -> None:
    found = read(standing)
    told = {
        ("champion_info", ("none", "3")): 1.0,
        ("decisions_total", ("blind",)): 1.0,
        ("decisions_total", ("stay",)): 1.0,
        ("decision", ("blind",)): 1.0,
        ("decision", ("stay",)): 0.0,
        ("decided_until_timestamp_seconds", ()): fortnight(5).end.timestamp(),
        ("rollbacks_total", ()): 1.0,
        ("holds_open", ()): 1.0,
        ("reviews_open", ()): 1.0,
        ("quality", ("roc_auc",)): 0.58,
        ("quality_low", ("roc_auc",)): 0.24,
        ("quality_breached", ("roc_auc",)): 1.0,
        ("gain", ("roc_auc",)): 0.01,
        ("label_coverage_ratio", ()): 0.9,
        ("signal_breached", ("alert", "drift/score")): 1.0,
        ("signal_unknown", ("alert", "drift/temp_f")): 1.0,
        ("bake_failed", ()): 0.0,
        ("retrain_budget_used_ratio", ()): 0.0,
        ("windows_due", ()): 20.0,
    }
    assert {key: found.get(key) for key in told} == told
    assert ("signal_value", ("alert", "drift/temp_f")) not in found, "what was not measured has no value"


def test_a_model_without_anything_is_no_error(store: Store) -> None:
    found = read(store)
    assert found["champion_info", ("none", "none")] == 1.0
    assert not any(name == "quality" for name, _ in found)


def test_a_model_costs_a_fixed_number_of_statements_and_no_scan_of_rows(standing: Store) -> None:
    statements: list[str] = []
    event.listen(standing.engine, "before_cursor_execute", lambda *given: statements.append(given[2]))
    read(standing)
    n_before = len(statements)
    for number in range(6, 40):
        ledger.append(standing, decided(number, "stay", "quiet"))
    statements.clear()
    read(standing)
    assert len(statements) == n_before <= 14
    assert not [one for one in statements if "perennial_data" in one]
    assert all(re.search(r"\.model = ", one) for one in statements if "perennial." in one), "within a model's rows"


def test_promtool_finds_nothing_against_the_conventions(standing: Store) -> None:
    exposed = page([read_standing(FLIGHTS, store=standing, now=now())], ALONE)
    assert said("promtool", "check", "metrics", stdin=exposed) == ""


def test_the_page_of_metrics_lists_all_of_them() -> None:
    told = (ROOT / "docs" / "reference" / "metrics.md").read_text(encoding="utf-8")
    assert [name for _, name, *_ in (*METRICS, *MACHINE_METRICS) if f"`perennial_{name}" not in told] == []


def test_what_the_stack_runs_on_stands_there_without_a_model(store: Store, tmp_path: Path) -> None:
    pools = (PoolFigures(pool="fit", n_waiting=2, n_running=1, waited_s=90.0),)
    found = read_machine(tmp_path, store=store, pools=pools)
    assert (found.disk_bytes, found.memory_bytes) == (shutil.disk_usage(tmp_path).total, psutil.virtual_memory().total)
    assert 0 < (found.disk_free_bytes or 0) <= (found.disk_bytes or 0)
    assert 0 < found.memory_available_bytes <= found.memory_bytes
    assert abs(found.memory_available_bytes - psutil.virtual_memory().available) < found.memory_bytes / 20
    times = psutil.cpu_times()
    assert 0 < found.cpu_busy_s <= sum(times) - times.idle
    with store.begin() as connection:
        n_bytes = connection.execute(text("SELECT sum(pg_relation_size(oid)) FROM pg_class")).scalar_one()
    assert found.store_bytes >= n_bytes > 0
    samples = [one for family in text_string_to_metric_families(page([], found).decode()) for one in family.samples]
    told = {one.name.removeprefix("perennial_"): one.value for one in samples if not one.labels}
    assert told == {
        "disk_free_bytes": found.disk_free_bytes, "disk_size_bytes": found.disk_bytes,
        "memory_available_bytes": found.memory_available_bytes, "memory_size_bytes": found.memory_bytes,
        "cpu_busy_seconds_total": found.cpu_busy_s, "cpus": found.n_cpus, "store_size_bytes": found.store_bytes,
    }  # fmt: skip
    of_pools = {(one.name, one.labels.get("state")): one.value for one in samples if one.labels.get("pool") == "fit"}
    assert of_pools == {
        ("perennial_tasks", "waiting"): 2.0,
        ("perennial_tasks", "running"): 1.0,
        ("perennial_tasks_waited_seconds", None): 90.0,
    }


def test_a_folder_that_is_not_there_has_no_disk(store: Store, tmp_path: Path) -> None:
    found = page([], read_machine(tmp_path / "none", store=store, pools=())).decode()
    assert "perennial_memory_size_bytes " in found
    assert not re.search("^perennial_disk", found, re.MULTILINE)


def test_pages_are_made_no_more_often_than_asked(
    store: Store, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[datetime] = []
    monkeypatch.setattr(metrics, "_made", lambda _, at: (made.append(at), b"page")[1])
    pages = metrics.Pages()
    for seconds in (0, 14, 15, 29):
        pages.read(metrics.load_settings(), NOW + timedelta(seconds=seconds))
    assert len(made) == 2
