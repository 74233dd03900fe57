"""Stage: the rows of one window, as they were delivered, to one file."""

import hashlib
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from uuid import uuid4

import duckdb
import pyarrow as pa
import sqlalchemy as sa
from pyarrow import ipc
from sqlalchemy.dialects.postgresql import insert as upsert

from perennial.config import FileSource, ModelConfig, TableSource
from perennial.contracts import Batch, SourceKind, Window, from_record, to_record
from perennial.errors import first_of, redacted
from perennial.ingest.again import identity
from perennial.ingest.completeness import Awaited, changed, look, shortfall
from perennial.ingest.delivery import (
    DeliveryFindings,
    UnusableDelivery,
    declared_columns,
    declared_source,
    number_columns,
)
from perennial.ingest.files import SourceFile, digest_file, digesting, find, listing, resolved
from perennial.ingest.formats.columnar import read_parquet
from perennial.ingest.formats.delimited import read_csv
from perennial.ingest.formats.jsonl import read_jsonl
from perennial.ingest.formats.staged import NO_NUMBERS, Numbers, staged_schema
from perennial.ingest.tables import Remote, read_table
from perennial.storage.files import DRAFT, PASSING, PASSING_ROWS, in_groups
from perennial.store import Store
from perennial.store.duck import session
from perennial.store.schema import batches

_NO_URLS: Mapping[str, str] = MappingProxyType({})


def stage(
    config: ModelConfig,
    window: Window,
    source: SourceKind,
    *,
    store: Store,
    home: Path,
    table_urls: Mapping[str, str] = _NO_URLS,
) -> Batch:
    """Stream what the source delivered for ``window`` to staging and record it.

    A delivery that can not be used comes back with ``problem`` set. The same content again is the same batch, unless
    another one was published since; a published one is left as it was recorded. ``table_urls`` holds the values of the
    environment variables that ``url_env`` names. Raises ConfigError, and a TransientError when the source, the storage
    or the store can not be reached.
    """
    origin = declared_source(config, source)
    declared = declared_columns(config, source)
    files = find(config, origin, window, home) if isinstance(origin, FileSource) else ()
    findings = DeliveryFindings()
    incoming = f"staging/{config.model}/{source}/{window.key}.{uuid4().hex}{DRAFT}"
    awaited = look(config, origin, window, home, files) if isinstance(origin, FileSource) else Awaited()
    n_rows, problem, incomplete = 0, None, awaited.problem
    if incomplete is None:
        with closing(session()) as connection:
            there = Remote(store=store, urls=table_urls, connection=connection)
            numbers = _numbers(config, source, origin)
            if isinstance(origin, FileSource):
                rows = _read_files(files, origin, declared, numbers, findings=findings, connection=connection)
            else:
                rows = read_table(config, origin, window, declared, findings, there=there)
            n_rows, problem = _write(rows, incoming, staged_schema(declared, numbers), store)
        incomplete = changed(files) if problem else shortfall(awaited, files, n_rows)
    digest = _digest(files, findings, problem, incomplete)
    batch_id = identity(config.model, source, window, digest, store=store)
    missing, extra = findings.difference(declared)
    problem = incomplete or problem
    batch = Batch(
        batch_id=batch_id,
        model=config.model,
        source=source,
        window=window,
        digest=digest,
        n_rows=n_rows,
        uri=f"staging/{config.model}/{source}/{batch_id}{PASSING}" if problem is None else None,
        files=tuple(file.path for file in files),
        missing_columns=missing,
        extra_columns=extra,
        problem=problem,
        expected_rows=awaited.expected_rows,
    )
    batch = replace(batch, problem=problem or _problem(config, origin, batch, home))
    return _record(batch, incoming, store, listing=listing(files) if isinstance(origin, FileSource) else None)


def _digest(
    files: tuple[SourceFile, ...], findings: DeliveryFindings, problem: str | None, incomplete: str | None
) -> str:
    """What the delivery is known by. An incomplete one is not known as what it becomes, or its halt would stand."""
    parts = [digest_file(file) for file in files] if problem or incomplete else findings.digests
    return hashlib.sha256("".join([*sorted(parts), incomplete or ""]).encode()).hexdigest()


def _numbers(config: ModelConfig, source: SourceKind, origin: FileSource | TableSource) -> Numbers:
    """The columns that may be staged as numbers: those of JSON, which alone says what is one."""
    is_json = isinstance(origin, FileSource) and origin.format == "jsonl"
    return number_columns(config, source) if is_json else NO_NUMBERS


def _read_files(
    files: tuple[SourceFile, ...],
    source: FileSource,
    declared: tuple[str, ...],
    numbers: Numbers,
    *,
    findings: DeliveryFindings,
    connection: duckdb.DuckDBPyConnection,
) -> Iterator[pa.RecordBatch]:
    for file in files:
        try:
            if source.format == "parquet":
                yield from read_parquet(file, declared, findings, connection)
                findings.digests.append(digest_file(file))
                continue
            with digesting(file) as stream:
                if source.format == "csv":
                    yield from read_csv(stream, file.path, declared, findings)
                else:
                    yield from read_jsonl(stream, file.path, declared, findings, connection, numbers=numbers)
                findings.digests.append(stream.hexdigest())
        except OSError as error:
            raise UnusableDelivery(f"{file.path}: not readable: {error}") from error


def _write(rows: Iterator[pa.RecordBatch], incoming: str, schema: pa.Schema, store: Store) -> tuple[int, str | None]:
    """How many rows were written, or why they could not be read to their end. One group is written while the next one
    is read."""
    n_rows = 0
    try:
        with store.storage.write_passing(incoming, schema, draft=True) as writer, ThreadPoolExecutor(1) as behind:
            written = behind.submit(lambda: None)
            for group in in_groups(rows, PASSING_ROWS):
                written.result()
                written = behind.submit(_write_whole, writer, group)
                n_rows += group.num_rows
            written.result()
    except UnusableDelivery as error:
        return 0, redacted(str(error))
    return n_rows, None


def _write_whole(writer: ipc.RecordBatchFileWriter, group: pa.Table) -> None:
    """Write the group as one batch, which is how it is read and judged."""
    writer.write_table(group.combine_chunks())


def _problem(config: ModelConfig, origin: FileSource | TableSource, batch: Batch, home: Path) -> str | None:
    """Why a batch that was read to its end can not be audited, or None."""
    missing, extra = batch.missing_columns, batch.extra_columns
    if missing and batch.n_rows:
        renamed = f"; unknown columns [{first_of(extra)}] arrived: renamed?" if extra else ""
        return f"broken schema: missing [{first_of(missing)}]{renamed}"
    if extra and batch.n_rows and config.validation.extra_columns == "halt":
        return f"broken schema: extra columns [{first_of(extra)}] and validation.extra_columns is halt"
    if batch.n_rows or origin.allow_empty or batch.source == "shadow":
        return None
    if isinstance(origin, TableSource):
        return f"empty delivery: table {origin.table} holds no rows of the window"
    if batch.files:
        return f"empty delivery: no rows in {first_of(batch.files)}"
    looked = redacted(resolved(config, origin, batch.window, home))
    return f"nothing delivered: no file matches {looked}; an empty delivery is a file without rows"


def _record(batch: Batch, incoming: str, store: Store, *, listing: str | None) -> Batch:
    """Write or renew the batch's row; a published batch stays as it was recorded, but for what its files are by now."""
    table = batches
    record = to_record(batch)
    staged = {"status": "staged", "reason": "", "n_staged": batch.n_rows, "staged": record}
    statement = upsert(table).values(
        batch_id=batch.batch_id,
        model=batch.model,
        source=batch.source,
        window_start=batch.window.start,
        window_end=batch.window.end,
        **staged,
    )
    statement = statement.on_conflict_do_update(
        index_elements=["batch_id"], set_=staged, where=table.c.status != "published"
    )
    published = sa.select(table.c.staged).where(table.c.batch_id == batch.batch_id, table.c.status == "published")
    with store.begin() as connection:
        before = connection.execute(published).scalar()
    if before is not None or batch.uri is None:
        store.storage.delete(incoming)
    else:
        store.storage.move(incoming, batch.uri)
    with store.begin() as connection:
        connection.execute(statement)
        connection.execute(sa.update(table).where(table.c.batch_id == batch.batch_id).values(listing=listing))
        before = connection.execute(published).scalar()
    return batch if before is None else from_record(Batch, before)
