"""Files that come or change after their window was staged are noticed, until the window is run again."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from ingesting import DAY, landing, rows_of, take, write_lines
from perennial.config import ModelConfig
from perennial.ingest.relisting import ChangedDelivery, list_again
from perennial.store import Store
from perennial.store.batches import mark_delivered
from perennial.store.schema import changed_deliveries

WINE = "wine_cultivar"
NOW = datetime.now(UTC)


@pytest.fixture
def folder(home: Path) -> Path:
    return landing(home, WINE)


def run(config: ModelConfig, home: Path, store: Store) -> None:
    for source in ("predictions", "labels"):
        mark_delivered(store, take(config, home, store, source)[0].batch_id)


def again(
    config: ModelConfig, home: Path, store: Store, *, now: datetime = NOW, since: datetime = NOW - timedelta(days=1)
) -> tuple[ChangedDelivery, ...]:
    return list_again(config, store=store, home=home, since=since, now=now)


def recorded(store: Store) -> list[tuple[str, int, datetime]]:
    table = changed_deliveries
    with store.begin() as connection:
        return [tuple(row) for row in connection.execute(select(table.c.source, table.c.n_files, table.c.found_at))]


def test_a_late_file_is_reported_until_its_window_is_run_again(
    wine: ModelConfig, store: Store, home: Path, folder: Path
) -> None:
    write_lines(folder / "a.jsonl", rows_of(WINE)[:30])
    run(wine, home, store)
    assert again(wine, home, store) == ()
    assert recorded(store) == []
    write_lines(folder / "b.jsonl", rows_of(WINE)[30:])
    (changed,) = again(wine, home, store)
    assert (changed.source, changed.window, changed.n_files) == ("predictions", DAY, 2)
    assert again(wine, home, store, now=NOW + timedelta(hours=1)) == (changed,)
    assert recorded(store) == [("predictions", 2, NOW)], "it was found once, and then"
    run(wine, home, store)
    assert again(wine, home, store) == ()
    assert recorded(store) == []


def test_a_file_written_over_and_one_that_went_are_changes(
    wine: ModelConfig, store: Store, home: Path, folder: Path
) -> None:
    path = write_lines(folder / "a.jsonl", rows_of(WINE))
    run(wine, home, store)
    write_lines(path, rows_of(WINE)[:39])
    assert [one.n_files for one in again(wine, home, store)] == [1]
    path.unlink()
    assert [one.n_files for one in again(wine, home, store)] == [0]


def test_a_delivery_after_a_missing_one_is_a_change(wine: ModelConfig, store: Store, home: Path, folder: Path) -> None:
    run(wine, home, store)
    assert again(wine, home, store) == ()
    write_lines(folder / "a.jsonl", rows_of(WINE))
    assert [one.source for one in again(wine, home, store)] == ["predictions"]


def test_same_bytes_written_again_are_no_change_once_they_were_looked_at(
    wine: ModelConfig, store: Store, home: Path, folder: Path
) -> None:
    path = write_lines(folder / "a.jsonl", rows_of(WINE))
    run(wine, home, store)
    path.unlink()
    write_lines(path, rows_of(WINE))
    assert len(again(wine, home, store)) == 1
    run(wine, home, store)
    assert again(wine, home, store) == ()


def test_windows_of_long_ago_are_left_alone(wine: ModelConfig, store: Store, home: Path, folder: Path) -> None:
    path = write_lines(folder / "a.jsonl", rows_of(WINE))
    run(wine, home, store)
    path.unlink()
    assert again(wine, home, store, since=NOW + timedelta(hours=1)) == ()
