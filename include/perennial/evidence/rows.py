"""The one way to name published rows and their labels in a query. Only this room imports it."""

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import ColumnElement, Table, and_, not_, or_, true

from perennial.config import CAUSED, ERROR
from perennial.contracts import Window
from perennial.store.schema import KNOWN_AT, SUPERSEDED_AT


def known(rows: Table, as_of: datetime) -> ColumnElement[bool]:
    """Of each row the version that was the newest truth known before ``as_of``; of one never corrected, the first.

    >>> from perennial.store.schema import labels_table
    >>> print(str(known(labels_table(flights).alias("l"), day(0).end)).replace(" AND ", "\\n"))
    (l._known_at IS NULL OR l._known_at < :known_at_1)
    (l._superseded_at IS NULL OR l._superseded_at >= :superseded_at_1)
    """
    since, until = rows.c[KNOWN_AT], rows.c[SUPERSEDED_AT]
    return and_(or_(since.is_(None), since < as_of), or_(until.is_(None), until >= as_of))


def served(
    predictions: Table, stretch: Window, *, as_of: datetime, excluded: Iterable[Window] = (), role: str = "champion"
) -> ColumnElement[bool]:
    """The rows of a stretch that a champion scored (or who has ``role``), as known at ``as_of``, but ``excluded`` ones.

    And without those that were answered with an error.

    >>> from perennial.store.schema import predictions_table
    >>> "role =" in str(served(predictions_table(flights), day(0), as_of=day(0).end))
    True
    """
    asked = requested(predictions, stretch, as_of=as_of, excluded=excluded, role=role)
    return and_(asked, *unmarked(predictions, ERROR))


def requested(
    predictions: Table, stretch: Window, *, as_of: datetime, excluded: Iterable[Window] = (), role: str = "champion"
) -> ColumnElement[bool]:
    """Those of :func:`served`, and what a champion answered with an error."""
    time = predictions.c.event_time
    left_out = [not_(and_(time >= window.start, time < window.end)) for window in excluded]
    inside = (time >= stretch.start, time < stretch.end)
    return and_(*inside, predictions.c.role == role, known(predictions, as_of), *left_out)


def counted(
    predictions: Table, stretch: Window, *, as_of: datetime, excluded: Iterable[Window] = (), role: str = "champion"
) -> ColumnElement[bool]:
    """Those of :func:`served` whose label may teach and judge: the model did not cause it itself.

    >>> from perennial.config import PredictionColumns
    >>> from perennial.store.schema import predictions_table
    >>> config = flights.model_copy(update={"columns": PredictionColumns(caused="accepted")})
    >>> "_caused IS NOT true" in str(counted(predictions_table(config), day(0), as_of=day(0).end))
    True
    """
    asked = served(predictions, stretch, as_of=as_of, excluded=excluded, role=role)
    return and_(asked, *unmarked(predictions, CAUSED))


def unmarked(predictions: Table, *marks: str) -> list[ColumnElement[bool]]:
    """What leaves out the rows with one of the marks, as far as the log has such marks: ``_error`` or ``_caused``.

    A row from before the log had it is not marked.
    """
    return [predictions.c[mark].is_not(true()) for mark in marks if mark in predictions.c]


def arrived(predictions: Table, labels: Table, as_of: datetime) -> ColumnElement[bool]:
    """A prediction and its label, where the label had arrived before ``as_of``: at that very moment it had not.

    >>> from perennial.store.schema import labels_table, predictions_table
    >>> "labelled_at <" in str(arrived(predictions_table(flights), labels_table(flights), day(0).end))
    True
    """
    same = labels.c.prediction_id == predictions.c.prediction_id
    return and_(same, labels.c.labelled_at < as_of, known(labels, as_of))
