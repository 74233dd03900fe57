"""What is staged of a delivery: every column is text, whatever the source, but for numbers that came as such.

A staged batch has the declared columns as text under their delivered names, and ``_malformed``: the raw line where it
could not be taken apart (every other column is null then). JSON also says what is a number: a declared number that came
as one stands in a column of its own (``number_of`` its name), and its text is null, unless the number would be shown
otherwise than it was logged: of a float logged as 7 both are staged.
"""

from collections.abc import Mapping
from types import MappingProxyType

import duckdb
import pyarrow as pa

from perennial.contracts import number_of

MALFORMED = "_malformed"
INTERNAL = (MALFORMED, "_uniform", "_row_number")
Numbers = Mapping[str, pa.DataType]
"""The type (float64 or int64) of the columns that are declared to be numbers, by their delivered names."""
NO_NUMBERS: Numbers = MappingProxyType({})
_AS_TEXT = "SELECT CAST(COLUMNS(*) AS VARCHAR) FROM chunk"


def staged_schema(declared: tuple[str, ...], numbers: Numbers = NO_NUMBERS) -> pa.Schema:
    """All nullable: the declared columns and ``_malformed`` as text, then the columns of the numbers.

    >>> staged_schema(("id", "hue"), {"hue": pa.float64()}).names
    ['id', 'hue', '_malformed', '_number:hue']
    """
    text = [pa.field(name, pa.string()) for name in (*declared, MALFORMED)]
    return pa.schema([*text, *(pa.field(number_of(name), kind) for name, kind in numbers.items())])


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


def conform(rows: pa.Table, declared: tuple[str, ...], numbers: Numbers = NO_NUMBERS) -> pa.RecordBatch:
    """``rows`` (some columns of the staged schema) in the staged schema; columns that are not there are nulls.

    >>> conform(pa.table({"hue": ["1.5"], "other": ["x"]}), ("id", "hue")).to_pylist()
    [{'id': None, 'hue': '1.5', '_malformed': None}]
    """
    schema = staged_schema(declared, numbers)
    have = set(rows.schema.names)
    columns = [
        rows.column(field.name).combine_chunks() if field.name in have else pa.nulls(rows.num_rows, field.type)
        for field in schema
    ]
    arrays = [column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column for column in columns]
    return pa.RecordBatch.from_arrays(
        [array.cast(field.type) for array, field in zip(arrays, schema, strict=True)], schema=schema
    )
