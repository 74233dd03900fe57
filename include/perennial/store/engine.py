"""One handle to everything that Perennial keeps."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from sqlalchemy import Connection, Engine, create_engine
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, InterfaceError, OperationalError, ProgrammingError

from perennial.errors import ConfigError, StoreUnavailable
from perennial.storage import Storage

_NO_SUCH_TABLE = "42P01"


@dataclass(frozen=True, slots=True)
class Store:
    """The engine for statements, the libpq URI for bulk rows (never shown), and the file storage."""

    engine: Engine
    libpq_uri: str = field(repr=False)
    storage: Storage

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        """A transaction. Raises StoreUnavailable when PostgreSQL can not be reached or goes away, ConfigError when a
        table has not been made yet."""
        with unavailable(self.engine.url.host or "", self.engine.url.port), self.engine.begin() as connection:
            try:
                yield connection
            except ProgrammingError as error:
                if getattr(error.orig, "pgcode", None) != _NO_SUCH_TABLE:
                    raise
                cause = str(error.orig).splitlines()[0]
                raise ConfigError(f"{cause}: the first `perennial run monitor` of a model makes its tables") from error

    def close(self) -> None:
        """Give back the pooled connections."""
        self.engine.dispose()


@contextmanager
def unavailable(host: str, port: int | None) -> Iterator[None]:
    """Turn a lost or refused connection into StoreUnavailable; other errors pass as they are."""
    try:
        yield
    except (OperationalError, InterfaceError) as error:
        cause = str(error.orig).strip().splitlines()[0] if error.orig else str(error)
        raise StoreUnavailable(f"PostgreSQL at {host}:{port}: {cause}") from error


def open_store(database_url: str, storage_uri: str) -> Store:
    """A handle; nothing is connected yet.

    ``database_url`` is any ``postgresql://`` URL: psycopg2 is chosen whatever driver it names. Raises ConfigError for
    another database.
    """
    try:
        url = make_url(database_url)
    except (ArgumentError, ValueError):  # the message of either may show a part of the password
        raise ConfigError(
            "PERENNIAL_DATABASE_URL is not a URL: write postgresql://user:password@host:port/database, with every "
            "@, : and / inside the password as %40, %3A and %2F"
        ) from None
    if url.get_backend_name() != "postgresql":
        raise ConfigError(
            f"PERENNIAL_DATABASE_URL is a {url.get_backend_name()} URL; Perennial keeps its store in PostgreSQL"
        )
    # a role named like a schema would otherwise find that schema first on its search path
    options = {"options": "-csearch_path=public"}
    engine = create_engine(
        url.set(drivername="postgresql+psycopg2"), pool_pre_ping=True, pool_size=2, connect_args=options
    )
    libpq = url.set(drivername="postgresql").render_as_string(hide_password=False)
    return Store(engine, libpq, Storage.open(storage_uri))
