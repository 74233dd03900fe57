"""One line a step, whatever becomes of it; and what the lines add up to."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowSkipException

from logs import day
from perennial.contracts import Publication, Window, to_record
from perennial.errors import StoreUnavailable
from perennial.journal import Line, folder_of, keep
from perennial.journal.reading import read_spent, recorded_since
from perennial.orchestration.tasks import journalled, step

SECRET = "s3cret-of-the-store"  # noqa: S105 - of this test
PUBLISHED = Publication(
    batch_id="b", status="published", n_staged=120, n_published=100, n_quarantined=15, n_duplicate=5, reason="all good",
)  # fmt: skip
LINE = Line(
    at=datetime(2026, 1, 31, 23, 59, tzinfo=UTC), model="m", dag="m__monitor", run_id="r", step="audit_labels",
    try_number=1, window=None, outcome="ok", problem="", seconds=2.0, cpu_s=1.5, peak_mb=300.0, n_rows=10,
    rows_per_s=5.0,
)  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the lines of a task of this test lie."""

    @contextmanager
    def opened(model: str) -> Iterator[Any]:
        yield SimpleNamespace(model=model)

    ti = SimpleNamespace(dag_id="m__monitor", run_id="r1", task_id="publish_labels", try_number=2)
    monkeypatch.setattr(journalled, "get_current_context", lambda: {"ti": ti})
    monkeypatch.setattr(step, "opened", opened)
    monkeypatch.setenv("PERENNIAL_HOME", str(tmp_path))
    monkeypatch.setenv("PERENNIAL_DATABASE_URL", f"postgresql://perennial:{SECRET}@127.0.0.1:9/none")
    return folder_of(tmp_path)


def published(case: Any, window: Window) -> Publication:
    """A step of a case that goes well."""
    return PUBLISHED


def refused(case: Any, window: Window) -> Publication:
    raise StoreUnavailable(f"password {SECRET} was refused")


def skipped(case: Any, window: Window) -> Publication:
    raise AirflowSkipException("nothing was published: broken schema")


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for path in sorted(folder.glob("*")) for line in path.read_text().splitlines()]


def test_a_step_leaves_one_line_of_what_it_was_about_and_took(folder: Path) -> None:
    window = to_record(day(3))
    assert step.body_of(published)("m", window) == to_record(PUBLISHED)
    (line,) = lines(folder)
    assert [line[key] for key in ("model", "dag", "run_id", "step", "try_number", "window", "outcome", "problem")] == [
        "m", "m__monitor", "r1", "publish_labels", 2, day(3).key, "ok", "",
    ]  # fmt: skip
    assert line["n_rows"] == 120, "staged rows are all rows, and are not counted twice"
    assert line["counts"]["n_quarantined"] == 15
    assert line["peak_mb"] > 20
    assert 0 <= line["seconds"] < 60
    assert line["cpu_s"] >= 0


def test_a_step_that_fails_or_is_skipped_says_why_without_a_secret(folder: Path) -> None:
    for body, error in ((refused, StoreUnavailable), (skipped, AirflowSkipException)):
        with pytest.raises(error):
            step.body_of(body)("m", to_record(day(3)))
    failed, left_out = lines(folder)
    assert (failed["outcome"], failed["problem"]) == ("failed", "StoreUnavailable: password *** was refused")
    assert (left_out["outcome"], left_out["problem"]) == ("skipped", "nothing was published: broken schema")
    assert (failed["window"], failed["n_rows"]) == (day(3).key, None)
    assert SECRET not in str(lines(folder))


def test_a_line_that_can_not_be_kept_stops_no_step_and_outside_of_a_task_there_is_none(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    folder.parent.mkdir(parents=True)
    folder.write_text("in the way")
    assert step.body_of(published)("m", to_record(day(3))) == to_record(PUBLISHED)
    assert "the line of this step was not kept" in caplog.text
    folder.unlink()

    def no_task() -> Any:
        raise RuntimeError("no context")

    monkeypatch.setattr(journalled, "get_current_context", no_task)
    step.body_of(published)("m", to_record(day(3)))
    assert not folder.exists()


def test_files_are_by_day_and_those_that_are_too_old_go(tmp_path: Path) -> None:
    for number in range(5):
        keep(replace(LINE, at=LINE.at + timedelta(days=number)), tmp_path, days=2)
    assert [path.name for path in sorted(tmp_path.iterdir())] == [f"2026-02-0{day}.jsonl" for day in (2, 3, 4)]


def test_lines_of_many_processes_are_whole(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as workers:
        list(workers.map(lambda number: keep(replace(LINE, run_id=f"r{number}"), tmp_path, days=2), range(200)))
    assert {line["run_id"] for line in lines(tmp_path)} == {f"r{number}" for number in range(200)}


def test_lines_add_up_by_month_and_step(tmp_path: Path) -> None:
    assert (read_spent(tmp_path, "m", since=None, until=None), recorded_since(tmp_path)) == ((), None)
    february = LINE.at + timedelta(minutes=1)
    for line in (
        LINE,
        replace(LINE, seconds=4.0, peak_mb=900.0, outcome="failed", n_rows=None),
        replace(LINE, at=february),
        replace(LINE, step="decide", n_rows=None),
        replace(LINE, model="another"),
    ):
        keep(line, tmp_path, days=99)
    with (tmp_path / "2026-01-31.jsonl").open("a") as stream:
        stream.write('{"at": "2026-01-31T23:')
    first, decided, second = read_spent(tmp_path, "m", since=None, until=None)
    assert (first.month, first.step, first.n_runs, first.n_failed) == ("2026-01", "audit_labels", 2, 1)
    assert (first.seconds, first.cpu_s, first.peak_mb, first.n_rows) == (6.0, 3.0, 900.0, 10)
    assert (decided.step, decided.n_rows) == ("decide", None)
    assert (second.month, second.n_runs) == ("2026-02", 1)
    assert read_spent(tmp_path, "m", since=february, until=None) == (second,)
    assert read_spent(tmp_path, "m", since=None, until=february) == (first, decided)
    assert recorded_since(tmp_path) == datetime(2026, 1, 31, tzinfo=UTC)
