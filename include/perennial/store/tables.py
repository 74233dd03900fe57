"""The tables of one model in the database, as its ``model.yaml`` declares them."""

from alembic.migration import MigrationContext
from alembic.operations import Operations
from sqlalchemy import Column, Connection, Table, inspect, text
from sqlalchemy.schema import CreateIndex, CreateSchema, CreateTable

from perennial.config import ModelConfig
from perennial.errors import ConfigError
from perennial.store.engine import Store
from perennial.store.schema import DATA_SCHEMA, labels_table, predictions_table


def ensure_data_tables(store: Store, config: ModelConfig) -> None:
    """Make the model's tables, or add the columns of features that are new. Safe to run at once from two processes.

    Raises ConfigError when a feature changed its type: its stored history would no longer mean the same.
    """
    with store.begin() as connection:
        connection.execute(text("SELECT pg_advisory_xact_lock(hashtextextended('perennial:ddl', 0))"))
        connection.execute(CreateSchema(DATA_SCHEMA, if_not_exists=True))
        for table in (predictions_table(config), labels_table(config)):
            inspector = inspect(connection)
            if not inspector.has_table(table.name, schema=DATA_SCHEMA):
                connection.execute(CreateTable(table))
                for index in table.indexes:
                    connection.execute(CreateIndex(index))
                continue
            have = {column["name"]: column["type"] for column in inspector.get_columns(table.name, schema=DATA_SCHEMA)}
            for column in table.columns:
                if column.name not in have:
                    _add_column(connection, table, column)
                elif column.type.compile(connection.dialect) != have[column.name].compile(connection.dialect):
                    raise ConfigError(
                        f"{config.model}: feature {column.name} is {have[column.name]} in the store and {column.type} "
                        "in model.yaml; give the changed feature a new name"
                    )


def _add_column(connection: Connection, table: Table, column: Column[object]) -> None:
    operations = Operations(MigrationContext.configure(connection))
    operations.add_column(table.name, Column(column.name, column.type), schema=DATA_SCHEMA)
