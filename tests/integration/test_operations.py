"""What a log says of its requests: published beside the features, measured, and neither a feature nor a label's row."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from sqlalchemy import select

from ingesting import DAY, landing, published, quarantined, rows_of, take, validated, write_lines
from logs import day
from monitored import log_of, publish_labels, publish_predictions, serving
from perennial.config import ModelConfig
from perennial.config.signals.hints import ControlSignals
from perennial.contracts import Signal, Subject, Window
from perennial.evidence.deliveries.again import read_again
from perennial.evidence.deliveries.logged import read_logged
from perennial.evidence.deliveries.operations import count_caused, read_requests
from perennial.evidence.labelled import read_judged, stream_labelled
from perennial.evidence.maturity import read_coverage
from perennial.evidence.profiles.reading import read_profile
from perennial.evidence.samples import read_sample
from perennial.evidence.stretches import count_labelled
from perennial.monitoring.judged import signals as judged
from perennial.monitoring.performance import caused_signal
from perennial.monitoring.series import control
from perennial.monitoring.served import measuring
from perennial.monitoring.system import requests
from perennial.monitoring.system.requests import measure_system
from perennial.profiles.counting import grid_of
from perennial.registry import Registry
from perennial.store import Store
from perennial.store.schema import profiles
from perennial.store.tables import ensure_data_tables

WINE = "wine_cultivar"


def naming(config: ModelConfig, **columns: str) -> ModelConfig:
    """The model of a log that says more of its requests."""
    return config.model_copy(update={"columns": config.columns.model_copy(update=columns)})


@pytest.fixture
def told(store: Store, wine: ModelConfig) -> ModelConfig:
    config = naming(wine, latency_ms="took_ms", memory_mb="rss_mb", error="failed", caused="accepted")
    ensure_data_tables(store, config)
    return config


def lines(**more: Any) -> list[dict[str, Any]]:
    return [
        {**row, "took_ms": 12.5, "rss_mb": 300, "failed": False, "accepted": False, **more} for row in rows_of(WINE)
    ]


def test_it_is_published_with_its_types_and_what_can_not_be_is_quarantined(
    store: Store, told: ModelConfig, home: Path
) -> None:
    rows = lines()
    rows[0] |= {"took_ms": None, "rss_mb": None, "failed": None}
    rows[1]["took_ms"] = -1.0
    rows[2]["rss_mb"] = "much"
    rows[3]["failed"] = "perhaps"
    rows[4]["accepted"] = None
    rows[5] |= {"failed": True, "score": None, "predicted": None}
    rows[6]["score"] = None
    rows[7] |= {"failed": True, "accepted": True}
    write_lines(landing(home, WINE) / "a.jsonl", rows)
    _, _, account = take(validated(told, max_share_bad=0.5), home, store)
    assert (account.n_published, account.n_quarantined) == (35, 5)
    kept = published(told, store).set_index("prediction_id")
    assert kept["_latency_ms"].dropna().unique().tolist() == [12.5]
    assert kept.loc[rows[0]["prediction_id"], ["_latency_ms", "_memory_mb", "_error"]].isna().all()
    assert kept.loc[rows[5]["prediction_id"], "_error"]
    assert pd.isna(kept.loc[rows[5]["prediction_id"], "score"])
    assert [reason.partition(";")[0] for reason in quarantined(store)["reason"]] == [
        "_latency_ms: outside [0.0, ]",
        "_memory_mb: 'much' is no number",
        "_error: 'perhaps' is neither true nor false",
        "_caused: missing",
        "score: missing",
    ]


def test_without_the_columns_that_were_named_the_delivery_halts(store: Store, told: ModelConfig, home: Path) -> None:
    write_lines(landing(home, WINE) / "a.jsonl", rows_of(WINE))
    _, _, account = take(told, home, store)
    assert account.status == "halted"
    assert "missing [took_ms, rss_mb, failed, accepted]" in account.reason


def test_history_counts_as_it_did_and_a_later_delivery_fills_what_it_lacks(
    store: Store, wine: ModelConfig, home: Path
) -> None:
    write_lines(landing(home, WINE) / "a.jsonl", rows_of(WINE))
    take(wine, home, store)
    config = naming(wine, latency_ms="took_ms", caused="accepted")
    ensure_data_tables(store, config)
    assert read_sample(config, DAY, store=store).num_rows == 40
    assert count_caused(config, DAY, store=store) == (40, 0)
    (landing(home, WINE) / "a.jsonl").unlink()
    write_lines(landing(home, WINE) / "b.jsonl", lines(accepted=True))
    _, _, account = take(config, home, store)
    assert (account.n_published, account.n_quarantined) == (40, 0)
    assert count_caused(config, DAY, store=store) == (40, 40)
    assert len(published(config, store)) == 40


@pytest.fixture
def marked(store: Store, told: ModelConfig) -> ModelConfig:
    """Twelve days of 100 labelled requests: ten of each day failed, twenty others had their label caused."""
    for number in range(12):
        frame = log_of(told, number, n_rows=100, seed=number).assign(model_version="1")
        place = pd.Series(range(100))
        frame = frame.assign(
            _latency_ms=20.0 + place, _memory_mb=300.0, _error=place % 10 == 0, _caused=(place % 10).isin([1, 2])
        )
        publish_predictions(store, told, day(number), frame)
        publish_labels(store, told, day(number), frame, at=day(number).start)
    return told


def test_labels_that_the_model_caused_neither_teach_nor_judge(store: Store, marked: ModelConfig) -> None:
    stretch, as_of = Window(start=day(0).start, end=day(11).end), day(11).end
    coverage = read_coverage(marked, day(11), as_of=as_of, champion="1", store=store)
    assert (coverage.n_rows, coverage.n_by_champion_labelled) == (70, 70)
    _, rows = read_judged(marked, coverage, version="1", as_of=as_of, store=store)
    assert rows is not None
    assert rows.num_rows == 70 * ((marked.judged_over(day(11)).end - marked.judged_over(day(11)).start).days)
    assert count_labelled(marked, stretch, as_of=as_of, store=store).n_labelled == 12 * 70
    with stream_labelled(marked, stretch, as_of=as_of, store=store) as reader:
        taught = reader.read_all()
    assert taught.num_rows == 12 * 70
    assert not set(taught.column_names) & {"_caused", "_error", "_latency_ms", "_memory_mb"}
    assert read_logged(marked, until=None, store=store).num_rows == 12 * 70


def test_they_were_served_all_the_same_and_their_share_is_shown(store: Store, marked: ModelConfig) -> None:
    assert read_sample(marked, day(3), store=store).num_rows == 90
    assert count_caused(marked, day(3), store=store) == (90, 20)
    subject = Subject.of_run(marked.model, day(3), "1")
    shown = caused_signal(marked, subject, 90, 20)
    assert (shown.name, shown.status, shown.value) == ("labels/caused", "ok", pytest.approx(20 / 90))
    assert caused_signal(marked, subject, 90, 46).status == "breached"


def test_failed_requests_are_nobodys_evidence_but_that_of_the_system(store: Store, marked: ModelConfig) -> None:
    found = read_requests(marked, day(11), store=store)
    n_days = (marked.judged_over(day(11)).end - marked.judged_over(day(11)).start).days
    assert found.num_rows == 100 * n_days
    signals = {one.name: one for one in measure_system(marked, day(11), store=store, state=serving(marked, "1"))}
    assert signals["system/error_rate"].value == pytest.approx(0.1)
    assert signals["system/error_rate"].status == "breached"
    assert signals["system/latency_p50_ms"].value == pytest.approx(69.0)
    assert "silent/system" not in signals


def says_nothing(*_: object, **__: object) -> tuple[Signal, ...]:
    """A family that is broken."""
    return ()


def test_a_family_that_says_nothing_is_a_breach_in_every_step(
    store: Store, marked: ModelConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    signals = marked.signals.model_copy(update={"control": ControlSignals(names=["system/error_rate"])})
    config, state = marked.model_copy(update={"signals": signals}), serving(marked, "1")
    monkeypatch.setattr(measuring, "fetch_reference", lambda *_: (None, "gone"))
    monkeypatch.setattr(measuring, "_champion", lambda *_: "gone")
    for module, name in (
        (requests, "system_signals"),
        (control, "control_signals"),
        (measuring, "served_signals"),
        (judged, "_signals"),
    ):
        monkeypatch.setattr(module, name, says_nothing)
    subject = Subject.of_run(config.model, day(11), "1")
    found = [
        *requests.measure_system(config, day(11), store=store, state=state),
        *control.measure_control(config, day(11), store=store, state=state),
        *measuring.measure_served(config, day(11), store=store, registry=Registry("http://127.0.0.1:1"), state=state),
        *judged.judged_signals(config, subject, None, reference=None, gone="gone"),
    ]
    silent = {"system", "control", *measuring.families(config), *judged.families(config)}
    assert {one.name for one in found} == {f"silent/{family}" for family in silent}
    assert {one.status for one in found} == {"breached"}


def test_a_profile_counts_the_rows_that_are_served(store: Store, told: ModelConfig, home: Path) -> None:
    rows = lines()
    for row in rows[:6]:
        row |= {"failed": True, "score": None, "predicted": None}
    write_lines(landing(home, WINE) / "a.jsonl", rows)
    take(told, home, store)
    with store.begin() as connection:
        kept = connection.execute(select(profiles.c.n_rows).where(profiles.c.model == told.model)).scalars().all()
    assert sum(kept) == 34
    sample = read_sample(told, DAY, store=store)
    grid = grid_of(sample, [*told.numbers, "score"])
    assert int(read_profile(told, DAY, as_of=DAY.end, grid=grid, store=store).n_rows.sum()) == 34


def test_rows_that_were_frozen_are_read_again_as_they_are_known_now(
    store: Store, wine: ModelConfig, home: Path
) -> None:
    rows = rows_of(WINE)
    write_lines(landing(home, WINE) / "a.jsonl", rows)
    take(wine, home, store)
    ids = [row["prediction_id"] for row in rows[:5]]
    before = read_again(wine, [*ids, "nobody"], as_of=DAY.end, store=store).sort_by("prediction_id")
    assert before["prediction_id"].to_pylist() == sorted(ids)
    rows[0]["hue"] += 1.0
    write_lines(landing(home, WINE) / "a.jsonl", rows)
    _, _, account = take(wine, home, store)
    assert account.n_corrected == 1
    now = read_again(wine, ids, as_of=day(1).end, store=store).sort_by("prediction_id")
    place = now["prediction_id"].to_pylist().index(rows[0]["prediction_id"])
    assert now["hue"][place].as_py() == pytest.approx(before["hue"][place].as_py() + 1.0)
    assert read_again(wine, [], as_of=DAY.end, store=store).num_rows == 0
