"""What is staged of a delivery: every column is text, whatever the source.

A staged batch has the declared columns as text under their delivered names, and ``_malformed``: the raw line where it
could not be taken apart (every other column is null then).
"""

import duckdb
import pyarrow as pa

MALFORMED = "_malformed"
INTERNAL = (MALFORMED, "_uniform", "_row_number")
_AS_TEXT = "SELECT CAST(COLUMNS(*) AS VARCHAR) FROM chunk"


def staged_schema(declared: tuple[str, ...]) -> pa.Schema:
    """Text columns, all nullable: the declared ones, then ``_malformed``.

    >>> staged_schema(("id", "hue")).names
    ['id', 'hue', '_malformed']
    """
    return pa.schema([pa.field(name, pa.string()) for name in (*declared, MALFORMED)])


def as_text(connection: duckdb.DuckDBPyConnection, chunk: pa.RecordBatch, declared: tuple[str, ...]) -> pa.RecordBatch:
    """``chunk`` (any columns of any type) in the staged schema: the declared columns as text, missing ones as nulls."""
    have = [name for name in declared if name in chunk.schema.names]
    if not have:
        return conform(pa.table({MALFORMED: pa.nulls(chunk.num_rows, pa.string())}), declared)
    connection.register("chunk", chunk.select(have))
    try:
        return conform(connection.sql(_AS_TEXT).to_arrow_table(), declared)
    finally:
        connection.unregister("chunk")


def conform(rows: pa.Table, declared: tuple[str, ...]) -> pa.RecordBatch:
    """``rows`` (text columns, some of the staged schema) in the staged schema; columns that are not there are nulls.

    >>> conform(pa.table({"hue": ["1.5"], "other": ["x"]}), ("id", "hue")).to_pylist()
    [{'id': None, 'hue': '1.5', '_malformed': None}]
    """
    schema = staged_schema(declared)
    have = set(rows.schema.names)
    columns = [
        rows.column(name).combine_chunks() if name in have else pa.nulls(rows.num_rows, pa.string())
        for name in schema.names
    ]
    arrays = [column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column for column in columns]
    return pa.RecordBatch.from_arrays([array.cast(pa.string()) for array in arrays], schema=schema)
