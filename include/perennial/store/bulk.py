"""Rows in and out of PostgreSQL as Arrow, through ADBC: COPY in binary, no Python object per row."""

import threading
import weakref
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import adbc_driver_postgresql
import pyarrow as pa
from adbc_driver_manager import AdbcConnection, dbapi
from adbc_driver_manager import OperationalError as AdbcOperationalError
from sqlalchemy import Engine, Select, Table
from sqlalchemy.dialects import postgresql

from perennial.errors import StoreUnavailable
from perennial.store.engine import Store

_databases: "weakref.WeakKeyDictionary[Engine, Any]" = weakref.WeakKeyDictionary()
_lock = threading.Lock()


class _Lasting:
    """An ADBC database that its connections do not close: it holds no connection, but every type of the server."""

    def __init__(self, uri: str) -> None:
        self._db = adbc_driver_postgresql.connect(uri)

    def connect(self) -> Any:
        return dbapi.Connection(self, AdbcConnection(self._db))

    def close(self) -> None:
        """What a connection calls when it ends."""

    def forget(self) -> None:
        self._db.close()


def _database(store: Store) -> _Lasting:
    """Asked once for each handle on the store: reading the types takes ADBC fifty times as long as connecting."""
    with _lock:
        if store.engine not in _databases:
            _databases[store.engine] = kept = _Lasting(store.libpq_uri)
            weakref.finalize(store.engine, kept.forget)
        found: _Lasting = _databases[store.engine]
        return found


@contextmanager
def bulk_transaction(store: Store) -> Iterator[Any]:
    """An ADBC cursor in one transaction, committed when the block ends well. Raises StoreUnavailable."""
    try:
        with _database(store).connect() as connection, connection.cursor() as cursor:
            yield cursor
            connection.commit()
    except AdbcOperationalError as error:
        raise StoreUnavailable(f"PostgreSQL at {store.engine.url.host}:{store.engine.url.port}: {error}") from error


def copy_in(cursor: Any, table: Table, rows: pa.RecordBatchReader, *, temporary: bool = False) -> int:
    """COPY the rows of a reader into a table; column names must be the table's. Returns the number of rows."""
    schema = {} if temporary else {"db_schema_name": table.schema}
    n_rows: int = cursor.adbc_ingest(table.name, rows, mode="append", temporary=temporary, **schema)
    return n_rows


def compile_literal(query: Select[Any]) -> str:
    """The query as text with its values rendered by SQLAlchemy's own literal processors.

    ADBC streams a result through COPY only for a statement without bind parameters; with them it would hold the whole
    result in memory. Values are typed datetimes, numbers and versions of ours, never text from a request.
    """
    # named parameters, of which none are left: those of psycopg2 would double every percent sign in a name
    dialect = postgresql.dialect(paramstyle="named")  # type: ignore[no-untyped-call]  # SQLAlchemy leaves it untyped
    return str(query.compile(dialect=dialect, compile_kwargs={"literal_binds": True}))


@contextmanager
def stream(store: Store, query: Select[Any]) -> Iterator[pa.RecordBatchReader]:
    """The rows of a query, batch by batch. Raises StoreUnavailable."""
    with bulk_transaction(store) as cursor:
        cursor.execute(compile_literal(query))
        yield cursor.fetch_record_batch()


def read(store: Store, query: Select[Any]) -> pa.Table:
    """The rows of a query that is bounded by itself (a sample, an aggregate)."""
    with stream(store, query) as reader:
        return reader.read_all()


def reader_of(schema: pa.Schema, rows: Iterable[pa.RecordBatch]) -> pa.RecordBatchReader:
    """A reader over batches that are made on the way."""
    return pa.RecordBatchReader.from_batches(schema, iter(rows))
