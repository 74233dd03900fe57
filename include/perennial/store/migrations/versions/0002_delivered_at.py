"""When a batch was delivered last: one that is sent again counts as the newest of its window."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Known batches were delivered when they were recorded."""
    moment = sa.DateTime(timezone=True)
    op.add_column(
        "batches",
        sa.Column("delivered_at", moment, nullable=False, server_default=sa.func.clock_timestamp()),
        schema="perennial",
    )
    batches = sa.table("batches", sa.column("recorded_at"), sa.column("delivered_at"), schema="perennial")
    op.execute(batches.update().values(delivered_at=batches.c.recorded_at))
