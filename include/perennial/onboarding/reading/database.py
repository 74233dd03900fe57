"""A table of PostgreSQL as a history: its rows in types that a file would have."""

from typing import Any

import adbc_driver_manager
import pyarrow as pa
import sqlalchemy as sa
from sqlalchemy.engine import make_url

from perennial.errors import ConfigError, StoreUnavailable, first_of, redacted
from perennial.onboarding.reading.files import MOST_ROWS
from perennial.store import bulk, open_store

_DIRECT = (sa.Integer, sa.Float, sa.Boolean, sa.String, sa.Date, sa.DateTime)
_NOT_A_URL = (
    "--from is no URL: write postgresql://user@host:port/database, with the password in PGPASSWORD or, "
    "percent-encoded, behind the user"
)


def is_database(source: str) -> bool:
    """Whether ``--from`` names a database and no file.

    >>> is_database("postgresql://me@there/shop"), is_database("postgres://there/shop"), is_database("a/postgresql.csv")
    (True, True, False)
    """
    scheme, found, _ = source.partition("://")
    return bool(found) and scheme.split("+")[0] in ("postgresql", "postgres")


def read_database(url: str, name: str | None) -> pa.Table:
    """At most ``MOST_ROWS`` rows of a table or view, ``name`` or ``schema.name``, of a ``postgresql://`` URL.

    Raises ConfigError, which never shows a password, and StoreUnavailable when its server is away.
    """
    try:
        make_url(url)
    except (sa.exc.ArgumentError, ValueError):  # whose message may show a part of the password
        raise ConfigError(_NOT_A_URL) from None
    store = open_store(url.replace("postgres://", "postgresql://", 1), "file:///")
    try:
        with store.begin() as connection:
            table = _reflected(connection, name)
        found = bulk.read(store, sa.select(*(_plain(column) for column in table.columns)).limit(MOST_ROWS))
    except adbc_driver_manager.Error as error:
        raise StoreUnavailable(redacted(f"{store.engine.url.host}:{store.engine.url.port}: {error}")) from None
    finally:
        store.close()
    if not found.num_rows:
        raise ConfigError(f"{name}: holds no row")
    return found


def _reflected(connection: sa.Connection, name: str | None) -> sa.Table:
    looked = sa.inspect(connection)
    if name is None:
        raise ConfigError(f"which table of the database? Say it with --table; there are: {_tables(looked, None)}")
    schema, _, short = name.rpartition(".")
    try:
        return sa.Table(short, sa.MetaData(), schema=schema or None, autoload_with=connection)
    except sa.exc.NoSuchTableError:
        raise ConfigError(f"no table {name} in the database; there are: {_tables(looked, schema or None)}") from None


def _tables(looked: sa.Inspector, schema: str | None) -> str:
    return first_of(sorted([*looked.get_table_names(schema), *looked.get_view_names(schema)]), most=20) or "none"


def _plain(column: sa.Column[Any]) -> sa.ColumnElement[Any]:
    """A column in a type that Arrow has: exact decimals as doubles, what else it lacks as text."""
    if isinstance(column.type, _DIRECT) and not isinstance(column.type, sa.Enum):
        return column
    kind = sa.Double() if isinstance(column.type, sa.Numeric) else sa.Text()
    return sa.cast(column, kind).label(column.name)
