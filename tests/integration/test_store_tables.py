"""The tables of models that grow, and of stores that come from earlier releases."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import Column, Connection, Index, MetaData, Table, inspect, select, text
from sqlalchemy.engine import URL
from sqlalchemy.schema import CreateIndex, CreateSchema, DropIndex

from ingesting import DAY, landing, published, rows_of, take, write_lines
from perennial.config import ModelConfig, NumberFeature
from perennial.errors import LockTimeout
from perennial.evidence.stretches import count_labelled
from perennial.ingest.relisting import list_again
from perennial.ingest.sweep import sweep
from perennial.store import Store, open_store
from perennial.store.batches import completeness
from perennial.store.migrate import migrate
from perennial.store.schema import (
    DATA_SCHEMA,
    added_columns,
    batches,
    delivered_columns,
    labels_table,
    predictions_table,
)
from perennial.store.tables import ensure_data_tables
from servers import create_database

SOON_S = 20


def grown(config: ModelConfig) -> ModelConfig:
    return config.model_copy(update={"features": {**config.features, "ph": NumberFeature(type="float")}})


@pytest.fixture
def reader(store: Store, wine: ModelConfig) -> Iterator[Connection]:
    """Somebody who began to read the predictions of the one model, and went to lunch."""
    with store.begin() as connection:
        connection.execute(select(predictions_table(wine))).all()
        yield connection


def until_somebody_waits(store: Store) -> None:
    """For a lock on a table of this database."""
    end = time.monotonic() + SOON_S
    waiting = text("SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'relation'")
    while time.monotonic() < end:
        with store.begin() as connection:
            if connection.scalar(waiting):
                return
    raise AssertionError("nobody waits for a lock")


def test_a_new_feature_keeps_no_other_model_waiting(
    store: Store, wine: ModelConfig, diabetes: ModelConfig, reader: Connection
) -> None:
    with ThreadPoolExecutor() as others:
        waiting = others.submit(ensure_data_tables, store, grown(wine), timeout_s=SOON_S)
        try:
            until_somebody_waits(store)
            others.submit(ensure_data_tables, store, grown(diabetes)).result(timeout=SOON_S)
            assert not waiting.done()
        finally:
            reader.rollback()
        waiting.result(timeout=SOON_S)
    with store.begin() as connection:
        for config in (wine, diabetes):
            columns = inspect(connection).get_columns(predictions_table(config).name, schema=DATA_SCHEMA)
            assert "ph" in {column["name"] for column in columns}


def test_a_reader_who_stays_is_a_lock_timeout_with_a_name(store: Store, wine: ModelConfig, reader: Connection) -> None:
    with pytest.raises(LockTimeout, match=f"{wine.model}: readers kept its tables busy for over 0.2 s"):
        ensure_data_tables(store, grown(wine), timeout_s=0.2)
    ensure_data_tables(store, wine, timeout_s=0.2)


def options(store: Store, config: ModelConfig) -> dict[str, dict[str, str]]:
    """The options of the model's indexes."""
    found = {}
    with store.begin() as connection:
        for table in (predictions_table(config), labels_table(config)):
            for index in inspect(connection).get_indexes(table.name, schema=DATA_SCHEMA):
                found[str(index["name"])] = dict(index.get("dialect_options", {}).get("postgresql_with", {}))
    return found


def test_tables_of_an_earlier_release_get_the_indexes_of_this_one(store: Store, wine: ModelConfig) -> None:
    now = options(store, wine)
    assert now[f"{wine.model}__by_time"] == {"pages_per_range": "32", "autosummarize": "true"}
    assert f"{wine.model}__by_batch" in now
    (by_time,), (by_batch,) = predictions_table(wine).indexes, labels_table(wine).indexes
    with store.begin() as connection:
        connection.execute(DropIndex(by_batch))
        connection.execute(DropIndex(by_time))
        by_time.dialect_options["postgresql"]["with"] = {"pages_per_range": 32}
        connection.execute(CreateIndex(by_time))
    ensure_data_tables(store, wine)
    after = options(store, wine)
    assert set(after) == set(now)
    assert set(after[f"{wine.model}__by_time"]) == {"pages_per_range", "autosummarize"}
    ensure_data_tables(store, wine)
    assert options(store, wine) == after


def test_a_busy_index_waits_for_the_next_run(store: Store, wine: ModelConfig, caplog: pytest.LogCaptureFixture) -> None:
    (by_batch,) = labels_table(wine).indexes
    with store.begin() as connection:
        connection.execute(DropIndex(by_batch))
    with store.begin() as connection:
        row = {"prediction_id": "a", "label": "x", "labelled_at": datetime.now(UTC), "batch_seq": 1}
        connection.execute(labels_table(wine).insert(), row)
        ensure_data_tables(store, wine, timeout_s=0.2)
    assert "has to wait for the next run" in caplog.text
    assert by_batch.name not in options(store, wine)
    ensure_data_tables(store, wine)
    assert by_batch.name in options(store, wine)


def of_one_version(table: Table) -> Table:
    """A model's table as it was made when a row had one version."""
    columns = [
        Column(column.name, column.type, primary_key=column.primary_key, nullable=column.nullable)
        for column in delivered_columns(table)
    ]
    old = Table(table.name, MetaData(schema=DATA_SCHEMA), *columns)
    for index in table.indexes:
        Index(
            index.name,
            *(old.c[column.name] for column in index.columns),
            **{f"postgresql_{key}": value for key, value in index.dialect_options["postgresql"].items() if value},
        )
    return old


def test_tables_of_one_version_a_row_keep_their_rows_and_take_corrections(
    postgres_server: URL, wine: ModelConfig, home: Path
) -> None:
    earlier = open_store(create_database(postgres_server, f"test_{uuid4().hex[:12]}"), (home / "storage").as_uri())
    migrate(earlier, "0004")
    rows = rows_of("wine_cultivar")
    predictions, labels = of_one_version(predictions_table(wine)), of_one_version(labels_table(wine))
    label = {"label": "barolo", "labelled_at": DAY.start, "batch_seq": 1}
    with earlier.begin() as connection:
        connection.execute(CreateSchema(DATA_SCHEMA))
        predictions.metadata.create_all(connection)
        labels.metadata.create_all(connection)
        connection.execute(predictions.insert(), [row | {"batch_seq": 1} for row in rows])
        connection.execute(labels.insert(), [label | {"prediction_id": row["prediction_id"]} for row in rows])
    migrate(earlier)
    with ThreadPoolExecutor(2) as both:
        for made in [both.submit(ensure_data_tables, earlier, wine, timeout_s=SOON_S) for _ in range(2)]:
            made.result(timeout=2 * SOON_S)
    ensure_data_tables(earlier, grown(wine))
    with earlier.begin() as connection:
        found = inspect(connection)
        for table in (predictions_table(wine), labels_table(wine)):
            key = found.get_pk_constraint(table.name, schema=DATA_SCHEMA)["constrained_columns"]
            assert key == [column.name for column in table.primary_key]
            indexes = {index["name"] for index in found.get_indexes(table.name, schema=DATA_SCHEMA)}
            assert indexes == {index.name for index in table.indexes}, "the old key is gone"
        added = connection.execute(select(added_columns.c.column_name, added_columns.c.after_seq)).all()
    assert [tuple(one) for one in added] == [("ph", 0)], "the versions are no features"
    assert count_labelled(wine, DAY, as_of=DAY.end, store=earlier).n_labelled == 40
    with earlier.begin() as connection:  # the batches of then are numbered before those of now
        connection.execute(text("ALTER TABLE perennial.batches ALTER COLUMN seq RESTART WITH 2"))
    write_lines(landing(home, "wine_cultivar") / "a.jsonl", [rows[0] | {"ash": 4.5}, *rows[1:]])
    _, _, account = take(wine, home, earlier)
    assert (account.n_corrected, account.n_duplicate, account.n_quarantined) == (1, 39, 0)
    assert count_labelled(wine, DAY, as_of=DAY.end, store=earlier).n_labelled == 40
    earlier.close()


@pytest.fixture
def earlier(postgres_server: URL, home: Path) -> Iterator[Store]:
    """A store as the release before left it."""
    url = create_database(postgres_server, f"test_{uuid4().hex[:12]}")
    opened = open_store(url, (home / "storage").as_uri())
    migrate(opened, "0002")
    yield opened
    opened.close()


ADDED_LATER = ("seq", "swept_at", "listing", "n_corrected", "profile_block_us")


def test_what_was_staged_before_the_migration_is_still_swept_once(
    earlier: Store, store: Store, wine: ModelConfig, home: Path
) -> None:
    write_lines(landing(home, "wine_cultivar") / "a.jsonl", rows_of("wine_cultivar"))
    take(wine, home, store)
    with store.begin() as connection:
        known = [dict(row) for row in connection.execute(select(batches)).mappings()]
    older = [{k: v for k, v in row.items() if k not in ADDED_LATER} for row in known]
    of_then = Table("batches", MetaData(), schema="perennial", autoload_with=earlier.engine)
    with earlier.begin() as connection:
        connection.execute(of_then.insert(), older)
    migrate(earlier)
    later = datetime.now(UTC) + timedelta(hours=1)
    assert sweep(wine, store=earlier, before=later) == 3
    with earlier.begin() as connection:
        (row,) = connection.execute(select(batches)).mappings().all()
    assert row["swept_at"] is not None
    assert {k: row[k] for k in older[0]} == older[0]
    ((of_window,),) = completeness(earlier, wine.model).values()
    assert (of_window.status, of_window.n_expected, of_window.n_arrived, of_window.n_late) == ("published", None, 40, 0)
    write_lines(landing(home, "wine_cultivar") / "b.jsonl", rows_of("wine_cultivar", seed=2))
    assert list_again(wine, store=earlier, home=home, since=DAY.start, now=later) == (), "nobody knows what it was"
    assert sweep(wine, store=earlier, before=later) == 0
    assert len(published(wine, store)) == 40
