"""The statements of a publication: who is new, who was there before, and who contradicts another row.

All run in the publishing transaction, over temporary tables: the keys of the accepted rows, the whole rows whose key is
taken, and the labels that contradict each other. What is compared is compared in PostgreSQL, so that memory here does
not grow with the batch.
"""

from typing import Any

import sqlalchemy as sa

from perennial.store.schema import SUPERSEDED, delivered_columns, quarantine, row_key

ARRIVING = "perennial_arriving"
AGAIN = "perennial_again"
CONTRADICTING = "perennial_contradicting"


def contradicting(arriving: sa.Table, target: sa.Table) -> sa.Select[Any]:
    """The numbers of label rows whose id comes with several labels in this delivery.

    >>> from perennial.store.schema import labels_table
    >>> from perennial.store.statements import temporary
    >>> labels = labels_table(flights)
    >>> "HAVING min(arriving.label) != max(arriving.label)" in str(
    ...     contradicting(temporary("arriving", list(labels.columns)), labels)
    ... )
    True
    """
    key = [arriving.c[name] for name in row_key(target)]
    several = sa.select(*key).group_by(*key).having(sa.func.min(arriving.c.label) != sa.func.max(arriving.c.label))
    return sa.select(arriving.c.row_number).where(sa.tuple_(*key).in_(several)).order_by(arriving.c.row_number)


def quarantine_contradicting(rows: sa.Table, target: sa.Table, batch_seq: int) -> Any:
    """INSERT into the quarantine every one of ``rows``, which contradict each other, naming all labels of the id."""
    key = [rows.c[name] for name in row_key(target)]
    other = rows.alias("other")
    same_key = sa.and_(*(other.c[column.name] == column for column in key))
    label = sa.cast(other.c.label, sa.Text)
    labels = sa.select(sa.func.string_agg(sa.distinct(label), sa.literal(" and ", sa.Text))).where(same_key)
    reason = sa.func.concat(
        sa.literal("label: conflicting values for one id in one delivery: ", sa.Text), labels.scalar_subquery()
    )
    return _into_quarantine(sa.select(*_line(rows, batch_seq, reason)))


def taken(arriving: sa.Table, target: sa.Table) -> sa.Select[Any]:
    """The numbers of rows whose key is published already, or came earlier in this batch.

    >>> from perennial.store.schema import labels_table
    >>> from perennial.store.statements import temporary
    >>> labels = labels_table(flights)
    >>> query = str(taken(temporary("arriving", list(labels.columns)), labels))
    >>> "row_number() OVER (PARTITION BY arriving.prediction_id ORDER BY arriving.row_number)" in query
    True
    """
    key = [arriving.c[name] for name in row_key(target)]
    nth = sa.select(
        arriving.c.row_number,
        *key,
        sa.func.row_number().over(partition_by=key, order_by=arriving.c.row_number).label("nth"),
    ).subquery()
    published = sa.exists().where(newest_of(target, nth))
    return sa.select(nth.c.row_number).where(sa.or_(nth.c.nth > 1, published)).order_by(nth.c.row_number)


def newest_of(target: sa.Table, rows: sa.FromClause) -> sa.ColumnElement[bool]:
    """The newest version of each of ``rows``."""
    return sa.and_(target.c[SUPERSEDED] == 0, *(rows.c[name] == target.c[name] for name in row_key(target)))


def content(target: sa.Table) -> list[sa.Column[Any]]:
    """What may differ between two rows of one key."""
    return [c for c in delivered_columns(target) if c.name not in (*row_key(target), "batch_seq")]


def quarantine_differing(again: sa.Table, target: sa.Table, batch_seq: int) -> Any:
    """INSERT into the quarantine what has a published key but not the published content, naming both values."""
    differs = [again.c[c.name].is_distinct_from(c) for c in content(target)]
    words = [
        sa.case((differs_here, _both(c, again.c[c.name])))
        for c, differs_here in zip(content(target), differs, strict=True)
    ]
    reason = sa.func.concat_ws(sa.literal("; ", sa.Text), *words)
    rows = sa.select(*_line(again, batch_seq, reason)).join_from(again, target, newest_of(target, again))
    return _into_quarantine(rows.where(sa.or_(*differs)))


def _both(published: sa.Column[Any], delivered: sa.Column[Any]) -> sa.ColumnElement[Any]:
    null = sa.literal("null", sa.Text)
    return sa.func.concat(
        sa.literal(f"{published.name}: published ", sa.Text),
        sa.func.coalesce(sa.cast(published, sa.Text), null),
        sa.literal(", delivered again as ", sa.Text),
        sa.func.coalesce(sa.cast(delivered, sa.Text), null),
    )


def _line(rows: sa.Table, batch_seq: int, reason: sa.ColumnElement[Any]) -> tuple[sa.ColumnElement[Any], ...]:
    seq = sa.cast(sa.literal(batch_seq), sa.BigInteger)
    return seq, rows.c.row_number, reason, sa.cast(sa.func.row_to_json(rows.table_valued()), sa.Text)


def _into_quarantine(lines: sa.Select[Any]) -> Any:
    return sa.insert(quarantine).from_select(["batch_seq", "row_number", "reason", "raw"], lines)
