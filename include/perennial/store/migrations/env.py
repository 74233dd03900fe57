"""Alembic's entry: runs on the connection that ``perennial.store.migrate`` hands over."""

from alembic import context

from perennial.store.notices import tables  # noqa: F401 - declares its own in the same metadata
from perennial.store.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table_schema="perennial",
    include_schemas=True,
)
with context.begin_transaction():
    context.run_migrations()
