"""What Prometheus reads: every family, by its conventions, for whoever says the token and nobody else."""

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from fastapi import FastAPI
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import event
from starlette.testclient import TestClient

import notices
from notices import HELD, NOW, ROLLED_BACK, SERVES, WAS_PROMOTED, decided, fortnight, measured, signed, signoff_entry
from observers import said
from perennial import ledger
from perennial.exposition import page, read_standing
from perennial.exposition.families import METRICS
from perennial.orchestration.console import metrics
from perennial.settings import ROOT
from perennial.store import Store
from perennial.store.signals import save

FLIGHTS = notices.FLIGHTS
TOKEN = "t0ken-of-prometheus"  # noqa: S105 - of this test


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
    text = page([read_standing(FLIGHTS, store=store, now=now())]).decode()
    samples = [one for family in text_string_to_metric_families(text) for one in family.samples]
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
    text = page([read_standing(FLIGHTS, store=standing, now=now())])
    assert said("promtool", "check", "metrics", stdin=text) == ""


def test_the_page_of_metrics_lists_all_of_them() -> None:
    told = (ROOT / "docs" / "reference" / "metrics.md").read_text(encoding="utf-8")
    assert [name for _, name, *_ in METRICS if f"`perennial_{name}" not in told] == []


@pytest.fixture
def client(store: Store, database_url: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    monkeypatch.setenv("PERENNIAL_DATABASE_URL", database_url)
    monkeypatch.setenv("PERENNIAL_HOME", str(home))
    pages = metrics.Pages()
    monkeypatch.setattr(metrics, "_pages", lambda: pages)
    app = FastAPI()
    app.include_router(metrics.router)
    with TestClient(app) as one:
        yield one


def test_nobody_reads_metrics_without_the_token(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    assert client.get("/metrics").status_code == 404
    assert client.get("/metrics", headers={"Authorization": "Bearer None"}).status_code == 404
    monkeypatch.setenv("PERENNIAL_METRICS_TOKEN", TOKEN)
    for wrong in ({}, {"Authorization": TOKEN}, {"Authorization": "Bearer t0ken"}, {"Authorization": "Bearer é"}):
        answer = client.get("/metrics", headers={name: value.encode() for name, value in wrong.items()})
        assert answer.status_code == 403
        assert TOKEN not in answer.text
    answer = client.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"})
    assert answer.status_code == 200
    assert 'perennial_champion_info{model="flight_delay",stable="none",version="none"} 1.0' in answer.text


def test_a_store_that_is_away_is_said_without_its_password(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERENNIAL_METRICS_TOKEN", TOKEN)
    monkeypatch.setenv("PERENNIAL_DATABASE_URL", "postgresql://u:s3cret@127.0.0.1:1/none")
    answer = client.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"})
    assert answer.status_code == 503
    assert "s3cret" not in answer.text


def test_pages_are_made_no_more_often_than_asked(
    store: Store, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[datetime] = []
    monkeypatch.setattr(metrics, "_made", lambda _, at: (made.append(at), b"page")[1])
    pages = metrics.Pages()
    for seconds in (0, 14, 15, 29):
        pages.read(metrics.load_settings(), NOW + timedelta(seconds=seconds))
    assert len(made) == 2
