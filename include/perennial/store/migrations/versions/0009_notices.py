"""What befell models, and who was told of it."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Nothing was told before: what happened days ago is not told now either."""
    moment = sa.DateTime(timezone=True)
    op.create_table(
        "incidents",
        sa.Column("fingerprint", sa.Text(), primary_key=True),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("record", JSONB(), nullable=False),
        sa.Column("opened_at", moment, nullable=False),
        sa.Column("resolved_at", moment),
        sa.Column("resolution", sa.Text(), nullable=False, server_default=""),
        schema="perennial",
    )
    op.create_index("incidents_by_model", "incidents", ["model", "opened_at"], schema="perennial")
    op.create_index(
        "incidents_open",
        "incidents",
        ["model", "kind", "subject"],
        unique=True,
        postgresql_where=sa.text("resolved_at IS NULL"),
        schema="perennial",
    )
    op.create_table(
        "notices",
        sa.Column("fingerprint", sa.Text(), primary_key=True),
        sa.Column("phase", sa.Text(), primary_key=True),
        sa.Column("channel", sa.Text(), primary_key=True),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("tried_at", moment, nullable=False),
        sa.Column("problem", sa.Text(), nullable=False, server_default=""),
        schema="perennial",
    )
