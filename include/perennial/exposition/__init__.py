"""What Prometheus is told of the pipeline: the figures of each model, as they stand in the store."""

from perennial.exposition.families import page
from perennial.exposition.standing import StoreFigures, read_standing

__all__ = ["StoreFigures", "page", "read_standing"]
