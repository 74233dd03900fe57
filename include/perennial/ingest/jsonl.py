"""JSON Lines: blocks of bytes become an Arrow column of lines without a copy, DuckDB takes the lines apart."""

import json
from collections.abc import Iterator

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from perennial.ingest.delivery import DeliveryFindings, UnusableDelivery
from perennial.ingest.files import BLOCK_BYTES, Digesting
from perennial.ingest.staged import MALFORMED, conform

LONGEST_LINE_BYTES = 64 << 20
_BOM = b"\xef\xbb\xbf"
_NEWLINE = 10
_FLAG = "_uniform"
_BLANK = pa.array(["", "\n", "\r\n", "\r"])

_FIRST_KEYS = "SELECT json_keys(line) FROM lines LIMIT 1"
_UNIFORM = "SELECT unnest(json_transform(line, $1)), json_keys(line) = $2 AS _uniform FROM lines"
_KEYS = "SELECT DISTINCT unnest(json_keys(line)) FROM lines"
_TAKE_APART = "SELECT unnest(json_transform(line, $1)) FROM lines"
_IS_RECORD = """
    SELECT
        coalesce(json_type(record) = 'OBJECT', false)
        AND len(json_keys(record)) = len(list_distinct(json_keys(record))) AS is_record
    FROM (SELECT CASE WHEN json_valid(line) THEN line END AS record FROM lines)
"""


def read_jsonl(
    stream: Digesting,
    name: str,
    declared: tuple[str, ...],
    findings: DeliveryFindings,
    connection: duckdb.DuckDBPyConnection,
) -> Iterator[pa.RecordBatch]:
    """The rows of one file in the staged schema (all text); a line that is no JSON object, or has
    a key twice, is ``_malformed``.

    Raises UnusableDelivery for bytes that are not UTF-8, an endless line, or a record that is cut at the end.
    """
    for block in _whole_lines(stream, name):
        _refuse_cut(block, name)
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
            raise UnusableDelivery(f"{name}: a line of more than {LONGEST_LINE_BYTES >> 20} MB; is this JSON Lines?")
    if n_pending:
        yield b"".join(pending)


def _refuse_cut(block: bytes, name: str) -> None:
    """A record that ends neither in a brace nor in a newline is still being written, or its upload broke off."""
    last = block[block.rfind(b"\n") + 1 :].strip()
    if not last.startswith(b"{"):
        return
    try:
        json.loads(last)
    except RecursionError:
        return
    except ValueError:
        raise UnusableDelivery(
            f"{name}: its last line is cut and has no newline; is it still being written, or did the upload break off?"
        ) from None


def _as_lines(block: bytes, name: str) -> pa.Array:
    """The lines of ``block`` that are not blank, as Arrow text over the same bytes.

    Raises UnusableDelivery for other bytes than UTF-8.
    """
    ends = np.flatnonzero(np.frombuffer(block, dtype=np.uint8) == _NEWLINE) + 1
    offsets = np.concatenate(([0], ends, [] if len(ends) and ends[-1] == len(block) else [len(block)])).astype(np.int32)
    lines = pa.StringArray.from_buffers(len(offsets) - 1, pa.py_buffer(offsets), pa.py_buffer(block))
    try:
        lines.validate(full=True)
    except pa.ArrowInvalid as error:
        raise UnusableDelivery(f"{name}: not UTF-8 ({error}); write the log in UTF-8") from error
    if np.diff(offsets).min() <= len("\r\n"):
        lines = lines.filter(pc.invert(pc.is_in(lines, value_set=_BLANK)))
    return lines


def _take_apart(
    lines: pa.Array, declared: tuple[str, ...], findings: DeliveryFindings, connection: duckdb.DuckDBPyConnection
) -> pa.RecordBatch:
    """One row per line, in order; a line that is no record goes to ``_malformed`` as it is."""
    structure = json.dumps(dict.fromkeys(declared, "VARCHAR"))
    connection.register("lines", pa.table({"line": lines}))
    rows = _uniform(structure, findings, connection)
    if rows is None:
        rows = _line_by_line(lines, structure, findings, connection)
    return conform(rows, declared)


def _uniform(structure: str, findings: DeliveryFindings, connection: duckdb.DuckDBPyConnection) -> pa.Table | None:
    """The rows when every line is an object with the same keys in the same order, as a program writes them, or None."""
    try:
        ((keys,),) = connection.sql(_FIRST_KEYS).fetchall()
        if not keys or len(set(keys)) < len(keys):
            return None
        rows = connection.sql(_UNIFORM, params=[structure, keys]).to_arrow_table()
    except duckdb.Error:  # a malformed line among them
        return None
    if not pc.all(rows.column(_FLAG)).as_py():
        return None
    findings.saw(keys)
    return rows.drop_columns([_FLAG])


def _line_by_line(
    lines: pa.Array, structure: str, findings: DeliveryFindings, connection: duckdb.DuckDBPyConnection
) -> pa.Table:
    """The rows of lines of any kind: what is no object, or has a key twice, is set aside before the rest is read."""
    good = connection.sql(_IS_RECORD).to_arrow_table().column("is_record").combine_chunks()
    connection.register("lines", pa.table({"line": pc.if_else(good, lines, "{}")}))
    rows = connection.sql(_TAKE_APART, params=[structure]).to_arrow_table()
    if pc.any(good).as_py():
        findings.saw(key for (key,) in connection.sql(_KEYS).fetchall())
    return rows.append_column(MALFORMED, pc.if_else(good, pa.scalar(None, pa.string()), lines))
