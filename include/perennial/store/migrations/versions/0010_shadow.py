"""Deliveries of what a challenger answered in the shadow, apart from those of the champion's answers."""

from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """What was delivered before is of the sources that there were."""
    op.drop_constraint("batches_source_check", "batches", schema="perennial")
    sources = "source IN ('predictions', 'labels', 'shadow')"
    op.create_check_constraint("batches_source_check", "batches", sources, schema="perennial")
