"""Bring the store to the newest migration."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import text

from perennial.store.engine import Store
from perennial.store.roles.ownership import give_ledger_away


def migrate(store: Store, revision: str = "head") -> None:
    """Apply what is missing, under a lock, so that several processes may call it at once; the ledger gets its owner."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    with store.begin() as connection:
        connection.execute(text("SELECT pg_advisory_xact_lock(hashtextextended('perennial:migrate', 0))"))
        connection.execute(text("CREATE SCHEMA IF NOT EXISTS perennial"))
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
        give_ledger_away(connection)
