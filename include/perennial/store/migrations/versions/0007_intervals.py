"""How far a signal can be trusted: its interval, and the rows and blocks it was estimated from."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0004"


def upgrade() -> None:
    """Signals that were measured before have no interval; they keep their status."""
    for name in ("low", "high", "standard_error", "confidence"):
        op.add_column("signals", sa.Column(name, sa.Double()), schema="perennial")
    for name in ("n_rows", "n_blocks"):
        op.add_column("signals", sa.Column(name, sa.BigInteger()), schema="perennial")
