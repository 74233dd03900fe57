"""Published rows can be corrected, and what was read as of an earlier moment is read again as it was."""

import os
import signal
import subprocess
import sys
import textwrap
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from forked import TAKES_ROWS_IN
from ingesting import DAY, landing, published, quarantined, rows_of, take, write_lines
from logs import day
from perennial import ledger
from perennial.config import ModelConfig, NumberFeature
from perennial.contracts import LedgerEntry, Window
from perennial.evidence.labelled import stream_labelled
from perennial.evidence.maturity import count_unmatched, main_version, read_coverage
from perennial.evidence.samples import count_values, read_sample
from perennial.evidence.stretches import count_labelled
from perennial.ingest.stage import stage
from perennial.publishing.publish import publish
from perennial.store import Store
from perennial.store.batches import completeness, n_published
from perennial.store.schema import SUPERSEDED, labels_table, predictions_table, row_key
from perennial.store.tables import ensure_data_tables
from perennial.validation.audit import audit

by_forks = pytest.mark.xdist_group("rows")  # from one process that has imported (forked.py)
WINE = "wine_cultivar"
ROOT = Path(__file__).parents[2]


@pytest.fixture
def folder(home: Path) -> Path:
    return landing(home, WINE)


@pytest.fixture
def labels(home: Path) -> Path:
    return landing(home, WINE, "labels")


def counts(account: Any) -> tuple[int, int, int, int]:
    return account.n_published, account.n_corrected, account.n_quarantined, account.n_duplicate


def decided(store: Store, config: ModelConfig, window: Window) -> None:
    """Something was decided on what was known at the end of the window."""
    entry = LedgerEntry(
        entry_id=f"{config.model} {window.key}", model=config.model, kind="decision", at=window.end, actor="policy",
        reason="stay: quiet",
    )  # fmt: skip
    ledger.append(store, entry)


def label_rows(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {"prediction_id": row["prediction_id"], "label": "barolo", "labelled_at": "2024-01-01T23:00:00Z"}
        for row in rows
    ]


def known(config: ModelConfig, store: Store, as_of: datetime) -> dict[str, tuple[object, ...]]:
    """What a training as of a moment would read of the first day: ash and label by id."""
    with stream_labelled(config, DAY, as_of=as_of, store=store) as reader:
        rows = reader.read_all().to_pylist()
    assert len(rows) == len({row["prediction_id"] for row in rows}), "a row is read in one version"
    return {row["prediction_id"]: (row["ash"], row["label"]) for row in rows}


def versions(config: ModelConfig, store: Store, source: str = "predictions") -> Counter[int]:
    """How many rows there are of each version; 0 is the newest."""
    table = predictions_table(config) if source == "predictions" else labels_table(config)
    with store.begin() as connection:
        return Counter(connection.scalars(select(table.c[SUPERSEDED])))


@pytest.fixture
def rows(wine: ModelConfig, store: Store, home: Path, folder: Path, labels: Path) -> list[dict[str, Any]]:
    """Forty published predictions and their labels; the end of the day was decided about."""
    delivered = rows_of(WINE)
    write_lines(folder / "a.jsonl", delivered)
    write_lines(labels / "a.jsonl", label_rows(delivered))
    take(wine, home, store)
    take(wine, home, store, "labels")
    decided(store, wine, DAY)
    return delivered


def test_corrected_value_is_the_newest_version_and_an_old_decision_reads_the_old_one(
    wine: ModelConfig, store: Store, home: Path, folder: Path, rows: list[dict[str, Any]]
) -> None:
    then = known(wine, store, DAY.end)
    seen = (
        read_sample(wine, DAY, store=store),
        count_values(wine, DAY, {}, store=store),
        main_version(wine, DAY, store=store),
    )
    changed = [*(row | {"ash": 4.5, "model_version": "2"} for row in rows[:3]), *rows[3:]]
    write_lines(folder / "a.jsonl", changed)
    batch, _, account = take(wine, home, store)
    assert counts(account) == (3, 3, 0, 37)
    assert account.reason == "within its limits; corrected: 3 published rows"
    assert known(wine, store, DAY.end) == then
    after = known(wine, store, day(1).end)
    assert {after[row["prediction_id"]] for row in rows[:3]} == {(4.5, "barolo")}
    assert {key: value for key, value in after.items() if then[key] != value}.keys() == {
        row["prediction_id"] for row in rows[:3]
    }
    again = (
        read_sample(wine, DAY, store=store),
        count_values(wine, DAY, {}, store=store),
        main_version(wine, DAY, store=store),
    )
    assert again == seen
    assert n_published(store, wine.model, DAY) == 40
    (of_window, _) = completeness(store, wine.model)[DAY.key]
    assert (of_window.n_published, of_window.n_late, of_window.n_corrected) == (40, 0, 3)
    by_second = read_coverage(wine, DAY, as_of=day(1).end, champion="2", store=store)
    assert (by_second.n_rows, by_second.n_by_champion, by_second.n_by_champion_labelled) == (40, 3, 3)
    assert read_coverage(wine, DAY, as_of=DAY.end, champion="2", store=store).n_by_champion == 0
    assert take(wine, home, store)[0] == batch
    assert versions(wine, store) == {0: 40, 1: 3}


def test_corrected_label_counts_from_when_it_was_known(
    wine: ModelConfig, store: Store, home: Path, labels: Path, rows: list[dict[str, Any]]
) -> None:
    """It comes on the third day, with the time at which it was corrected, and then again otherwise with the first."""
    corrected = label_rows(rows)[0] | {"label": "barbera", "labelled_at": "2024-01-03T12:00:00Z"}
    decided(store, wine, day(1))
    path = home / "landing" / WINE / "labels" / f"{day(2).start:%Y-%m-%d}"
    path.mkdir(parents=True)
    write_lines(path / "a.jsonl", [corrected])
    batch = stage(wine, day(2), "labels", store=store, home=home)
    account = publish(wine, batch, audit(wine, batch, store=store), store=store)
    assert counts(account) == (1, 1, 0, 0)
    said = {
        as_of: known(wine, store, as_of)[rows[0]["prediction_id"]][1] for as_of in (DAY.end, day(1).end, day(2).end)
    }
    assert list(said.values()) == ["barolo", "barolo", "barbera"]
    noon = datetime(2024, 1, 3, 12, tzinfo=UTC)
    assert known(wine, store, noon)[rows[0]["prediction_id"]][1] == "barolo", "at that very moment it was not known"
    assert count_labelled(wine, DAY, as_of=day(2).end, store=store).n_labelled == 40
    assert count_unmatched(wine, DAY, store=store) == (40, 0)
    first, *others = label_rows(rows)
    write_lines(labels / "a.jsonl", [first | {"label": "grignolino"}, *others])
    assert counts(take(wine, home, store, "labels")[2]) == (1, 1, 0, 39)
    moments = (DAY.end, noon, day(2).end, day(3).end)
    said_then = [known(wine, store, as_of)[rows[0]["prediction_id"]][1] for as_of in moments]
    assert said_then == ["barolo", "barolo", "barbera", "grignolino"], "the third day came in: its run may be reading"


def test_corrected_label_with_the_same_time_counts_after_the_last_decision(
    wine: ModelConfig, store: Store, home: Path, labels: Path, rows: list[dict[str, Any]]
) -> None:
    decided(store, wine, day(4))
    delivered = label_rows(rows)
    write_lines(labels / "a.jsonl", [delivered[0] | {"label": "barbera"}, *delivered[1:]])
    assert counts(take(wine, home, store, "labels")[2]) == (1, 1, 0, 39)
    first = rows[0]["prediction_id"]
    assert [known(wine, store, day(n).end)[first][1] for n in (0, 4, 5)] == ["barolo", "barolo", "barbera"]


def test_what_a_run_measures_is_not_corrected_half_way(
    wine: ModelConfig, store: Store, home: Path, folder: Path, rows: list[dict[str, Any]]
) -> None:
    """The next day was staged, and is being measured, when the first one is delivered again otherwise."""
    path = home / "landing" / WINE / "predictions" / f"{day(1).start:%Y-%m-%d}"
    path.mkdir(parents=True)
    tomorrow = [row | {"event_time": row["event_time"].replace("2024-01-01", "2024-01-02")} for row in rows]
    write_lines(path / "a.jsonl", [row | {"prediction_id": f"x{i}"} for i, row in enumerate(tomorrow)])
    stage(wine, day(1), "predictions", store=store, home=home)
    measured_first = known(wine, store, day(1).end)
    write_lines(folder / "a.jsonl", [row | {"ash": 4.5} for row in rows])
    assert counts(take(wine, home, store)[2]) == (40, 40, 0, 0)
    assert known(wine, store, day(1).end) == measured_first
    assert {ash for ash, _ in known(wine, store, day(2).end).values()} == {4.5}


def test_same_label_with_a_later_time_changes_nothing_that_is_read(
    wine: ModelConfig, store: Store, home: Path, labels: Path, rows: list[dict[str, Any]]
) -> None:
    then = known(wine, store, DAY.end)
    write_lines(labels / "a.jsonl", [row | {"labelled_at": "2024-01-01T23:30:00Z"} for row in label_rows(rows)])
    assert counts(take(wine, home, store, "labels")[2]) == (40, 40, 0, 0)
    assert known(wine, store, DAY.end) == known(wine, store, day(1).end) == then
    assert sorted(published(wine, store, "labels")["labelled_at"].dt.minute) == [0] * 40 + [30] * 40


def test_label_known_earlier_than_was_said_does_not_change_what_was_decided(
    wine: ModelConfig, store: Store, home: Path, labels: Path, rows: list[dict[str, Any]]
) -> None:
    write_lines(labels / "a.jsonl", [row | {"labelled_at": "2024-01-01T01:00:00Z"} for row in label_rows(rows)])
    assert counts(take(wine, home, store, "labels")[2]) == (40, 40, 0, 0)
    assert known(wine, store, datetime(2024, 1, 1, 2, tzinfo=UTC)) == {}
    assert len(known(wine, store, DAY.end)) == len(known(wine, store, day(1).end)) == 40


def test_correction_of_a_correction_and_back_to_the_first_value(
    wine: ModelConfig, store: Store, home: Path, folder: Path, rows: list[dict[str, Any]]
) -> None:
    first = rows[0]["prediction_id"]
    batches = []
    for number, ash in enumerate((2.0, 3.0, rows[0]["ash"], 2.0), start=1):
        write_lines(folder / "a.jsonl", [rows[0] | {"ash": ash}, *rows[1:]])
        batch, _, account = take(wine, home, store)
        assert counts(account) == (1, 1, 0, 39)
        assert take(wine, home, store)[0::2] == (batch, account), "the same file twice changes nothing"
        batches.append(batch.batch_id)
        if number != 2:  # nothing is decided between the second and the third
            decided(store, wine, day(number))
    assert len(set(batches)) == 4
    read = [known(wine, store, day(number).end)[first][0] for number in range(6)]
    assert read == [rows[0]["ash"], 2.0, rows[0]["ash"], rows[0]["ash"], 2.0, 2.0]
    assert versions(wine, store) == {0: 40, 1: 1, 2: 1, 3: 1, 4: 1}
    assert len(published(wine, store)) == 44


def test_before_anything_was_decided_the_newest_truth_counts_at_once(
    wine: ModelConfig, store: Store, home: Path, folder: Path, labels: Path
) -> None:
    rows = rows_of(WINE)
    for ash in (1.0, 2.0, 3.0):
        write_lines(folder / "a.jsonl", [row | {"ash": ash} for row in rows])
        write_lines(
            labels / "a.jsonl", [row | {"label": "barbera" if ash < 3 else "barolo"} for row in label_rows(rows)]
        )
        take(wine, home, store)
        take(wine, home, store, "labels")
    assert set(known(wine, store, DAY.end).values()) == {(3.0, "barolo")}


def test_contradictions_within_one_delivery_correct_nothing_but_by_their_first_row(
    wine: ModelConfig, store: Store, home: Path, folder: Path, labels: Path, rows: list[dict[str, Any]]
) -> None:
    write_lines(folder / "a.jsonl", [*rows, rows[0] | {"ash": 4.7}, rows[1], rows[2] | {"ash": 4.8}])
    assert counts(take(wine, home, store)[2]) == (0, 0, 2, 41)
    assert all("delivered again as" in reason for reason in quarantined(store)["reason"])
    delivered = label_rows(rows)
    write_lines(labels / "a.jsonl", [*delivered, delivered[0] | {"label": "barbera"}])
    assert counts(take(wine, home, store, "labels")[2]) == (0, 0, 2, 39)
    assert set(known(wine, store, day(9).end).values()) == set(known(wine, store, DAY.end).values())


def test_an_id_that_comes_back_on_another_day_corrects_nothing(
    wine: ModelConfig, store: Store, home: Path, rows: list[dict[str, Any]]
) -> None:
    path = home / "landing" / WINE / "predictions" / f"{day(1).start:%Y-%m-%d}"
    path.mkdir(parents=True)
    tomorrow = [row | {"event_time": row["event_time"].replace("2024-01-01", "2024-01-02")} for row in rows]
    fresh = [row | {"prediction_id": f"x{i}"} for i, row in enumerate(tomorrow)]
    write_lines(path / "a.jsonl", [tomorrow[0], *fresh])
    batch = stage(wine, day(1), "predictions", store=store, home=home)
    account = publish(wine, batch, audit(wine, batch, store=store), store=store)
    assert counts(account) == (40, 0, 1, 0)
    assert "event_time: published 2024-01-01" in quarantined(store)["reason"][0]


def grown(config: ModelConfig) -> ModelConfig:
    return config.model_copy(update={"features": {**config.features, "ph": NumberFeature(type="float", nullable=True)}})


def test_a_column_that_did_not_exist_is_filled_and_one_that_did_is_corrected(
    wine: ModelConfig, store: Store, home: Path, folder: Path, rows: list[dict[str, Any]]
) -> None:
    config = grown(wine)
    ensure_data_tables(store, config)
    write_lines(folder / "a.jsonl", [row | {"ph": 3.5} for row in rows[:39]] + [rows[39] | {"ph": 3.5, "ash": 4.0}])
    assert counts(take(config, home, store)[2]) == (40, 40, 0, 0)
    assert versions(config, store) == {0: 40, 1: 1}, "39 rows lacked nothing but the column"
    assert count_values(config, DAY, {}, store=store).n_seen["ph"] == 39, "of the other the first version counts"
    write_lines(folder / "a.jsonl", [row | {"ph": None} for row in rows])
    assert counts(take(config, home, store)[2]) == (40, 40, 0, 0)
    write_lines(folder / "a.jsonl", [row | {"ph": 3.25} for row in rows])
    assert counts(take(config, home, store)[2]) == (40, 40, 0, 0)
    assert versions(config, store) == {0: 40, 1: 40, 2: 40, 3: 1}, "a missing value that was delivered is no gap"
    write_lines(folder / "a.jsonl", [row | {"ph": 3.25} for row in reversed(rows)])
    assert counts(take(config, home, store)[2]) == (0, 0, 0, 40)


_CORRECTING = """
    import os, signal, sys
    from pathlib import Path
    sys.path[:0] = [{include!r}, {tests!r}]
    from perennial.config import load_model
    from perennial.publishing import versions
    from perennial.publishing.publish import publish
    from perennial.ingest.stage import stage
    from perennial.store import open_store
    from perennial.validation.audit import audit
    from ingesting import DAY

    store = open_store({url!r}, {storage!r})
    config = load_model(Path({model!r}))
    batch = stage(config, DAY, "predictions", store=store, home=Path({home!r}))
    verdict = audit(config, batch, store=store)
    if {die}:
        versions.correct = lambda *given: os.kill(os.getpid(), signal.SIGKILL)
    done = publish(config, batch, verdict, store=store)
    print(done.n_corrected, done.n_duplicate, flush=True)
"""


def process(
    config: ModelConfig, models_dir: Path, home: Path, url: str, *, die: bool = False
) -> "subprocess.Popen[str]":
    """Stage, audit and publish in a process of its own, killed if asked between the old version and the new one."""
    body = _CORRECTING.format(
        include=str(ROOT / "include"),
        tests=str(ROOT / "tests"),
        url=url,
        storage=(home / "storage").as_uri(),
        model=str(models_dir / config.model),
        home=str(home),
        die=die,
    )
    command = [sys.executable, "-c", TAKES_ROWS_IN + textwrap.dedent(body)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=dict(os.environ))


@by_forks
def test_kill_9_between_two_versions_leaves_the_old_one_and_the_next_run_both(
    wine: ModelConfig,
    store: Store,
    home: Path,
    folder: Path,
    rows: list[dict[str, Any]],
    models_dir: Path,
    database_url: str,
) -> None:
    then = known(wine, store, DAY.end)
    write_lines(folder / "a.jsonl", [row | {"ash": 4.5} for row in rows])
    victim = process(wine, models_dir, home, database_url, die=True)
    victim.communicate(timeout=120)
    assert victim.returncode == -signal.SIGKILL
    assert known(wine, store, day(1).end) == then
    assert versions(wine, store) == {0: 40}
    assert counts(take(wine, home, store)[2]) == (40, 40, 0, 0)
    assert versions(wine, store) == {0: 40, 1: 40}


@by_forks
def test_two_publications_of_the_same_correction_at_once_make_one_version(
    wine: ModelConfig,
    store: Store,
    home: Path,
    tmp_path: Path,
    rows: list[dict[str, Any]],
    models_dir: Path,
    database_url: str,
) -> None:
    """The one as a batch of its own with a row more, so that neither knows of the other by its digest."""
    homes = [tmp_path / "one", tmp_path / "two"]
    corrected = [row | {"ash": 4.5} for row in rows]
    write_lines(landing(homes[0], WINE) / "a.jsonl", corrected)
    write_lines(landing(homes[1], WINE) / "a.jsonl", [*corrected, corrected[0]])
    racers = [process(wine, models_dir, each, database_url) for each in homes]
    outputs = [racer.communicate(timeout=120)[0].split() for racer in racers]
    assert sorted(int(n_corrected) for n_corrected, _ in outputs) == [0, 40]
    assert sum(int(n_duplicate) for _, n_duplicate in outputs) == 41
    assert versions(wine, store) == {0: 40, 1: 40}


def test_of_every_row_one_version_is_the_newest(wine: ModelConfig, store: Store, rows: list[dict[str, Any]]) -> None:
    table = predictions_table(wine)
    assert [*row_key(table), SUPERSEDED] == [column.name for column in table.primary_key]
    copied = table.insert().from_select(table.columns.keys(), select(table).limit(1))
    with pytest.raises(IntegrityError, match="duplicate key"), store.begin() as connection:
        connection.execute(copied)
