"""What the tables of a model's published rows are called, for who tells others of them."""

from perennial.config import ModelConfig
from perennial.contracts import SourceKind
from perennial.store.schema import labels_table, predictions_table, quarantine

QUARANTINE = quarantine.fullname


def published_in(config: ModelConfig, source: SourceKind) -> str:
    """Schema and name of the table that a source is published in; a shadow stands beside the predictions.

    >>> published_in(flights, "labels"), published_in(flights, "shadow")
    ('perennial_data.flight_delay__labels', 'perennial_data.flight_delay__predictions')
    """
    table = labels_table(config) if source == "labels" else predictions_table(config)
    return table.fullname
