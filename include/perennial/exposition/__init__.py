"""What Prometheus is told: the figures of each model, as they stand in the store, and of what the stack runs on."""

from perennial.exposition.families import page
from perennial.exposition.machine import MachineFigures, PoolFigures, read_machine
from perennial.exposition.standing import StoreFigures, read_standing

__all__ = ["MachineFigures", "PoolFigures", "StoreFigures", "page", "read_machine", "read_standing"]
