"""The statements of a correction: a published row gets a newer version, or a column that did not exist is filled.

They run in the publishing transaction over ``again``, the whole rows of the batch whose key is published. When a
correction counts from is decided in docs/decisions/0020-history-can-be-corrected.md.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from perennial.contracts import Window
from perennial.publishing.keys import content, newest_of
from perennial.store.schema import (
    KNOWN_AT,
    SUPERSEDED,
    SUPERSEDED_AT,
    Moment,
    added_columns,
    delivered_columns,
    row_key,
)

CORRECTING = sa.Table(
    "perennial_correcting",
    sa.MetaData(),
    sa.Column("row_number", sa.BigInteger, doc="in the batch"),
    sa.Column("known_at", Moment, doc="from when on it counts; null: a new column is filled"),
    prefixes=["TEMPORARY"],
    postgresql_on_commit="DROP",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Correcting:
    """What a batch may correct: its number, its window, the last moment that was read as of, the newer columns.

    ``decided`` is the newest end of a window that was decided about, or staged since; None before the first decision.

    ``added`` gives for a column the number of the last batch whose rows were published without it.
    """

    seq: int
    window: Window
    decided: datetime | None
    added: Mapping[str, int]


def added(model: str) -> sa.Select[Any]:
    """The columns that a model's predictions gained, and the number of the last batch before."""
    return sa.select(added_columns.c.column_name, added_columns.c.after_seq).where(added_columns.c.model == model)


def find(again: sa.Table, target: sa.Table, by: Correcting) -> Any:
    """INSERT into CORRECTING the rows that correct the published one.

    A delivery corrects what an earlier one said, by its first row of a key; a prediction only if the published one lies
    in the window that is delivered again: an id that comes back on another day is another request.
    """
    earlier = again.alias("earlier")
    first = ~sa.exists().where(
        *(earlier.c[name] == again.c[name] for name in row_key(target)), earlier.c.row_number < again.c.row_number
    )
    allowed = [target.c.batch_seq < by.seq, first]
    if "event_time" in target.c:
        allowed.append(sa.and_(target.c.event_time >= by.window.start, target.c.event_time < by.window.end))
    differs = {c.name: again.c[c.name].is_distinct_from(c) for c in content(target)}
    real = sa.or_(*(sa.and_(differs[c.name], ~_fillable(c, target, by)) for c in content(target)))
    rows = (
        sa.select(again.c.row_number, sa.case((real, _known_at(again, target, by))))
        .join_from(again, target, newest_of(target, again))
        .where(sa.or_(*differs.values()), *allowed)
    )
    return sa.insert(CORRECTING).from_select(["row_number", "known_at"], rows)


def _fillable(column: sa.Column[Any], target: sa.Table, by: Correcting) -> sa.ColumnElement[bool]:
    if column.name not in by.added:
        return sa.false()
    return sa.and_(column.is_(None), target.c.batch_seq <= by.added[column.name])


def _known_at(again: sa.Table, target: sa.Table, by: Correcting) -> sa.ColumnElement[Any]:
    """The last moment read as of; no earlier than the version before, and than the event, or the label, itself."""
    own = again.c.event_time if "event_time" in again.c else again.c.labelled_at
    decided = [] if by.decided is None else [sa.cast(sa.literal(by.decided, Moment), Moment)]
    return sa.func.greatest(own, target.c[KNOWN_AT], *decided)


def fill(again: sa.Table, target: sa.Table) -> Any:
    """UPDATE the published rows that lack nothing but columns that did not exist."""
    filling = _of(again, target, CORRECTING.c.known_at.is_(None))
    return sa.update(target).values({c.name: again.c[c.name] for c in content(target)}).where(filling)


def keep(again: sa.Table, target: sa.Table) -> Any:
    """INSERT a copy of every row that is about to be corrected, as the version that it was until then."""
    names = [c.name for c in delivered_columns(target)]
    past = target.alias("past")
    nth = sa.select(sa.func.max(past.c[SUPERSEDED]) + 1).where(
        *(past.c[name] == target.c[name] for name in row_key(target))
    )
    copies = sa.select(
        *(target.c[name] for name in names),
        target.c[KNOWN_AT],
        CORRECTING.c.known_at,
        sa.cast(nth.correlate(target).scalar_subquery(), sa.SmallInteger),
    ).where(_of(again, target, CORRECTING.c.known_at.is_not(None)))
    return sa.insert(target).from_select([*names, KNOWN_AT, SUPERSEDED_AT, SUPERSEDED], copies)


def correct(again: sa.Table, target: sa.Table, seq: int) -> Any:
    """UPDATE the newest version of every corrected row."""
    values: dict[str, Any] = {c.name: again.c[c.name] for c in content(target)}
    values |= {"batch_seq": seq, KNOWN_AT: CORRECTING.c.known_at}
    return sa.update(target).values(values).where(_of(again, target, CORRECTING.c.known_at.is_not(None)))


def _of(again: sa.Table, target: sa.Table, which: sa.ColumnElement[bool]) -> sa.ColumnElement[bool]:
    return sa.and_(CORRECTING.c.row_number == again.c.row_number, newest_of(target, again), which)
