"""What a source delivered: staged rows are text, whatever the source, and problems are words, not exceptions.

A staged batch has the declared columns as text under their delivered names, and ``_malformed``: the raw line where it
could not be taken apart (every other column is null then).
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

import duckdb
import pyarrow as pa

from perennial.config import ModelConfig
from perennial.contracts import SourceKind
from perennial.errors import ConfigError, PermanentError, first_of

MALFORMED = "_malformed"
MOST_COLUMNS = 10_000
INTERNAL = (MALFORMED, "_uniform", "row_number")
_AS_TEXT = "SELECT CAST(COLUMNS(*) AS VARCHAR) FROM chunk"


class Unusable(PermanentError):
    """A delivery that can not be read to its end; becomes ``Batch.problem``."""


@dataclass(slots=True)
class Findings:
    """What reading found out besides the rows. ``present`` is None until a header or a well-formed row was seen."""

    digests: list[str] = field(default_factory=list)
    present: set[str] | None = None

    def saw(self, columns: Iterable[str]) -> None:
        """Note columns that the delivery has; a delivery with endless names is not remembered endlessly."""
        self.present = self.present or set()
        if len(self.present) < MOST_COLUMNS:
            self.present |= set(columns)

    def difference(self, declared: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Declared columns that no row has, and columns that nobody declared. Both empty when no row was seen."""
        if self.present is None:
            return (), ()
        missing = tuple(name for name in declared if name not in self.present)
        return missing, tuple(sorted(name.replace("\0", "\\u0000") for name in self.present - set(declared)))


def declared_columns(config: ModelConfig, source: SourceKind) -> tuple[str, ...]:
    """The delivered names of the columns that must be there. Raises ConfigError when two differ only by case."""
    names = tuple(dict.fromkeys(config.delivered(source).values()))
    if len({name.lower() for name in (*names, *INTERNAL)}) < len(names) + len(INTERNAL):
        raise ConfigError(
            f"{config.model}: columns {first_of(names, most=len(names))} of {source} differ only by case, "
            f"or one is called {first_of(INTERNAL)}; rename one in the log"
        )
    return names


def staged_schema(declared: tuple[str, ...]) -> pa.Schema:
    """Text columns, all nullable."""
    return pa.schema([pa.field(name, pa.string()) for name in (*declared, MALFORMED)])


def session() -> duckdb.DuckDBPyConnection:
    """An in-process DuckDB that keeps nothing, fetches nothing and speaks UTC."""
    connection = duckdb.connect(config={"threads": 2, "autoinstall_known_extensions": False, "memory_limit": "400MB"})
    connection.execute("SET TimeZone = 'UTC'")
    return connection


def as_text(connection: duckdb.DuckDBPyConnection, chunk: pa.RecordBatch, declared: tuple[str, ...]) -> pa.RecordBatch:
    """The declared columns of ``chunk`` as text, missing ones as nulls."""
    have = [name for name in declared if name in chunk.schema.names]
    if not have:
        return conform(pa.table({MALFORMED: pa.nulls(chunk.num_rows, pa.string())}), declared)
    connection.register("chunk", chunk.select(have))
    try:
        return conform(connection.sql(_AS_TEXT).to_arrow_table(), declared)
    finally:
        connection.unregister("chunk")


def conform(rows: pa.Table, declared: tuple[str, ...]) -> pa.RecordBatch:
    """``rows`` in the staged schema, columns that are not there as nulls."""
    schema = staged_schema(declared)
    have = set(rows.schema.names)
    columns = [
        rows.column(name).combine_chunks() if name in have else pa.nulls(rows.num_rows, pa.string())
        for name in schema.names
    ]
    arrays = [column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column for column in columns]
    return pa.RecordBatch.from_arrays([array.cast(pa.string()) for array in arrays], schema=schema)
