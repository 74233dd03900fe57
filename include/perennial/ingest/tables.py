"""A window of a table: PostgreSQL through ADBC, any other SQLAlchemy URL through a server-side cursor."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any

import adbc_driver_manager
import duckdb
import pyarrow as pa
import pyarrow.csv as pacsv
import sqlalchemy as sa
from sqlalchemy.engine import make_url

from perennial.config import ModelConfig, TableSource
from perennial.contracts import Window
from perennial.errors import ConfigError, StoreUnavailable, first_of, redacted
from perennial.ingest.delivery import DeliveryFindings, UnusableDelivery
from perennial.ingest.formats.staged import as_text
from perennial.store import Store, bulk
from perennial.store.engine import unavailable

_BATCH_ROWS = 65_536
_DIRECT = (sa.Integer, sa.Double, sa.Float, sa.Boolean, sa.String, sa.DateTime)


@dataclass(frozen=True, slots=True)
class Remote:
    """The URLs of tables by the names of their environment variables, and what it takes to read one."""

    store: Store
    urls: Mapping[str, str]
    connection: duckdb.DuckDBPyConnection


def read_table(
    config: ModelConfig,
    source: TableSource,
    window: Window,
    declared: tuple[str, ...],
    findings: DeliveryFindings,
    *,
    there: Remote,
) -> Iterator[pa.RecordBatch]:
    """The rows of the half-open window on ``time_column``, ordered by id, as text.

    The digest is that of the rows written as CSV, so that it does not depend on how they were cut into batches.
    Raises ConfigError when the URL is not given, StoreUnavailable when its server is away, UnusableDelivery when the
    table is not there.
    """
    if source.url_env not in there.urls:
        raise ConfigError(f"{config.model}: source table {source.table}: set {source.url_env} to its SQLAlchemy URL")
    url = _url(there.urls[source.url_env], config, source)
    postgres = url.get_backend_name() == "postgresql"
    engine = sa.create_engine(url.set(drivername="postgresql+psycopg2") if postgres else url)
    digest = hashlib.sha256()
    try:
        with unavailable(url.host or str(url.database), url.port):
            table = _reflect(engine, source)
            _refuse_timeless(engine, table.c[source.time_column], source)
            _refuse_unsortable(engine, table.c[source.time_column], source)
            findings.saw(table.columns.keys())
            query = _window_query(table, source, window, declared)
            rows = _through_adbc(engine, url, query, there.store) if postgres else _through_cursor(engine, query)
            for chunk in rows:
                batch = as_text(there.connection, chunk, declared)
                lines = pa.BufferOutputStream()
                pacsv.write_csv(batch, lines, pacsv.WriteOptions(include_header=False))
                digest.update(lines.getvalue())
                yield batch
    finally:
        engine.dispose()
    findings.digests.append(digest.hexdigest())


def _url(text: str, config: ModelConfig, source: TableSource) -> sa.URL:
    """Raises ConfigError that shows nothing of the URL, which may hold a password."""
    try:
        return make_url(text)
    except (sa.exc.ArgumentError, ValueError):
        pass
    raise ConfigError(
        f"{config.model}: source table {source.table}: {source.url_env} is no SQLAlchemy URL; write "
        "dialect://user:password@host:port/database, with special characters of the password percent-encoded"
    )


def _reflect(engine: sa.Engine, source: TableSource) -> sa.Table:
    try:
        table = sa.Table(source.table, sa.MetaData(), schema=source.schema_name, autoload_with=engine)
    except sa.exc.NoSuchTableError as error:
        raise UnusableDelivery(f"no table {source.table} in the database of {source.url_env}") from error
    if source.time_column not in table.columns:
        raise UnusableDelivery(
            f"broken schema: table {source.table} has no time_column {source.time_column}; "
            f"it has {first_of(table.columns.keys(), most=20)}"
        )
    return table


def _refuse_timeless(engine: sa.Engine, time: sa.Column[Any], source: TableSource) -> None:
    """A row without a time is in no window and would never be staged. Raises UnusableDelivery when there is one."""
    if not time.nullable:
        return
    with engine.connect() as connection:
        n_timeless = connection.scalar(sa.select(sa.func.count()).where(time.is_(None)))
    if n_timeless:
        raise UnusableDelivery(
            f"table {source.table}: {n_timeless} rows have no {source.time_column} and so belong to no window; give "
            f"them one, or name a view that leaves them out (WHERE {source.time_column} IS NOT NULL)"
        )


def _refuse_unsortable(engine: sa.Engine, time: sa.Column[Any], source: TableSource) -> None:
    """Text sorts by its letters: only one way of writing moments sorts by time. Raises UnusableDelivery for others."""
    if not isinstance(time.type, sa.String):
        return
    sortable = sa.and_(time.like("____-__-__T__:__:__%"), sa.or_(time.like("%+00:00"), time.like("%Z")))
    with engine.connect() as connection:
        n_bad = connection.scalar(sa.select(sa.func.count()).where(time.is_not(None), sa.not_(sortable)))
    if n_bad:
        raise UnusableDelivery(
            f"table {source.table}: {source.time_column} is text, and {n_bad} of its values are not written like "
            "2024-01-01T00:00:00+00:00, so that they do not sort by time; give a view with a timestamp column"
        )


def _window_query(table: sa.Table, source: TableSource, window: Window, declared: tuple[str, ...]) -> sa.Select[Any]:
    time = table.c[source.time_column]
    bounds: Sequence[Any] = (window.start, window.end)
    if isinstance(time.type, sa.String):
        bounds = [bound.isoformat() for bound in bounds]
    elif not getattr(time.type, "timezone", False):
        bounds = [bound.replace(tzinfo=None) for bound in bounds]
    columns = [table.c[name] for name in declared if name in table.columns]
    picked = [_plain(column) for column in columns] or [_plain(time)]
    return sa.select(*picked).where(time >= bounds[0], time < bounds[1]).order_by(*columns[:1])


def _plain(column: sa.Column[Any]) -> sa.ColumnElement[Any]:
    if isinstance(column.type, _DIRECT) and not isinstance(column.type, sa.Enum):
        return column
    return sa.cast(column, sa.Text).label(column.name)


def _through_adbc(engine: sa.Engine, url: sa.URL, query: sa.Select[Any], store: Store) -> Iterator[pa.RecordBatch]:
    libpq = url.set(drivername="postgresql").render_as_string(hide_password=False)
    there = replace(store, engine=engine, libpq_uri=libpq)
    try:
        with bulk.stream(there, query) as reader:
            yield from reader
    except adbc_driver_manager.Error as error:
        raise StoreUnavailable(redacted(f"{url.host}:{url.port}: {error}")) from error


def _through_cursor(engine: sa.Engine, query: sa.Select[Any]) -> Iterator[pa.RecordBatch]:
    with engine.connect().execution_options(stream_results=True, yield_per=_BATCH_ROWS) as connection:
        result = connection.execute(query)
        names = list(result.keys())
        for rows in result.partitions():
            columns = [
                pa.array([_as_delivered(value) for value in column], pa.string()) for column in zip(*rows, strict=True)
            ]
            yield pa.RecordBatch.from_arrays(columns, names=names)


def _as_delivered(value: object) -> str | None:
    """A database value as text. The driver has made a Python object of every value already."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    return value.isoformat() if isinstance(value, (date, datetime)) else str(value)
