"""The tables of one model in the database, as its ``model.yaml`` declares them."""

import logging

from alembic.migration import MigrationContext
from alembic.operations import Operations
from sqlalchemy import DDL, Column, Connection, Index, Table, inspect, text
from sqlalchemy.schema import CreateIndex, CreateSchema, CreateTable

from perennial.config import ModelConfig
from perennial.errors import ConfigError, LockTimeout
from perennial.store.engine import Store
from perennial.store.locks import TABLES, model_lock, waiting_for, within
from perennial.store.schema import DATA_SCHEMA, labels_table, predictions_table

log = logging.getLogger(__name__)


def ensure_data_tables(store: Store, config: ModelConfig, *, timeout_s: float = 10) -> None:
    """Make the model's tables, or add the columns and indexes that are new. Safe to run at once from two processes.

    Other models never wait for it, and readers of this one never longer than ``timeout_s``: whoever waits for a table
    stands in the way of those who come later. Raises LockTimeout when readers kept a table busy for so long, and
    ConfigError when a feature changed its type: its stored history would no longer mean the same.
    """
    tables = (predictions_table(config), labels_table(config))
    with store.begin() as connection:
        complete = all(_new_columns(connection, config, table) == [] for table in tables)
    if not complete:
        _make_schema(store)
        with model_lock(store, config.model, TABLES) as held:
            within(held.connection, timeout_s)
            with waiting_for(f"{config.model}: readers kept its tables busy for over {timeout_s:g} s; try again later"):
                for table in tables:
                    _make(held.connection, config, table)
    for table in tables:
        for index in sorted(table.indexes, key=lambda index: str(index.name)):
            _ensure_index(store, config, table, index, timeout_s=timeout_s)


def _make_schema(store: Store) -> None:
    """The schema of all models, which two of them may not make at once."""
    with store.begin() as connection:
        if not inspect(connection).has_schema(DATA_SCHEMA):
            connection.execute(text("SELECT pg_advisory_xact_lock(hashtextextended('perennial:ddl', 0))"))
            connection.execute(CreateSchema(DATA_SCHEMA, if_not_exists=True))


def _make(connection: Connection, config: ModelConfig, table: Table) -> None:
    columns = _new_columns(connection, config, table)
    if columns is None:
        connection.execute(CreateTable(table))
        for index in table.indexes:
            connection.execute(CreateIndex(index))
    operations = Operations(MigrationContext.configure(connection))
    for column in columns or ():
        operations.add_column(table.name, Column(column.name, column.type), schema=DATA_SCHEMA)


def _new_columns(connection: Connection, config: ModelConfig, table: Table) -> list[Column[object]] | None:
    """The declared columns that the table lacks; None when there is no table. Raises ConfigError."""
    inspector = inspect(connection)
    if not inspector.has_table(table.name, schema=DATA_SCHEMA):
        return None
    have = {column["name"]: column["type"] for column in inspector.get_columns(table.name, schema=DATA_SCHEMA)}
    for column in table.columns:
        if column.name in have and _written(connection, column.type) != _written(connection, have[column.name]):
            raise ConfigError(
                f"{config.model}: feature {column.name} is {have[column.name]} in the store and {column.type} "
                "in model.yaml; give the changed feature a new name"
            )
    return [column for column in table.columns if column.name not in have]


def _written(connection: Connection, kind: object) -> str:
    return str(kind.compile(connection.dialect))  # type: ignore[attr-defined]  # every type of SQLAlchemy has it


def _ensure_index(store: Store, config: ModelConfig, table: Table, index: Index, *, timeout_s: float) -> None:
    """Make an index that an earlier release did not make, or set the option that it lacks.

    Building one keeps publications out, and no reader; the option waits for readers. A table that stays busy keeps what
    it has until the next run: its rows are right without.
    """
    with store.begin() as connection:
        if not _statements(connection, table, index):
            return
    try:
        with model_lock(store, config.model, TABLES) as held:
            within(held.connection, min(timeout_s, 2))
            with waiting_for(f"{config.model}: its tables are busy, index {index.name} has to wait for the next run"):
                for statement in _statements(held.connection, table, index):
                    held.connection.execute(statement)
    except LockTimeout as busy:
        log.warning("%s", busy)


def _statements(connection: Connection, table: Table, index: Index) -> list[DDL | CreateIndex]:
    """What brings an index to how it is declared; nothing when it is so already."""
    found = {
        one["name"]: one.get("dialect_options", {}).get("postgresql_with", {})
        for one in inspect(connection).get_indexes(table.name, schema=DATA_SCHEMA)
    }
    if index.name not in found:
        return [CreateIndex(index)]
    declared = index.dialect_options["postgresql"]["with"]
    if "autosummarize" not in declared or "autosummarize" in found[index.name]:
        return []
    quoted = connection.dialect.identifier_preparer
    name = f"{quoted.quote_schema(DATA_SCHEMA)}.{quoted.format_index(index)}"
    return [DDL("ALTER INDEX %(name)s SET (autosummarize = on)", context={"name": name})]  # type: ignore[no-untyped-call]  # SQLAlchemy leaves it untyped
