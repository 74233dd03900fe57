"""JSON Lines: blocks of bytes become an Arrow column of lines without a copy, DuckDB takes the lines apart."""

import json
from collections.abc import Iterator
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from perennial.ingest.delivery import MALFORMED, Findings, Unusable, conform
from perennial.ingest.files import BLOCK_BYTES, Digesting

LONGEST_LINE_BYTES = 64 << 20
_BOM = b"\xef\xbb\xbf"
_NEWLINE = 10
_BLANK = pa.array(["", "\n", "\r\n", "\r"])

_KEYS = "SELECT DISTINCT unnest(json_keys(line)) FROM lines"
_TAKE_APART = "SELECT unnest(json_transform(line, $1)) FROM lines"
_N_BAD = """
    SELECT count(*) FROM lines
    WHERE NOT coalesce(json_type(CASE WHEN json_valid(line) THEN line END) = 'OBJECT', false)
"""
_SORT_OUT = """
    SELECT line, coalesce(json_type(CASE WHEN json_valid(line) THEN line END) = 'OBJECT', false) AS good FROM lines
"""


def read_jsonl(
    stream: Digesting, name: str, declared: tuple[str, ...], findings: Findings, connection: duckdb.DuckDBPyConnection
) -> Iterator[pa.RecordBatch]:
    """The rows of one file in the staged schema. Raises Unusable for bytes that are not UTF-8 or an endless line."""
    for block in _whole_lines(stream, name):
        lines = _as_lines(block, name)
        if len(lines):
            yield _take_apart(lines, declared, findings, connection)


def _whole_lines(stream: Digesting, name: str) -> Iterator[bytes]:
    """Blocks that end where a line ends; the last one may lack its newline."""
    pending: list[bytes] = []
    n_pending = 0
    first = True
    while block := stream.read(BLOCK_BYTES):
        if first:
            block, first = block.removeprefix(_BOM), False
        cut = block.rfind(b"\n") + 1
        if cut:
            yield b"".join((*pending, block[:cut]))
            pending, n_pending = [], 0
        pending.append(block[cut:])
        n_pending += len(block) - cut
        if n_pending > LONGEST_LINE_BYTES:
            raise Unusable(f"{name}: a line of more than {LONGEST_LINE_BYTES >> 20} MB; is this JSON Lines?")
    if n_pending:
        yield b"".join(pending)


def _as_lines(block: bytes, name: str) -> pa.Array:
    """The lines of ``block`` that are not blank, as Arrow text over the same bytes. Raises Unusable for other encodings."""
    ends = np.flatnonzero(np.frombuffer(block, dtype=np.uint8) == _NEWLINE) + 1
    offsets = np.concatenate(([0], ends, [] if len(ends) and ends[-1] == len(block) else [len(block)])).astype(np.int32)
    lines = pa.StringArray.from_buffers(len(offsets) - 1, pa.py_buffer(offsets), pa.py_buffer(block))
    try:
        lines.validate(full=True)
    except pa.ArrowInvalid as error:
        raise Unusable(f"{name}: not UTF-8 ({error}); write the log in UTF-8") from error
    if np.diff(offsets).min() <= len("\r\n"):
        lines = lines.filter(pc.invert(pc.is_in(lines, value_set=_BLANK)))
    return lines


def _take_apart(
    lines: pa.Array, declared: tuple[str, ...], findings: Findings, connection: duckdb.DuckDBPyConnection
) -> pa.RecordBatch:
    """One row per line, in order; a line that is no JSON object goes to ``_malformed`` as it is."""
    connection.register("lines", pa.table({"line": lines}))
    if _scalar(connection, _N_BAD):
        sorted_out = connection.sql(_SORT_OUT).to_arrow_table()
        good = sorted_out.column("good").combine_chunks()
        kept = pc.if_else(good, lines, pa.scalar("{}"))
        malformed = pc.if_else(good, pa.scalar(None, pa.string()), lines)
        connection.register("lines", pa.table({"line": kept}))
        any_good = bool(pc.any(good).as_py())
    else:
        malformed, any_good = None, True
    if any_good:
        findings.saw(key for (key,) in connection.sql(_KEYS).fetchall())
    structure = json.dumps(dict.fromkeys(declared, "VARCHAR"))
    rows = connection.sql(_TAKE_APART, params=[structure]).to_arrow_table()
    if malformed is not None:
        rows = rows.append_column(MALFORMED, malformed)
    return conform(rows, declared)


def _scalar(connection: duckdb.DuckDBPyConnection, query: str) -> Any:
    ((value,),) = connection.sql(query).fetchall()
    return value
