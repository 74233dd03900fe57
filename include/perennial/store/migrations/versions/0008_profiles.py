"""Published rows summed up by block, the bins that they are counted in, and how a distance compares with chance."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Rows of earlier batches are in no profile yet: whoever asks for their blocks makes it."""
    moment, blob = sa.DateTime(timezone=True), sa.LargeBinary()
    op.add_column("batches", sa.Column("profile_block_us", sa.BigInteger()), schema="perennial")
    for name in ("null_quantile", "p"):
        op.add_column("signals", sa.Column(name, sa.Double()), schema="perennial")
    op.create_table(
        "grids",
        sa.Column("model", sa.Text(), primary_key=True),
        sa.Column("grid_id", sa.Text(), primary_key=True),
        sa.Column("made_of", sa.Text(), nullable=False),
        sa.Column("edges", blob, nullable=False),
        sa.Column("chosen_at", moment, nullable=False, server_default=sa.func.clock_timestamp()),
        schema="perennial",
    )
    op.create_table(
        "profiles",
        sa.Column("model", sa.Text(), primary_key=True),
        sa.Column("block_us", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("block_start", moment, primary_key=True),
        sa.Column("batch_seq", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("known_at", moment, primary_key=True),
        sa.Column("grid_id", sa.Text(), nullable=False),
        sa.Column("n_rows", sa.BigInteger(), nullable=False),
        sa.Column("summary", blob, nullable=False),
        schema="perennial",
    )
