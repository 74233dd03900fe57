"""How far a signal can be trusted: its interval, rows and blocks; and a status for what they could not tell."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Signals that were measured before have no interval; they keep their status."""
    for name in ("low", "high", "standard_error", "confidence"):
        op.add_column("signals", sa.Column(name, sa.Double()), schema="perennial")
    for name in ("n_rows", "n_blocks"):
        op.add_column("signals", sa.Column(name, sa.BigInteger()), schema="perennial")
    op.drop_constraint("signals_status_check", "signals", schema="perennial")
    statuses = "status IN ('ok', 'breached', 'undecided', 'unknown')"
    op.create_check_constraint("signals_status_check", "signals", statuses, schema="perennial")
