"""SQLAlchemy Core on an ADBC cursor, for transactions that also move rows in bulk."""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateTable

_POSTGRES = postgresql.dialect(paramstyle="numeric_dollar")  # type: ignore[no-untyped-call]  # SQLAlchemy leaves it untyped


def run(cursor: Any, statement: Any) -> None:
    """Execute a Core statement on an ADBC cursor, every value a parameter."""
    compiled = statement.compile(dialect=_POSTGRES)
    values = tuple(compiled.params[name] for name in getattr(compiled, "positiontup", None) or ())
    cursor.execute(str(compiled), values or None)


def scalar(cursor: Any, statement: sa.Select[Any]) -> Any:
    """The first value of the first row; None without a row."""
    run(cursor, statement)
    row = cursor.fetchone()
    return row[0] if row else None


def temporary(name: str, columns: list[sa.Column[Any]]) -> sa.Table:
    """A table of this transaction's own: all columns without constraints, and the row's number in its batch.

    >>> temporary("arriving", [sa.Column("id", sa.Text, primary_key=True)]).columns.keys()
    ['row_number', 'id']
    """
    bare = [sa.Column(column.name, column.type) for column in columns]
    return sa.Table(
        name,
        sa.MetaData(),
        sa.Column("row_number", sa.BigInteger),
        *bare,
        prefixes=["TEMPORARY"],
        postgresql_on_commit="DROP",
    )


def create(table: sa.Table) -> Any:
    """The statement that makes a temporary table.

    >>> " ".join(str(create(temporary("arriving", []))).split())
    'CREATE TEMPORARY TABLE arriving ( row_number BIGINT )'
    """
    return CreateTable(table)
