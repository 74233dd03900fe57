"""Published once, completely or not at all, whatever dies or runs beside it."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from forked import TAKES_ROWS_IN
from ingesting import DAY, landing, published, quarantined, rows_of, take, validated, write_lines
from perennial.config import ModelConfig
from perennial.contracts import Audit, Batch, Window
from perennial.errors import LockTimeout
from perennial.evidence.deliveries.quarantine import read_quarantine
from perennial.ingest.stage import stage
from perennial.ingest.sweep import sweep
from perennial.publishing import moving, transaction
from perennial.publishing.publish import publish
from perennial.store import Store, open_store
from perennial.store.schema import predictions_table
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


def counts(account: object) -> tuple[int, int, int]:
    return account.n_published, account.n_quarantined, account.n_duplicate  # type: ignore[attr-defined]


def test_who_waits_for_another_publication_too_long_says_so_and_leaves_nothing(
    wine: ModelConfig, store: Store, home: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transaction, "_LOCK_TIMEOUT_S", 1)
    write_lines(folder / "a.jsonl", rows_of(WINE))
    with store.engine.connect() as other:
        key = f"perennial:publish:{wine.model}"
        other.execute(text("SELECT pg_advisory_xact_lock(hashtextextended(:key, 0))"), {"key": key})
        given_up = threading.Timer(20, other.rollback)  # so that a wait without an end fails here, too
        given_up.start()
        with pytest.raises(LockTimeout, match=rf"{wine.model}: another run held the publish lock for over 1 s"):
            take(wine, home, store)
        given_up.cancel()
    assert len(published(wine, store)) == 0
    assert counts(take(wine, home, store)[2])[0] == 40


def test_same_file_twice_publishes_once(wine: ModelConfig, store: Store, home: Path, folder: Path) -> None:
    write_lines(folder / "a.jsonl", rows_of(WINE))
    first = take(wine, home, store)
    second = take(wine, home, store)
    assert second == first
    assert len(published(wine, store)) == 40


def test_file_copied_within_a_delivery_counts_its_rows_as_duplicates(
    wine: ModelConfig, store: Store, home: Path, folder: Path
) -> None:
    write_lines(folder / "a.jsonl", rows_of(WINE))
    write_lines(folder / "b.jsonl", rows_of(WINE))
    assert counts(take(wine, home, store)[2]) == (40, 0, 40)


def test_rows_of_an_earlier_delivery_are_duplicates(wine: ModelConfig, store: Store, home: Path, folder: Path) -> None:
    rows = rows_of(WINE, 60)
    write_lines(folder / "a.jsonl", rows[:40])
    take(wine, home, store)
    write_lines(folder / "a.jsonl", rows[20:])
    assert counts(take(wine, home, store)[2]) == (20, 0, 20)
    assert len(published(wine, store)) == 60


def test_same_id_with_other_content_is_quarantined_naming_both(
    wine: ModelConfig, store: Store, home: Path, folder: Path
) -> None:
    rows = rows_of(WINE)
    write_lines(folder / "a.jsonl", [*rows, rows[0] | {"score": 0.25, "ash": None}])
    assert counts(take(wine, home, store)[2]) == (40, 1, 0)
    (reason,) = quarantined(store)["reason"]
    assert f"score: published {rows[0]['score']}, delivered again as 0.25" in reason
    assert "ash: published " in reason
    assert reason.endswith("delivered again as null") or "delivered again as null; " in reason


def test_same_id_in_another_role_is_another_prediction(
    wine: ModelConfig, store: Store, home: Path, folder: Path
) -> None:
    rows = rows_of(WINE)
    write_lines(folder / "a.jsonl", [*rows, *(row | {"role": "challenger"} for row in rows)])
    assert counts(take(wine, home, store)[2]) == (80, 0, 0)


def test_time_for_duplicates_grows_with_their_number_and_not_with_its_square(wine: ModelConfig) -> None:
    target = predictions_table(wine)

    def seconds(n_rows: int) -> float:
        numbers = np.arange(n_rows)
        nothing = {c.name: pa.nulls(65_536, pa.string()) for c in target.columns if c.name != "batch_seq"}
        batches = [
            pa.record_batch({"row_number": pa.array(numbers[i : i + 65_536]), **nothing})
            for i in range(0, n_rows, 65_536)
        ]
        started = time.process_time()
        assert sum(one.num_rows for one in moving._new(iter(batches), target, 1, numbers)) == 0
        return time.process_time() - started

    small, large = (min(seconds(65_536 * n) for _ in range(3)) for n in (4, 32))
    assert large < 8 * 3 * small, "eight times the rows; a set built for every stretch of them would take 64 times"


def label_rows(n_rows: int = 30) -> list[dict[str, object]]:
    return [
        {"prediction_id": f"p{i:03d}", "label": "barolo", "labelled_at": "2024-01-01T12:00:00Z"} for i in range(n_rows)
    ]


def test_conflicting_labels_in_one_delivery_are_all_quarantined(
    wine: ModelConfig, store: Store, home: Path, labels: Path
) -> None:
    rows = label_rows()
    write_lines(labels / "a.jsonl", [*rows, rows[0] | {"label": "barbera"}])
    assert counts(take(wine, home, store, "labels")[2]) == (29, 2, 0)
    assert set(quarantined(store)["reason"]) == {
        "label: conflicting values for one id in one delivery: barbera and barolo"
    }
    assert "p000" not in set(published(wine, store, "labels")["prediction_id"])


def test_contradictions_over_the_limit_halt_the_batch(
    wine: ModelConfig, store: Store, home: Path, labels: Path
) -> None:
    rows = label_rows()
    write_lines(labels / "a.jsonl", [*rows, *(row | {"label": "barbera"} for row in rows)])
    _, _, account = take(wine, home, store, "labels")
    assert account.status == "halted"
    assert "60 of them contradict" in account.reason
    assert quarantined(store).empty
    assert published(wine, store, "labels").empty


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"labelled_at": "2024-01-02T00:00:00Z"}, "lies in the future"),
        ({"labelled_at": "2024-01-01T12:00:00"}, "carries no time zone"),
        ({"label": "merlot"}, "label: not among"),
        ({"label": None}, "label: missing"),
        ({"prediction_id": None}, "prediction_id: missing"),
    ],
)
def test_bad_label_is_quarantined(
    change: dict[str, object], reason: str, wine: ModelConfig, store: Store, home: Path, labels: Path
) -> None:
    rows = label_rows()
    rows[3] |= change
    write_lines(labels / "a.jsonl", rows)
    assert counts(take(wine, home, store, "labels")[2]) == (29, 1, 0)
    assert reason in quarantined(store)["reason"][0]


def test_labels_for_unknown_ids_are_published(wine: ModelConfig, store: Store, home: Path, labels: Path) -> None:
    write_lines(labels / "a.jsonl", label_rows())
    assert counts(take(wine, home, store, "labels")[2]) == (30, 0, 0)


def test_labels_that_arrived_before_the_window_still_count(
    wine: ModelConfig, store: Store, home: Path, labels: Path
) -> None:
    write_lines(labels / "a.jsonl", [row | {"labelled_at": "2023-12-30T00:00:00Z"} for row in label_rows()])
    assert counts(take(wine, home, store, "labels")[2]) == (30, 0, 0)


def test_regression_label_must_be_finite(diabetes: ModelConfig, store: Store, home: Path) -> None:
    folder = landing(home, "diabetes_progress", "labels")
    rows = [row | {"label": 1.5 + i} for i, row in enumerate(label_rows())]
    rows[0]["label"] = float("inf")
    write_lines(folder / "a.jsonl", rows)
    assert counts(take(diabetes, home, store, "labels")[2]) == (29, 1, 0)


_VICTIM = """
    import os, signal, sys
    from pathlib import Path
    sys.path[:0] = [{include!r}, {tests!r}]
    from perennial.config import load_model
    from perennial.publishing import moving, transaction
    from perennial.publishing.publish import publish
    from perennial.ingest.stage import stage
    from perennial.store import open_store
    from perennial.validation.audit import audit
    from ingesting import DAY

    def dies_at_second(write):
        written = []

        def writes_once(*given):
            if written:
                os.kill(os.getpid(), signal.SIGKILL)
            written.append(write(*given))

        return writes_once

    store = open_store({url!r}, {storage!r})
    config = load_model(Path({model!r}))
    if {die!r} == "stage":
        staging = sys.modules["perennial.ingest.stage"]
        staging.PASSING_ROWS, staging._write_whole = 30_000, dies_at_second(staging._write_whole)
    batch = stage(config, DAY, "predictions", store=store, home=Path({home!r}))
    if {die!r} == "copy":  # rows come in more than one batch
        sys.modules["perennial.validation.audit"].PASSING_ROWS = 30_000
    verdict = audit(config, batch, store=store)
    if {die!r} == "copy":
        new = moving._new

        def dying(*given):
            for n, rows in enumerate(new(*given)):
                if n == 1:
                    os.kill(os.getpid(), signal.SIGKILL)
                yield rows

        moving._new = dying
    print(publish(config, batch, verdict, store=store).n_published, flush=True)
"""


def process(
    config: ModelConfig, models_dir: Path, home: Path, url: str, *, die: Literal["stage", "copy"] | None = None
) -> "subprocess.Popen[str]":
    """Stage, audit and publish in a process of its own, which may be killed after the first rows of one of them."""
    body = _VICTIM.format(
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


def many(rows: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Fifty times the rows, under ids of their own."""
    return (row | {"prediction_id": f"{i}-{row['prediction_id']}"} for i in range(50) for row in rows)


@by_forks
def test_kill_9_in_the_middle_of_staging_leaves_a_draft_that_nothing_reads_until_it_is_swept(
    wine: ModelConfig, store: Store, home: Path, folder: Path, models_dir: Path, database_url: str
) -> None:
    rows = rows_of(WINE, 2000)
    write_lines(folder / "a.jsonl", many(rows))
    victim = process(wine, models_dir, home, database_url, die="stage")
    victim.communicate(timeout=120)
    assert victim.returncode == -signal.SIGKILL
    below = home / "storage" / "staging" / wine.model / "predictions"
    (draft,) = below.iterdir()
    with store.begin() as connection:
        assert connection.execute(text("SELECT count(*) FROM perennial.batches")).scalar_one() == 0
    batch, _, account = take(wine, home, store)
    assert counts(account) == (100_000, 0, 0)
    now = datetime.now(UTC)
    assert sweep(wine, store=store, before=now - timedelta(hours=1)) == 0
    assert draft.exists(), "younger than the limit: somebody may be writing it"
    assert sweep(wine, store=store, before=now + timedelta(hours=1)) == 4
    assert not list(below.iterdir()), f"what is left beside {batch.uri}"


@by_forks
def test_kill_9_in_the_middle_of_the_copy_leaves_nothing_and_the_next_run_everything(
    wine: ModelConfig, store: Store, home: Path, folder: Path, models_dir: Path, database_url: str
) -> None:
    rows = rows_of(WINE, 2000)
    write_lines(folder / "a.jsonl", many(rows))
    victim = process(wine, models_dir, home, database_url, die="copy")
    victim.communicate(timeout=120)
    assert victim.returncode == -signal.SIGKILL
    assert published(wine, store).empty
    with store.begin() as connection:
        status = connection.execute(text("SELECT status, n_published FROM perennial.batches")).one()
    assert tuple(status) == ("staged", 0)
    assert counts(take(wine, home, store)[2]) == (100_000, 0, 0)


@by_forks
def test_two_processes_publishing_the_same_batch_publish_it_once(
    wine: ModelConfig, store: Store, home: Path, folder: Path, models_dir: Path, database_url: str
) -> None:
    write_lines(folder / "a.jsonl", rows_of(WINE, 2000))
    racers = [process(wine, models_dir, home, database_url) for _ in range(2)]
    outputs = [racer.communicate(timeout=120)[0].strip() for racer in racers]
    assert [racer.returncode for racer in racers] == [0, 0]
    assert outputs == ["2000", "2000"], "both report the one account"
    assert len(published(wine, store)) == 2000


@by_forks
def test_overlapping_batches_at_once_publish_every_row_once(
    wine: ModelConfig, store: Store, home: Path, tmp_path: Path, models_dir: Path, database_url: str
) -> None:
    rows = rows_of(WINE, 3000)
    homes = [tmp_path / "one", tmp_path / "two"]
    write_lines(landing(homes[0], WINE) / "a.jsonl", rows[:2000])
    write_lines(landing(homes[1], WINE) / "a.jsonl", rows[1000:])
    racers = [process(wine, models_dir, each, database_url) for each in homes]
    outputs = sorted(int(racer.communicate(timeout=120)[0]) for racer in racers)
    assert outputs == [1000, 2000]
    assert len(published(wine, store)) == 3000
    with store.begin() as connection:
        total = text(
            "SELECT sum(n_staged), sum(n_published), sum(n_quarantined), sum(n_duplicate) FROM perennial.batches"
        )
        assert tuple(connection.execute(total).one()) == (4000, 3000, 0, 1000)


lines = st.one_of(
    st.text(alphabet=st.characters(codec="utf-8", exclude_characters="\n\r"), max_size=30),
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
        max_leaves=5,
    ).map(json.dumps),
    st.fixed_dictionaries(
        {},
        optional={
            name: st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=8)
            for name in ("prediction_id", "event_time", "alcohol", "magnesium", "cellar", "organic", "score", "role")
        },
    ),
    st.integers(0, 39),
)


@settings(
    max_examples=5,
    deadline=None,
    phases=(Phase.explicit, Phase.generate),  # a case takes half a second: shrinking one would take minutes
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(garbage=st.lists(lines, min_size=30, max_size=60))
@example(
    garbage=["x" * 5 + "\x1b¶O·Ü!\x8f\x9b\x86há¯\x9f'ÙW\x86\x962ÐÄ" * 9]
)  # an error would quote it cut in a letter
def test_no_row_is_lost_whatever_the_lines_hold(
    garbage: list[object], wine: ModelConfig, store: Store, home: Path, folder: Path
) -> None:
    good = rows_of(WINE)
    rows = [
        good[item] if isinstance(item, int) else (good[0] | item if isinstance(item, dict) else item)
        for item in garbage
    ]
    path = write_lines(folder / "a.jsonl", [*good, *rows])
    n_lines = sum(bool(line) for line in path.read_bytes().split(b"\n"))
    batch, _, account = take(validated(wine, max_share_bad=1.0, min_rows=1), home, store)
    assert batch.n_rows == account.n_staged == n_lines
    assert account.status == "published"
    assert account.n_published + account.n_quarantined + account.n_duplicate == account.n_staged


def test_unreachable_store_is_transient(wine: ModelConfig, store: Store, home: Path, folder: Path) -> None:
    from perennial.errors import StoreUnavailable

    write_lines(folder / "a.jsonl", rows_of(WINE))
    batch = stage(wine, DAY, "predictions", store=store, home=home)
    verdict = audit(wine, batch, store=store)
    gone = open_store("postgresql://nobody@127.0.0.1:9/none", (home / "storage").as_uri())
    with pytest.raises(StoreUnavailable):
        publish(wine, batch, verdict, store=gone)
    with pytest.raises(StoreUnavailable):
        stage(wine, DAY, "predictions", store=gone, home=home)


def test_reasons_of_a_halted_label_delivery_name_the_first_causes(
    wine: ModelConfig, store: Store, home: Path, labels: Path
) -> None:
    rows = label_rows()
    for row in rows[:8]:
        row["labelled_at"] = "2024-01-02T00:00:00Z"
    for i, row in enumerate(rows[8:12]):
        row["label"] = f"mer'lot; {i}"
    write_lines(labels / "a.jsonl", rows)
    _, verdict, account = take(wine, home, store, "labels")
    assert account.status == "halted"
    assert account.reason == verdict.reason
    assert "in quarantine: labelled_at: lies in the future (8 rows), label: not among" in verdict.reason
    (halted,) = read_quarantine(wine, store=store, window=DAY, n_examples=1)
    assert (halted.status, halted.source, halted.n_quarantined) == ("halted", "labels", 12)
    assert [one.n_rows for one in halted.causes.first] == [8, 4]
    assert [row.row_number for one in halted.causes.first for row in one.examples] == [0, 8]


def test_reasons_of_a_published_delivery_name_the_first_five_causes(
    wine: ModelConfig, store: Store, home: Path, folder: Path
) -> None:
    rows = rows_of(WINE, 100)
    faults: list[tuple[str, object]] = [("alcohol", "a lot; of it"), ("ash", "it's none"), ("hue", None)]
    faults += [("proline", "1.5"), ("event_time", "2024-01-02T00:00:00Z"), ("prediction_id", "x" * 600)]
    for i, (name, value) in enumerate(faults):
        rows[i][name] = value
        rows[10 + i][name] = value if not isinstance(value, str) else f"{value}{i}"
    rows[20]["alcohol"] = "a lot"
    write_lines(folder / "a.jsonl", [*rows, rows[50] | {"score": 0.25}, rows[51] | {"cellar": "north", "score": 0.5}])
    _, _, account = take(validated(wine, max_share_bad=0.5), home, store)
    words = account.reason.removeprefix("within its limits; in quarantine: ")
    assert words.startswith("alcohol: is no number (3 rows), ")
    assert words.endswith(" more causes")
    assert len(words.split(", ")) == 5
    (found,) = read_quarantine(wine, store=store, n_examples=2)
    causes = {one.cause: one for one in found.causes.first}
    assert causes["score: delivered again with another value"].n_rows == 2
    assert causes["prediction_id: characters where 1 to 512 are allowed"].n_rows == 2
    assert causes["event_time: lies outside the window"].n_rows == 1
    assert found.n_quarantined == account.n_quarantined == 15
    examples = [row for one in found.causes.first for row in one.examples]
    assert max(len(row.raw) for row in examples) == 200
    assert max(len(row.reason) for row in examples) <= 200
    day = timedelta(days=1)
    assert read_quarantine(wine, store=store, window=Window(start=DAY.start + day, end=DAY.end + day)) == ()


def test_contradictions_that_halt_are_named_with_the_other_causes(
    wine: ModelConfig, store: Store, home: Path, labels: Path
) -> None:
    rows = label_rows()
    changed = [row | {"label": "barbera"} for row in rows]
    changed[0]["label"] = None
    write_lines(labels / "a.jsonl", [*rows, *changed])
    _, _, account = take(wine, home, store, "labels")
    assert account.status == "halted"
    assert account.reason.endswith(
        "in quarantine: label: conflicting values for one id in one delivery (58 rows), label: missing (1 row)"
    )


def test_sweep_deletes_the_files_of_what_was_published_before_and_no_others(
    wine: ModelConfig, store: Store, home: Path, folder: Path
) -> None:
    def files(batch: Batch, verdict: Audit) -> list[str]:
        return [str(batch.uri), str(verdict.accepted_uri), str(verdict.quarantine_uri)]

    rows = rows_of(WINE)
    write_lines(folder / "a.jsonl", rows[:39])
    kept = files(*take(validated(wine, min_rows=40), home, store)[:2])
    write_lines(folder / "a.jsonl", rows)
    swept = files(*take(wine, home, store)[:2])
    now = datetime.now(UTC)
    assert sweep(wine, store=store, before=now - timedelta(hours=1)) == 0
    assert all(map(store.storage.exists, swept)), "younger than the limit"
    assert sweep(wine, store=store, before=now + timedelta(hours=1)) == 3
    assert not any(map(store.storage.exists, swept))
    assert all(map(store.storage.exists, kept)), "a halted batch is evidence"
    assert sweep(wine, store=store, before=now + timedelta(hours=1)) == 0
    store.storage.move(kept[0], swept[0])
    assert sweep(wine, store=store, before=now + timedelta(hours=1)) == 0, "the storage was asked once more"
