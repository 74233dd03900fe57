from collections.abc import Callable
from dataclasses import replace
from functools import partial

import adbc_driver_postgresql
import pyarrow as pa
import pytest
from sqlalchemy import create_engine, func, select, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import IntegrityError as DatabaseRefusal
from sqlalchemy.exc import InternalError

from logs import day
from perennial import ledger
from perennial.config import ModelConfig
from perennial.contracts import LedgerEntry
from perennial.errors import ConfigError, LockTimeout, StoreUnavailable
from perennial.store import Store, bulk, open_store, schema
from perennial.store.locks import model_lock
from perennial.store.migrate import migrate
from perennial.store.notices import tables as notices
from perennial.store.tables import ensure_data_tables


def an_entry(entry_id: str = "e1") -> LedgerEntry:
    return LedgerEntry(entry_id=entry_id, model="m", kind="integrity", at=day(0).end, actor="test", reason="because")


def test_migrating_twice_changes_nothing_and_matches_the_declared_tables(store: Store) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    migrate(store)
    with store.begin() as connection:
        context = MigrationContext.configure(
            connection,
            opts={
                "include_schemas": True,
                "version_table_schema": "perennial",
                "include_name": lambda name, kind, _: kind != "schema" or name == "perennial",
            },
        )
        assert compare_metadata(context, notices.metadata) == []


def test_same_entry_twice_stands_once(store: Store) -> None:
    assert ledger.append(store, an_entry())
    assert not ledger.append(store, an_entry())
    assert len(ledger.entries(store, "m")) == 1


@pytest.mark.parametrize("append", [ledger.append, partial(ledger.append_after, before=None)])
def test_no_secret_of_an_address_gets_into_a_reason_of_the_ledger(store: Store, append: Callable[..., bool]) -> None:
    append(store, replace(an_entry(), reason="read s3://AKIA:hun/ter2@bucket/x?token=hunter2"))
    (written,) = ledger.entries(store, "m")
    assert written.reason == "read s3://***@bucket/x?token=***"


@pytest.mark.parametrize(
    "statement",
    ["UPDATE perennial.ledger SET reason = ''", "DELETE FROM perennial.ledger", "TRUNCATE perennial.ledger"],
)
def test_the_ledger_refuses_change_in_the_database_itself(store: Store, statement: str) -> None:
    ledger.append(store, an_entry())
    with pytest.raises((InternalError, DatabaseRefusal), match="append-only"), store.begin() as connection:
        connection.execute(text(statement))
    assert len(ledger.entries(store, "m")) == 1


def test_rows_go_in_and_come_out_in_bulk(store: Store, wine: ModelConfig) -> None:
    table = schema.labels_table(wine)
    rows = pa.table(
        {
            "prediction_id": ["a", "b"],
            "label": ["barolo", "barbera"],
            "labelled_at": pa.array([day(0).start, day(0).end], pa.timestamp("us", "UTC")),
            "batch_seq": pa.array([1, 1], pa.int64()),
        }
    )
    with bulk.bulk_transaction(store) as cursor:
        assert bulk.copy_in(cursor, table, rows.to_reader()) == 2
    query = select(table.c.prediction_id).where(table.c.labelled_at < day(0).end)
    assert bulk.read(store, query)["prediction_id"].to_pylist() == ["a"]


def test_a_failed_bulk_transaction_leaves_nothing(store: Store, wine: ModelConfig) -> None:
    table = schema.labels_table(wine)
    row = {
        "prediction_id": ["a"],
        "label": ["barolo"],
        "labelled_at": pa.array([day(0).start], pa.timestamp("us", "UTC")),
        "batch_seq": [1],
    }
    with pytest.raises(RuntimeError), bulk.bulk_transaction(store) as cursor:
        bulk.copy_in(cursor, table, pa.table(row).to_reader())
        raise RuntimeError("cut off")
    with store.begin() as connection:
        assert connection.scalar(select(func.count()).select_from(table)) == 0


def test_the_types_of_the_server_are_read_once_for_a_store_and_an_outage_is_outlived(
    store: Store, wine: ModelConfig, postgres_server: URL, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    connect = adbc_driver_postgresql.connect
    monkeypatch.setattr(adbc_driver_postgresql, "connect", lambda uri: asked.append(uri) or connect(uri))
    query = select(func.count().label("n")).select_from(schema.labels_table(wine))
    server = create_engine(postgres_server, isolation_level="AUTOCOMMIT")

    def let_in(whether: bool) -> None:
        with server.connect() as connection:
            connection.execute(text(f'ALTER DATABASE "{store.engine.url.database}" ALLOW_CONNECTIONS {whether}'))

    assert bulk.read(store, query)["n"].to_pylist() == [0]
    let_in(False)
    with pytest.raises(StoreUnavailable, match="not currently accepting connections"):
        bulk.read(store, query)
    let_in(True)
    assert bulk.read(store, query)["n"].to_pylist() == [0]
    assert asked == [store.libpq_uri]
    server.dispose()


def test_a_new_feature_adds_a_column_and_a_changed_type_is_refused(store: Store, wine: ModelConfig) -> None:
    from perennial.config import NumberFeature

    grown = wine.model_copy(update={"features": {**wine.features, "ph": NumberFeature(type="float")}})
    ensure_data_tables(store, grown)
    ensure_data_tables(store, grown)
    changed = wine.model_copy(update={"features": {**wine.features, "hue": NumberFeature(type="int")}})
    with pytest.raises(ConfigError, match="feature hue is DOUBLE PRECISION in the store and BIGINT"):
        ensure_data_tables(store, changed)


def test_a_held_lock_times_out_with_a_named_error(store: Store) -> None:
    with (
        model_lock(store, "m", "release"),
        pytest.raises(LockTimeout, match="m: another run held the release lock"),
        model_lock(store, "m", "release", timeout_s=0.2),
    ):
        pass
    with model_lock(store, "m", "release", timeout_s=0.2):
        pass


def test_an_unreachable_server_is_transient_and_its_password_is_not_shown() -> None:
    lost = open_store("postgresql://user:hunter2@127.0.0.1:1/db", "file:///tmp")
    with pytest.raises(StoreUnavailable) as caught, lost.begin():
        pass
    with pytest.raises(StoreUnavailable) as bulk_caught, bulk.bulk_transaction(lost):
        pass
    assert "127.0.0.1:1" in str(caught.value)
    assert "hunter2" not in f"{caught.value}{bulk_caught.value}{lost!r}"
