"""PostgreSQL and the file storage: tables, migrations, rows in bulk, locks and the ledger."""

from perennial.store.engine import Store, open_store

__all__ = ["Store", "open_store"]
