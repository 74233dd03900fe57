"""The tables of one model in the database, as its ``model.yaml`` declares them."""

import logging

from alembic.migration import MigrationContext
from alembic.operations import Operations
from sqlalchemy import DDL, Column, Connection, Index, Table, func, inspect, literal, select, text
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.schema import CreateIndex, CreateSchema, CreateTable

from perennial.config import ModelConfig
from perennial.errors import ConfigError, LockTimeout
from perennial.store.engine import Store
from perennial.store.locks import TABLES, model_lock, waiting_for, within
from perennial.store.schema import (
    DATA_SCHEMA,
    VERSIONING,
    added_columns,
    batches,
    labels_table,
    predictions_table,
)

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
        _ensure_key(store, config, table, timeout_s=timeout_s)
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
        default = getattr(column.server_default, "arg", None)
        added = Column(column.name, column.type, nullable=column.nullable, server_default=default)
        operations.add_column(table.name, added, schema=DATA_SCHEMA)
        if column.name not in VERSIONING:
            _remember(connection, config, column)


def _remember(connection: Connection, config: ModelConfig, column: Column[object]) -> None:
    """What was published before could not have had the column."""
    newest = select(literal(config.model), literal(column.name), func.coalesce(func.max(batches.c.seq), 0)).where(
        batches.c.model == config.model
    )
    names = [one.name for one in added_columns.columns]
    connection.execute(upsert(added_columns).from_select(names, newest).on_conflict_do_nothing())


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


def _ensure_key(store: Store, config: ModelConfig, table: Table, *, timeout_s: float) -> None:
    """Widen the key of a table of an earlier release, in which every row had one version.

    The index is built beside the old one, which keeps publications out and no reader; the change itself is short.
    Raises LockTimeout when readers kept the table busy.
    """
    wider = Index(f"{config.model}__wider", *(table.c[column.name] for column in table.primary_key), unique=True)
    table.indexes.discard(wider)
    for number in range(2):
        with store.begin() as connection:
            if _is_wide(connection, table):
                return
        with model_lock(store, config.model, TABLES) as held:
            within(held.connection, timeout_s)
            with waiting_for(f"{config.model}: its tables were busy for over {timeout_s:g} s; try again later"):
                if not _is_wide(held.connection, table):
                    step = (
                        CreateIndex(wider, if_not_exists=True) if number == 0 else _swap(held.connection, table, wider)
                    )
                    held.connection.execute(step)


def _swap(connection: Connection, table: Table, wider: Index) -> DDL:
    """The statement that makes a unique index the primary key, under the name of the one before."""
    quoted = connection.dialect.identifier_preparer
    before = inspect(connection).get_pk_constraint(table.name, schema=DATA_SCHEMA)["name"]
    names = {
        "key": quoted.quote(str(before)),
        "wider": quoted.quote(str(wider.name)),
        "named": quoted.format_table(table),
    }
    change = "ALTER TABLE %(named)s DROP CONSTRAINT %(key)s, ADD CONSTRAINT %(key)s PRIMARY KEY USING INDEX %(wider)s"
    return DDL(change, context=names)  # type: ignore[no-untyped-call]  # SQLAlchemy leaves it untyped


def _is_wide(connection: Connection, table: Table) -> bool:
    found = inspect(connection).get_pk_constraint(table.name, schema=DATA_SCHEMA)["constrained_columns"]
    return list(found) == [column.name for column in table.primary_key]


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
