"""PostgreSQL: tables, migrations, rows in bulk, locks, and what stands in the books."""

from perennial.store.engine import Store, open_store

__all__ = ["Store", "open_store"]
