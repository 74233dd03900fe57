"""Rows that were held back are published once the rule that held them back is mended, and nothing else changes."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sqlalchemy import text
from typer.testing import CliRunner

from ingesting import DAY, landing, published, quarantined, rows_of, take, validated, write_lines
from logs import day
from perennial.cli import app
from perennial.config import ModelConfig
from perennial.contracts import Window, number_of
from perennial.ingest.stage import stage
from perennial.ingest.sweep import sweep
from perennial.pipeline.again.reprocessing import Reprocessed, reprocess
from perennial.storage import Storage
from perennial.store import Store
from perennial.store.batches import completeness
from perennial.validation.audit import audit_again

WINE = "wine_cultivar"
FIRST_WEEK = Window(start=day(0).start, end=day(6).end)


@pytest.fixture
def folder(home: Path) -> Path:
    return landing(home, WINE)


def mended(config: ModelConfig, **limits: float) -> ModelConfig:
    """The model with another rule for ash."""
    ash = config.features["ash"].model_copy(update=limits)
    return config.model_copy(update={"features": {**config.features, "ash": ash}})


def told(done: tuple[Reprocessed, ...]) -> list[tuple[int, int, int | None]]:
    return [(one.n_published, one.n_corrected, one.n_quarantined) for one in done]


def files(home: Path) -> list[Path]:
    return sorted(path for path in (home / "storage").rglob("*") if path.is_file())


def adds_up(store: Store) -> bool:
    query = text("SELECT bool_and(n_staged = n_published + n_quarantined + n_duplicate) FROM perennial.batches")
    in_quarantine = text(
        "SELECT (SELECT count(*) FROM perennial.quarantine) = (SELECT sum(n_quarantined) FROM perennial.batches "
        "WHERE status = 'published')"
    )
    with store.begin() as connection:
        return bool(connection.scalar(query)) and bool(connection.scalar(in_quarantine))


def test_what_passes_the_mended_rule_is_published_and_the_rest_stays(
    wine: ModelConfig, store: Store, home: Path, folder: Path
) -> None:
    rows = rows_of(WINE)
    rows[3]["ash"] = rows[4]["ash"] = 7.0
    rows[5]["ash"] = 70.0
    write_lines(folder / "a.jsonl", rows)
    batch, verdict, account = take(wine, home, store)
    assert (account.n_published, account.n_quarantined) == (37, 3)
    before = files(home)
    assert told(reprocess(wine, FIRST_WEEK, store=store)) == [(0, 0, 3)]
    config = mended(wine, max=8)
    (done,) = reprocess(config, FIRST_WEEK, store=store)
    assert (done.batch_id, done.source, done.window) == (batch.batch_id, "predictions", DAY)
    assert told((done,)) == [(2, 0, 1)]
    assert done.outcome.startswith("published: within its limits; in quarantine: ash")
    assert sorted(published(wine, store)["ash"])[-2:] == [7.0, 7.0]
    assert list(quarantined(store)["row_number"]) == [5]
    assert adds_up(store)
    ((of_window,),) = completeness(store, wine.model).values()
    assert (of_window.n_published, of_window.n_quarantined, of_window.n_corrected) == (39, 1, 0)
    assert told(reprocess(config, FIRST_WEEK, store=store)) == [(0, 0, 1)], "once"
    assert files(home) == before
    assert take(config, home, store)[:2] == (batch, verdict), "it keeps the audit it was published with"
    assert len(published(wine, store)) == 39


def as_the_release_before(patch: pytest.MonkeyPatch) -> None:
    """From here on every number is staged as text, and in no column of its own, and what is staged is Parquet."""
    patch.setattr("perennial.ingest.stage.number_columns", lambda *_: {})
    patch.setattr(Storage, "write_passing", _write_light_parquet)
    for room in ("ingest.stage", "validation.audit"):
        patch.setattr(f"perennial.{room}.PASSING", ".parquet")


@contextmanager
def _write_light_parquet(
    storage: Storage, relative: str, schema: pa.Schema, *, draft: bool = False
) -> Iterator[pq.ParquetWriter]:
    packing: dict[str, Any] = {"compression": "lz4", "use_dictionary": False, "write_statistics": False}
    with storage.write(relative, draft=draft) as stream, pq.ParquetWriter(stream, schema, **packing) as writer:
        yield writer


@pytest.mark.parametrize("numbers", [True, False], ids=["numbers", "text of the release before"])
def test_what_is_staged_as_numbers_or_as_text_is_reprocessed_alike(
    numbers: bool, wine: ModelConfig, store: Store, home: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = rows_of(WINE)
    rows[3]["ash"], rows[4]["ash"], rows[5]["ash"] = 7.25, 7, 70
    write_lines(folder / "a.jsonl", rows)
    with monkeypatch.context() as patch:
        if not numbers:
            as_the_release_before(patch)
        batch, _, account = take(wine, home, store)
    names = next(store.storage.read_batches(str(batch.uri))).schema.names
    assert (number_of("ash") in names) == numbers
    assert (account.n_published, account.n_quarantined) == (37, 3)
    assert told(reprocess(mended(wine, max=8), FIRST_WEEK, store=store)) == [(2, 0, 1)]
    rows_now = published(wine, store).set_index("prediction_id")
    for name in ("ash", "hue", "proline"):
        assert rows_now[name].to_dict() == {row["prediction_id"]: row[name] for row in rows if row is not rows[5]}
    (raw,) = quarantined(store)["raw"]
    assert json.loads(raw)["ash"] == "70", "as it was logged"
    assert not [name for name in json.loads(raw) if name.startswith(number_of(""))]


def test_a_column_that_is_declared_otherwise_by_now_is_read_as_its_text(
    wine: ModelConfig, store: Store, home: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = rows_of(WINE)
    rows[0] |= {"hue": 2, "proline": 700.0, "flavanoids": 1}
    rows[1] |= {"ash": 2.25}
    write_lines(folder / "a.jsonl", [row | {"hue": row["hue"] if at % 2 else 2.0} for at, row in enumerate(rows)])
    whole, real = (wine.features[name].model_copy(update={"min": None, "max": None}) for name in ("proline", "hue"))
    named = wine.features["cellar"].model_copy(update={"unseen": "allow"})
    features = wine.features | {"hue": whole, "magnesium": real, "flavanoids": named, "proline": named}
    del features["ash"]
    config = wine.model_copy(update={"features": features})

    def audited() -> list[pa.Table]:
        verdict = audit_again(config, stage(wine, DAY, "predictions", store=store, home=home), store=store)
        uris = (str(verdict.accepted_uri), str(verdict.quarantine_uri))
        return [pa.Table.from_batches(store.storage.read_batches(uri)) for uri in uris]

    with monkeypatch.context() as patch:
        as_the_release_before(patch)
        of_text = audited()
    accepted, held_back = audited()
    assert (accepted.num_rows, held_back.num_rows) == (20, 20)
    assert [accepted, held_back] == of_text
    assert accepted.column("flavanoids").null_count == 0
    assert json.loads(held_back.column("raw")[0].as_py())["ash"] == "2.25"


def test_a_stricter_rule_takes_nothing_back(wine: ModelConfig, store: Store, home: Path, folder: Path) -> None:
    rows = rows_of(WINE)
    rows[3]["ash"] = 7.0
    write_lines(folder / "a.jsonl", rows)
    take(wine, home, store)
    strict = validated(mended(wine, max=2.3), max_share_bad=0.9)
    assert told(reprocess(strict, FIRST_WEEK, store=store)) == [(0, 0, 1)]
    assert len(published(wine, store)) == 39


def test_a_batch_that_was_halted_is_published_and_one_that_was_replaced_is_not(
    wine: ModelConfig, store: Store, home: Path, folder: Path
) -> None:
    rows = rows_of(WINE)
    write_lines(folder / "a.jsonl", [row | {"ash": 7.0} for row in rows[:30]])
    assert take(wine, home, store)[2].status == "halted"
    write_lines(folder / "a.jsonl", [row | {"ash": 6.0} for row in rows])
    halted = take(wine, home, store)[0]
    (done,) = reprocess(wine, FIRST_WEEK, store=store)
    assert (done.batch_id, done.outcome.partition(":")[0], done.n_published) == (halted.batch_id, "halted", 0)
    (done,) = reprocess(mended(wine, max=8), FIRST_WEEK, store=store)
    assert (done.batch_id, done.n_published, done.n_quarantined) == (halted.batch_id, 40, 0)
    assert set(published(wine, store)["ash"]) == {6.0}
    assert reprocess(mended(wine, max=8), FIRST_WEEK, store=store) == ()
    assert adds_up(store)


def test_an_older_delivery_does_not_correct_a_newer_one(
    wine: ModelConfig, store: Store, home: Path, folder: Path
) -> None:
    rows = rows_of(WINE)
    write_lines(folder / "a.jsonl", [rows[0] | {"ash": 7.0}, rows[1] | {"ash": 7.5}, *rows[2:]])
    take(wine, home, store)
    write_lines(folder / "a.jsonl", [rows[0] | {"ash": 2.5}, *rows[2:]])
    assert take(wine, home, store)[2].n_published == 1
    assert told(reprocess(mended(wine, max=8), FIRST_WEEK, store=store)) == [(1, 0, 1)]
    assert sorted(published(wine, store)["ash"])[-1] == 7.5
    (reason,) = quarantined(store)["reason"]
    assert reason == "ash: published 2.5, delivered again as 7"
    assert adds_up(store)


def test_labels_are_reprocessed_and_contradictions_stay(wine: ModelConfig, store: Store, home: Path) -> None:
    path = landing(home, WINE, "labels") / "a.jsonl"
    rows: list[dict[str, Any]] = [
        {"prediction_id": f"p{i}", "label": "barolo", "labelled_at": "2024-01-01T12:00:00Z"} for i in range(30)
    ]
    merlot = [row | {"label": "merlot"} for row in rows[:2]]
    write_lines(path, [*merlot, *rows[1:]])
    assert take(wine, home, store, "labels")[2].n_quarantined == 2
    label = wine.label.model_copy(update={"classes": [*(wine.label.classes or []), "merlot"]})
    config = wine.model_copy(update={"label": label})
    assert told(reprocess(config, FIRST_WEEK, store=store)) == [(1, 0, 1)]
    said = dict(published(config, store, "labels")[["prediction_id", "label"]].to_numpy())
    assert (said["p0"], said["p1"]) == ("merlot", "barolo")
    assert list(quarantined(store)["row_number"]) == [1], "its own delivery says another label"
    assert adds_up(store)


def test_what_can_not_be_audited_says_why(wine: ModelConfig, store: Store, home: Path, folder: Path) -> None:
    rows = rows_of(WINE)
    rows[3]["ash"] = 7.0
    write_lines(folder / "a.jsonl", rows)
    take(wine, home, store)
    config = mended(wine, max=8)
    (done,) = reprocess(validated(config, min_rows=41), FIRST_WEEK, store=store)
    assert done.outcome.startswith("nothing was published, the rules of today would halt it: 40 rows, fewer than")
    hidden = config.features["ash"]
    (done,) = reprocess(
        config.model_copy(update={"features": {**config.features, "ph": hidden}}), FIRST_WEEK, store=store
    )
    assert done.outcome == "it was staged before [ph] was declared; deliver the window again"
    assert sweep(wine, store=store, before=datetime.now(UTC) + timedelta(hours=1)) == 3
    (done,) = reprocess(config, FIRST_WEEK, store=store)
    assert "staged rows are gone: the maintenance removes them after validation.keep_staging, 30 days" in done.outcome
    assert reprocess(config, Window(start=day(1).start, end=day(9).end), store=store) == ()
    assert len(published(wine, store)) == 39


def test_the_command_says_what_was_published_and_what_to_run_next(
    wine: ModelConfig,
    store: Store,
    home: Path,
    folder: Path,
    models_dir: Path,
    database_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in {
        "PERENNIAL_DATABASE_URL": database_url,
        "MLFLOW_TRACKING_URI": "http://127.0.0.1:9",
        "PERENNIAL_HOME": str(home),
        "PERENNIAL_MODELS_DIR": str(models_dir),
    }.items():
        monkeypatch.setenv(name, value)
    rows = rows_of(WINE)
    rows[3]["ash"] = 7.0
    write_lines(folder / "a.jsonl", rows)
    take(wine, home, store)
    declared = models_dir / wine.model / "model.yaml"
    rule = "ash: {type: float, min: 0, max: 5,"
    assert rule in declared.read_text()
    declared.write_text(declared.read_text().replace(rule, rule.replace("5", "8")))
    words = ["reprocess", wine.model, "--from", "2024-01-01T00:00:00Z", "--to", "2024-01-08T00:00:00Z"]
    shown = CliRunner().invoke(app, words)
    assert shown.exit_code == 0, shown.output
    assert "predictions of 2024-01-01 to 2024-01-02: 1 rows published" in shown.stdout
    assert f"perennial run monitor {wine.model}" in shown.stdout
    assert "nothing is halted or in quarantine" in CliRunner().invoke(app, words).stdout
    assert json.loads(CliRunner().invoke(app, [*words, "--json"]).stdout) == []
