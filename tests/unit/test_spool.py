"""The spool: what is settled is in it, what is in it gets to where ingest reads, whole and with no loss."""

import errno
import os
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from logs import day
from perennial.config import FileSource, ModelConfig, load_model
from perennial.config.serving import Serving
from perennial.contracts import Window
from perennial.errors import ConfigError
from perennial.serving.spool import segments, writer
from perennial.serving.spool.places import landings
from perennial.serving.spool.segments import create
from perennial.serving.spool.writer import Entry, Spool
from perennial.settings import ROOT

WINE = load_model(ROOT / "tests" / "models" / "wine_cultivar")


def with_source(**options: Any) -> ModelConfig:
    """The wines, with other options of their prediction source."""
    source = WINE.sources.predictions.model_copy(update=options)
    return WINE.model_copy(update={"sources": WINE.sources.model_copy(update={"predictions": source})})


class Log:
    """What was settled, in groups."""

    def __init__(self) -> None:
        self.groups: list[tuple[list[Entry], str | None]] = []
        self.came = threading.Condition()

    def __call__(self, entries: list[Entry], problem: str | None) -> None:
        with self.came:
            self.groups.append((entries, problem))
            self.came.notify_all()

    def wait_for(self, n_entries: int) -> None:
        with self.came:
            assert self.came.wait_for(lambda: sum(len(group) for group, _ in self.groups) >= n_entries, 10)


Opened = Callable[..., tuple[Spool, Log]]


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Opened]:
    running: list[Spool] = []

    def start(config: ModelConfig = WINE, **rules: Any) -> tuple[Spool, Log]:
        given = {"event_time": "given", **rules}
        log = Log()
        spool = Spool(tmp_path / "spool", landings(config, tmp_path), Serving(**given), log)
        spool.start()
        running.append(spool)
        return spool, log

    yield start
    for spool in running:
        if spool._thread is not None and spool._thread.is_alive():
            spool.close()


def put(spool: Spool, window: Window, *lines: str) -> None:
    for line in lines:
        spool.put([Entry("predictions", window, f"{line}\n".encode(), 1)])


def delivered(tmp_path: Path, number: int = 0) -> list[str]:
    folder = tmp_path / "landing" / "wine_cultivar" / "predictions" / f"{day(number).start:%Y-%m-%d}"
    return sorted(line for path in folder.glob("*.jsonl") for line in path.read_text(encoding="utf-8").split())


def until(what: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not what():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_what_comes_during_a_sync_shares_the_next_one(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    spool, log = opened()
    synced, go_on, begun = [], threading.Event(), threading.Event()
    real = os.fdatasync

    def slow(descriptor: int) -> None:
        synced.append(sum(len(group) for group, _ in log.groups))
        begun.set()
        assert go_on.wait(10)
        real(descriptor)

    monkeypatch.setattr(segments.os, "fdatasync", slow)
    put(spool, day(0), "first")
    assert begun.wait(10)
    put(spool, day(0), *(f"line-{number}" for number in range(50)))
    assert log.groups == [], "nothing is settled before the disk has it"
    go_on.set()
    log.wait_for(51)
    assert [len(group) for group, _ in log.groups] == [1, 50]
    assert synced == [0, 1]


def test_after_lets_answers_go_before_the_disk_has_them(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    synced = threading.Event()
    spool, log = opened(durable="after")
    monkeypatch.setattr(segments.os, "fdatasync", lambda _: synced.set())
    put(spool, day(0), "first")
    log.wait_for(1)
    (left,) = spool.folder.glob("*.open")
    assert left.read_text(encoding="utf-8") == "first\n", "the operating system has it: a kill loses nothing"
    assert synced.wait(10)


@pytest.mark.parametrize("rules", [{"rotate_s": 0.1}, {"rotate_mb": 1}])
def test_files_go_by_their_age_and_by_their_size(opened: Opened, tmp_path: Path, rules: dict[str, Any]) -> None:
    spool, log = opened(**rules)
    lines = ["x" * (600 << 10), "y" * (600 << 10)]
    put(spool, day(0), *lines)
    log.wait_for(2)
    until(lambda: delivered(tmp_path) == lines)
    until(lambda: not list(spool.folder.glob("*.open")) and spool.standing.n_bytes == 0)


def test_each_window_has_its_own_files_and_the_end_delivers_them_all(opened: Opened, tmp_path: Path) -> None:
    spool, log = opened()
    put(spool, day(0), "a")
    put(spool, day(1), "b")
    put(spool, day(0), "c")
    log.wait_for(3)
    assert delivered(tmp_path) == []
    spool.close()
    assert (delivered(tmp_path), delivered(tmp_path, 1)) == (["a", "c"], ["b"])


def test_what_a_dead_process_left_is_delivered_without_its_torn_line(opened: Opened, tmp_path: Path) -> None:
    folder = tmp_path / "spool"
    folder.mkdir()
    dead = create(folder, "predictions", day(0), "dead", now=0.0)
    dead.write(b"whole\nwhole-too\ntor")
    os.close(dead.descriptor)
    alive = create(folder, "predictions", day(0), "alive", now=0.0)
    alive.write(b"of another process\n")
    opened()
    assert delivered(tmp_path) == ["whole", "whole-too"]
    assert [path.name for path in folder.glob("*.open")] == [alive.path.name]
    os.close(alive.descriptor)


def test_a_file_that_was_moved_before_a_crash_is_not_moved_twice(opened: Opened, tmp_path: Path) -> None:
    target = tmp_path / "landing" / "wine_cultivar" / "predictions" / "2024-01-01" / "served-dead.jsonl"
    target.parent.mkdir(parents=True)
    target.write_text("whole\n", encoding="utf-8")
    (tmp_path / "spool").mkdir()
    (tmp_path / "spool" / f"predictions__{day(0).key}__dead.open").write_text("whole\n", encoding="utf-8")
    opened()
    assert delivered(tmp_path) == ["whole"]
    assert list((tmp_path / "spool").glob("*.open")) == []


def test_on_another_disk_a_file_still_appears_whole(
    opened: Opened, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool, log = opened()
    put(spool, day(0), "a")
    log.wait_for(1)
    real, seen = Path.rename, []

    def rename(self: Path, target: Path) -> Path:
        if self.suffix == ".open":
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
        seen.append((self.parent == target.parent, target.exists(), self.read_text(encoding="utf-8")))
        return real(self, target)

    monkeypatch.setattr(Path, "rename", rename)
    spool.close()
    assert delivered(tmp_path) == ["a"]
    assert seen == [(False, False, "a\n")]
    assert list(tmp_path.rglob("*.part")) == []


def test_a_landing_that_can_not_be_written_is_told_and_tried_again(opened: Opened, tmp_path: Path) -> None:
    (tmp_path / "landing").write_text("in the way", encoding="utf-8")
    spool, log = opened(rotate_s=0.1)
    put(spool, day(0), "a")
    log.wait_for(1)
    until(lambda: spool.standing.rotate_problem is not None)
    (tmp_path / "landing").unlink()
    until(lambda: delivered(tmp_path) == ["a"])
    until(lambda: spool.standing.rotate_problem is None)


def test_a_disk_that_was_full_is_found_to_be_so_no_longer(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    spool, log = opened()

    def write(descriptor: int, data: Any) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as disk:
        disk.setattr(segments.os, "write", write)
        put(spool, day(0), "a")
        log.wait_for(1)
        assert "No space left" in str(log.groups[0][1])
    until(lambda: spool.standing.write_problem is None)


def test_the_marker_comes_once_a_window_is_over_and_all_its_files_are_there(
    opened: Opened, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "_MARKER_AFTER_S", 0.0)
    config = with_source(done_marker="_SUCCESS")
    now = datetime.now(UTC)
    over, lasting = day((now - day(0).start).days - 1), config.schedule.window_of(now + timedelta(hours=1))
    other = create_in(tmp_path, over)
    spool, log = opened(config, event_time="arrival")
    put(spool, over, "a")
    put(spool, lasting, "b")
    log.wait_for(2)
    folder = landings(config, tmp_path)["predictions"].folder
    until(lambda: len(list(folder(over).glob("*.jsonl"))) == 1)
    spool._tick()
    assert not (folder(over) / "_SUCCESS").exists(), "another process still has a file of this window"
    other.move_to(folder(over) / "served-other.jsonl")
    until((folder(over) / "_SUCCESS").exists)
    spool.close()
    assert not (folder(lasting) / "_SUCCESS").exists()
    assert [path.name for path in spool.folder.iterdir()] == [f"predictions__{lasting.key}.awaited"]


def create_in(tmp_path: Path, window: Window) -> Any:
    (tmp_path / "spool").mkdir()
    other = create(tmp_path / "spool", "predictions", window, "other", now=0.0)
    other.write(b"c\n")
    return other


REFUSED = {
    "csv": {"format": "csv"},
    "bucket": {"uri": "s3://bucket/{start:%Y}/*.jsonl"},
    "one file": {"uri": "{home}/log.jsonl"},
    "many folders": {"uri": "{home}/*/x-*.jsonl"},
    "packed": {"uri": "{home}/*.jsonl.gz"},
    "manifest": {"manifest": "manifest.json"},
}


@pytest.mark.parametrize("kind", REFUSED)
def test_a_source_that_it_can_not_write_is_refused_at_the_start(kind: str, tmp_path: Path) -> None:
    config = with_source(**REFUSED[kind])
    assert isinstance(config.sources.predictions, FileSource)
    with pytest.raises(ConfigError, match=r"wine_cultivar: sources\.predictions"):
        landings(config, tmp_path)
