"""Every entry of the ledger carries a digest of itself and of the entry before: a chain for every model."""

from pathlib import Path

from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Run the SQL file beside this one. Entries that stand already get their digests in the order of their writing."""
    op.execute(Path(__file__).with_suffix(".sql").read_text(encoding="utf-8"))
