"""Whether all of a window is there: an account for people and dashboards, and deliveries that changed afterwards."""

from pathlib import Path

from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Run the SQL file beside this one. Of earlier batches nobody knows their files: they are not compared."""
    op.execute(Path(__file__).with_suffix(".sql").read_text(encoding="utf-8"))
