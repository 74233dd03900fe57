"""Parquet files, a bounded batch of rows at a time."""

from collections.abc import Iterator

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from perennial.ingest.delivery import Findings, Unusable, as_text
from perennial.ingest.files import Place

_BATCH_ROWS = 65_536


def read_parquet(
    place: Place, declared: tuple[str, ...], findings: Findings, connection: duckdb.DuckDBPyConnection
) -> Iterator[pa.RecordBatch]:
    """The declared columns of one file as text. Raises Unusable for what is no whole Parquet file, and OSError."""
    with place.filesystem.open_input_file(place.path) as source:
        try:
            file = pq.ParquetFile(source, pre_buffer=False)  # or memory would grow with the file
            names = file.schema_arrow.names
            findings.saw(names)
            wanted = [name for name in declared if name in names]
            for batch in file.iter_batches(batch_size=_BATCH_ROWS, columns=wanted or names[:1]):
                yield as_text(connection, batch, declared)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError, duckdb.Error) as error:
            raise Unusable(f"{place.path}: not readable as Parquet: {str(error).splitlines()[0]}") from error
