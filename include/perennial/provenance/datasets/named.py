"""Names of datasets, by OpenLineage's naming where it has one. Pure; of an address no account and no option is left."""

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from sqlalchemy import make_url

from perennial.errors import redacted

# What a server and a schema are called where an address leaves them out, and PostgreSQL knows them.
_POSTGRES_PORT, _POSTGRES_SCHEMA = 5432, "public"


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """What can be read and written, by its name within a ``namespace``: the system that it lies in."""

    namespace: str
    name: str


def file_on(address: str, path: str) -> Dataset:
    """A file by its ``path`` on the file system of an address, which is a folder, or a URI that ``pyarrow.fs`` opens.

    >>> file_on("/landing/{start:%Y}/*.csv", "/landing/2013/a.csv")
    Dataset(namespace='file', name='/landing/2013/a.csv')
    >>> file_on("s3://KEY:SE/CRET@logs/*.csv?region=eu", "logs/2013/a.csv")
    Dataset(namespace='s3://logs', name='2013/a.csv')
    >>> file_on("hdfs://ada:pw@node:8020/logs", "/logs/a.csv")
    Dataset(namespace='hdfs://node:8020', name='/logs/a.csv')
    """
    scheme, found, rest = redacted(address).partition("://")
    if not found or scheme == "file":
        return Dataset(namespace="file", name=redacted(path))
    if path.startswith("/"):
        return Dataset(namespace=f"{scheme}://{_server(rest)}", name=redacted(path))
    bucket, _, key = path.partition("/")
    return Dataset(namespace=f"{scheme}://{bucket}", name=redacted(key))


def table_in(url: str, table: str, schema: str | None = None) -> Dataset:
    """A table by the SQLAlchemy URL of its database.

    >>> table_in("postgresql+psycopg2://ada:pw@db/shop?password=pw", "orders")
    Dataset(namespace='postgres://db:5432', name='shop.public.orders')
    >>> table_in("mysql://ada:pw@db:3306/shop", "orders")
    Dataset(namespace='mysql://db:3306', name='shop.orders')
    """
    place = make_url(url)
    backend = place.get_backend_name()
    is_postgres = backend == "postgresql"
    port = place.port or (_POSTGRES_PORT if is_postgres else None)
    server = f"{place.host or 'localhost'}{f':{port}' if port else ''}"
    names = (place.database, schema or (_POSTGRES_SCHEMA if is_postgres else None), table)
    return Dataset(
        namespace=f"{'postgres' if is_postgres else backend}://{server}", name=".".join(name for name in names if name)
    )


def run_of(mlflow_uri: str, run_id: str) -> Dataset:
    """An MLflow run, which holds a fitted model.

    >>> run_of("https://ada:p/w@host/mlflow/", "a1")
    Dataset(namespace='mlflow://host/mlflow', name='runs/a1')
    """
    return Dataset(namespace=_mlflow(mlflow_uri), name=f"runs/{run_id}")


def version_of(mlflow_uri: str, model: str, version: str) -> Dataset:
    """A model version. OpenLineage has no naming of MLflow's; this is the path of its page.

    >>> version_of("http://127.0.0.1:5000", "flight_delay", "7")
    Dataset(namespace='mlflow://127.0.0.1:5000', name='models/flight_delay/versions/7')
    """
    return Dataset(namespace=_mlflow(mlflow_uri), name=f"models/{model}/versions/{version}")


def _mlflow(uri: str) -> str:
    rest = redacted(uri).partition("://")[2]
    return f"mlflow://{_server(rest)}{urlsplit(f'//{rest}').path.rstrip('/')}"


def _server(rest: str) -> str:
    """Host and port of what follows the scheme of a redacted URI."""
    return re.split("[/?]", rest, maxsplit=1)[0].rpartition("@")[2]
