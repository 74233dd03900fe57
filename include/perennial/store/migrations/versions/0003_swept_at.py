"""When the staged files of a batch were removed: no sweep asks the storage for them again."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Of earlier batches nobody knows what the storage still holds: the next sweep looks at each of them once more."""
    op.add_column("batches", sa.Column("swept_at", sa.DateTime(timezone=True)), schema="perennial")
