"""The one way to name published rows and their labels in a query. Only this room imports it."""

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import ColumnElement, Table, and_, not_

from perennial.contracts import Window


def served(predictions: Table, stretch: Window, *, excluded: Iterable[Window] = ()) -> ColumnElement[bool]:
    """The rows of a stretch that a champion scored, without those of the ``excluded`` stretches.

    >>> from perennial.store.schema import predictions_table
    >>> "role =" in str(served(predictions_table(flights), day(0)))
    True
    """
    time = predictions.c.event_time
    left_out = [not_(and_(time >= window.start, time < window.end)) for window in excluded]
    return and_(time >= stretch.start, time < stretch.end, predictions.c.role == "champion", *left_out)


def arrived(predictions: Table, labels: Table, as_of: datetime) -> ColumnElement[bool]:
    """A prediction and its label, where the label had arrived before ``as_of``: at that very moment it had not.

    >>> from perennial.store.schema import labels_table, predictions_table
    >>> "labelled_at <" in str(arrived(predictions_table(flights), labels_table(flights), day(0).end))
    True
    """
    return and_(labels.c.prediction_id == predictions.c.prediction_id, labels.c.labelled_at < as_of)
