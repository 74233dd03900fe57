"""Parquet files, a bounded batch of rows at a time."""

from collections.abc import Iterator

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from perennial.ingest.delivery import DeliveryFindings, UnusableDelivery
from perennial.ingest.files import SourceFile
from perennial.ingest.formats.staged import as_text

_BATCH_ROWS = 65_536


def read_parquet(
    file: SourceFile, declared: tuple[str, ...], findings: DeliveryFindings, connection: duckdb.DuckDBPyConnection
) -> Iterator[pa.RecordBatch]:
    """The declared columns of one file in the staged schema.

    Raises UnusableDelivery for what is no whole Parquet file, and OSError.
    """
    with file.opened(seekable=True) as stream:
        try:
            parquet = pq.ParquetFile(stream, pre_buffer=False)  # or memory would grow with the file
            names = parquet.schema_arrow.names
            findings.saw(names)
            wanted = [name for name in declared if name in names]
            for batch in parquet.iter_batches(batch_size=_BATCH_ROWS, columns=wanted or names[:1]):
                yield as_text(connection, batch, declared)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError, duckdb.Error) as error:
            raise UnusableDelivery(f"{file.path}: not readable as Parquet: {str(error).splitlines()[0]}") from error
