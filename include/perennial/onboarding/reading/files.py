"""A file as a history: its rows as DuckDB reads them, its columns under the names that stand in it."""

import csv
import gzip
import io
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from perennial.errors import ConfigError, first_of
from perennial.store.duck import session

MOST_ROWS = 1_000_000
_READERS = {".csv": "read_csv", ".tsv": "read_csv", ".parquet": "read_parquet", ".jsonl": "read_json",
            ".ndjson": "read_json"}  # fmt: skip
_HEADER_BYTES = 1 << 20
_SEPARATORS = ",;\t|"


def read_table(path: Path) -> pa.Table:
    """The first ``MOST_ROWS`` rows of a .csv, .tsv, .parquet, .jsonl or .ndjson file. Raises ConfigError."""
    suffix = Path(path.name.removesuffix(".gz")).suffix.lower()
    if suffix not in _READERS:
        raise ConfigError(f"{path}: one of {', '.join(_READERS)} is expected, by the end of its name")
    if not path.is_file():
        raise ConfigError(f"{path}: no such file")
    reader = _READERS[suffix]
    connection = session()
    try:
        # every row is looked at before types are chosen: the first thousand seldom hold what spoils a column
        options: dict[str, Any] = {"sample_size": -1} if reader != "read_parquet" else {}
        relation = getattr(connection, reader)(str(path), **options)
        table: pa.Table = relation.limit(MOST_ROWS).to_arrow_table()
        of_several_types = [i for i, kind in enumerate(relation.types) if str(kind) == "JSON"]
    except Exception as error:
        raise ConfigError(f"{path}: not readable as a table: {str(error).splitlines()[0]}") from None
    if not table.num_rows:
        raise ConfigError(f"{path}: holds no row")
    for i in of_several_types:
        table = table.set_column(i, table.column_names[i], without_quotes(table[i]))
    return table.rename_columns(_as_logged(path, reader, table.column_names))


def without_quotes(values: pa.ChunkedArray) -> pa.ChunkedArray:
    """A column in which records differ in type, as text: a number and the text that holds it are the same value.

    >>> without_quotes(pa.chunked_array([['"7"', "7", "true", None, '{"a": 1}']])).to_pylist()
    ['7', '7', 'true', None, '{"a": 1}']
    """
    coded = pa.chunked_array([values.combine_chunks()]).dictionary_encode().combine_chunks()
    said = [json.loads(one) if one.startswith('"') else one for one in coded.dictionary.to_pylist()]
    return pa.chunked_array([pa.array(said, pa.string()).take(coded.indices)])


def _as_logged(path: Path, reader: str, found: Sequence[str]) -> list[str]:
    """The names in the file, where DuckDB, to which ``Qty`` and ``qty`` are one, numbered the second, or left quotes
    behind a byte order mark."""
    if reader == "read_parquet":
        names = list(pq.read_schema(path).names)
    else:
        names = _header(path, len(found)) if reader == "read_csv" else list(found)
    logged = [
        theirs if re.fullmatch(rf'"?{re.escape(theirs)}"?(_\d+)?', ours) else ours
        for theirs, ours in zip(names, found, strict=True)
    ] if len(names) == len(found) else list(found)  # fmt: skip
    if twice := sorted({name for name in logged if logged.count(name) > 1}):
        raise ConfigError(
            f"{path}: {len(twice)} names stand over several columns ({first_of(twice)}): no log of your serving system "
            "could tell them apart; rename them there and here"
        )
    return logged


def _header(path: Path, n_columns: int) -> list[str]:
    """The first line of a file of separated values as its fields; empty where no separator gives as many."""
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
        head = file.read(_HEADER_BYTES).decode("utf-8-sig", errors="replace")
    for separator in _SEPARATORS:
        names = next(csv.reader(io.StringIO(head), delimiter=separator), [])
        if len(names) == n_columns:
            return names
    return []
