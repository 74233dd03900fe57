"""Rows may be corrected: how many a batch corrected, and which columns older rows could not have had."""

from pathlib import Path

from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Run the SQL file beside this one. Tables of models gain their versions when they are ensured."""
    op.execute(Path(__file__).with_suffix(".sql").read_text(encoding="utf-8"))
