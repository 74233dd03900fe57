"""A delivery that is not all there yet is not published, and the account of a window says what came when."""

import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ingesting import DAY, landing, rows_of, take, write_lines
from perennial.config import ModelConfig
from perennial.contracts import Batch
from perennial.ingest.stage import stage
from perennial.store import Store
from perennial.store.batches import Completeness, completeness, mark_delivered

WINE = "wine_cultivar"


@pytest.fixture
def folder(home: Path) -> Path:
    return landing(home, WINE)


def promising(config: ModelConfig, **options: Any) -> ModelConfig:
    predictions = config.sources.predictions.model_copy(update=options)
    return config.model_copy(update={"sources": config.sources.model_copy(update={"predictions": predictions})})


def test_nothing_is_read_before_its_marker_lies_there(
    wine: ModelConfig, store: Store, home: Path, folder: Path
) -> None:
    config = promising(wine, done_marker="_SUCCESS")
    write_lines(folder / "a.jsonl", rows_of(WINE))
    early, _, account = take(config, home, store)
    assert early.problem == f"incomplete delivery: no _SUCCESS beside {folder}; it is read once that is there"
    assert (account.status, account.n_staged) == ("halted", 0)
    (folder / "_SUCCESS").touch()
    batch, _, account = take(config, home, store)
    assert account.n_published == 40
    assert batch.batch_id != early.batch_id, "the halt of the early one would be decided of the whole one too"


def test_a_marker_that_the_pattern_matches_is_no_data(
    wine: ModelConfig, store: Store, home: Path, folder: Path
) -> None:
    config = promising(wine, done_marker="done.jsonl", allow_empty=True)
    nothing = stage(config, DAY, "predictions", store=store, home=home)
    assert "no done.jsonl beside" in str(nothing.problem)
    (folder / "done.jsonl").write_text("done")
    assert stage(config, DAY, "predictions", store=store, home=home).problem is None
    write_lines(folder / "a.jsonl", rows_of(WINE))
    batch, _, account = take(config, home, store)
    assert (batch.files, account.n_published) == ((str(folder / "a.jsonl"),), 40)


@pytest.mark.parametrize(
    ("manifest", "why"),
    [
        (None, "no manifest.json beside"),
        ({"expected_rows": 41}, "incomplete delivery: 40 rows, where the manifest promises 41"),
        ({"expected_rows": "40"}, "manifest.json: no manifest; it says"),
        ([], "manifest.json: no manifest; it says"),
        ({"expected_rows": 40}, None),
    ],
)
def test_a_manifest_says_how_many_rows_there_are(
    manifest: object, why: str | None, wine: ModelConfig, store: Store, home: Path, folder: Path
) -> None:
    config = promising(wine, manifest="manifest.json")
    write_lines(folder / "a.jsonl", rows_of(WINE))
    if manifest is not None:
        (folder / "manifest.json").write_text(json.dumps(manifest))
    batch, _, account = take(config, home, store)
    assert account.status == ("halted" if why else "published")
    assert (why or "None") in str(batch.problem)


def test_a_mended_manifest_makes_another_batch_of_the_same_rows(
    wine: ModelConfig, store: Store, home: Path, folder: Path
) -> None:
    config = promising(wine, manifest="manifest.json")
    write_lines(folder / "a.jsonl", rows_of(WINE))
    (folder / "manifest.json").write_text('{"expected_rows": 41}')
    wrong = take(config, home, store)[0]
    (folder / "manifest.json").write_text('{"expected_rows": 40}')
    right, _, account = take(config, home, store)
    assert right.batch_id != wrong.batch_id
    assert account.n_published == 40


@pytest.fixture
def growing(folder: Path) -> Iterator[Path]:
    """A file of many lines whose writer is not done: it has another size whenever somebody looks."""
    path = write_lines(folder / "a.jsonl", rows_of(WINE))
    line = path.read_bytes().splitlines()[0] + b"\n"
    ended = threading.Event()

    def write() -> None:
        with path.open("ab", buffering=0) as stream:
            while not ended.wait(0.001):
                stream.write(line)

    writer = threading.Thread(target=write)
    writer.start()
    yield path
    ended.set()
    writer.join()


def test_a_file_that_changes_while_it_is_read_is_not_published(
    wine: ModelConfig, store: Store, home: Path, growing: Path
) -> None:
    batch = stage(wine, DAY, "predictions", store=store, home=home)
    assert f"{growing} changed while being read" in str(batch.problem)
    assert batch.uri is None


def test_a_file_that_was_merely_touched_is_the_same_batch(
    wine: ModelConfig, store: Store, home: Path, folder: Path
) -> None:
    path = write_lines(folder / "a.jsonl", rows_of(WINE))
    first = take(wine, home, store)
    os.utime(path, (1, 1))
    assert take(wine, home, store) == first


def account(store: Store, config: ModelConfig) -> Completeness:
    (found,) = completeness(store, config.model)[DAY.key]
    return found


def deliver(config: ModelConfig, home: Path, store: Store) -> Batch:
    batch = take(config, home, store)[0]
    mark_delivered(store, batch.batch_id)
    return batch


def test_the_account_of_a_window_tells_late_and_corrected_rows(
    wine: ModelConfig, store: Store, home: Path, folder: Path
) -> None:
    config = promising(wine, manifest="manifest.json")
    rows = rows_of(WINE)
    rows[7]["hue"] = "red"
    write_lines(folder / "a.jsonl", rows[:30])
    (folder / "manifest.json").write_text('{"expected_rows": 30}')
    deliver(config, home, store)
    assert account(store, config) == Completeness(
        source="predictions", status="published", n_expected=30, n_arrived=30, n_quarantined=1, n_published=29,
        n_late=0, n_corrected=0,
    )  # fmt: skip
    rows[3]["hue"] = 1.11
    write_lines(folder / "a.jsonl", rows)
    deliver(config, home, store)
    early = account(store, config)
    assert (early.status, early.n_expected, early.n_arrived, early.n_published) == ("halted", 30, 40, 29)
    (folder / "manifest.json").write_text('{"expected_rows": 40}')
    deliver(config, home, store)
    assert account(store, config) == Completeness(
        source="predictions", status="published", n_expected=40, n_arrived=40, n_quarantined=1, n_published=39,
        n_late=10, n_corrected=1,
    )  # fmt: skip
    assert completeness(store, "other") == {}
