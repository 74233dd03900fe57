"""JSON Lines: blocks of bytes become an Arrow column of lines without a copy, pyarrow reads those of like records, and
DuckDB takes apart what is left.
"""

import json
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from perennial.ingest.delivery import DeliveryFindings, UnusableDelivery
from perennial.ingest.files import BLOCK_BYTES, Digesting
from perennial.ingest.formats.staged import MALFORMED, NO_NUMBERS, Numbers, conform
from perennial.ingest.formats.typed import FIRST, Expected, Layout, Piece, read_typed

LONGEST_LINE_BYTES = 64 << 20
_N_READERS, _BLOCKS_AHEAD = 2, 3
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


@dataclass(frozen=True, slots=True)
class _Block:
    lines: pa.Array
    expected: Expected | None = None
    typed: Future[list[Piece] | None] | None = None


def read_jsonl(
    stream: Digesting,
    name: str,
    declared: tuple[str, ...],
    findings: DeliveryFindings,
    connection: duckdb.DuckDBPyConnection,
    *,
    numbers: Numbers = NO_NUMBERS,
) -> Iterator[pa.RecordBatch]:
    """The rows of one file in the staged schema; a line that is no JSON object, or has a key twice, is ``_malformed``.

    Two threads read blocks ahead. Raises UnusableDelivery for bytes that are not UTF-8, an endless line, or a record
    that is cut at the end.
    """
    layout = Layout(declared, numbers)
    ahead: deque[_Block] = deque()
    with ThreadPoolExecutor(_N_READERS) as readers:
        for text in _whole_lines(stream, name):
            _refuse_cut(text, name)
            block = _begin(text, name, layout, readers)
            if len(block.lines):
                ahead.append(block)
            if len(ahead) > _BLOCKS_AHEAD:
                yield from _finish(ahead.popleft(), layout, findings, connection)
        while ahead:
            yield from _finish(ahead.popleft(), layout, findings, connection)


def _begin(text: bytes, name: str, layout: Layout, readers: Executor) -> _Block:
    """Have the block read as one of like records, where it may be one. Raises UnusableDelivery for other than UTF-8."""
    lines, offsets = _as_lines(text, name)
    whole = len(lines) == len(offsets) - 1  # no blank line among them
    expected = layout.expect(lines) if whole and len(lines) else None
    if expected is None:
        return _Block(lines)
    return _Block(lines, expected, readers.submit(read_typed, text, offsets, expected.schema, layout))


def _finish(
    block: _Block, layout: Layout, findings: DeliveryFindings, connection: duckdb.DuckDBPyConnection
) -> Iterator[pa.RecordBatch]:
    """One row per line, in order; a line that is no record goes to ``_malformed`` as it is."""
    pieces = block.typed.result() if block.typed else None
    if pieces is None or block.expected is None:
        layout.n_refused_in_a_row += 1
        rows = _take_apart(block.lines, layout.declared, findings, connection)
        yield conform(rows, layout.declared, layout.numbers)
        return
    layout.n_refused_in_a_row = 0
    numbers = [piece.first for piece in pieces if piece.rows is None]
    _note_keys(block, block.expected, numbers, layout.declared, findings=findings, connection=connection)
    others = iter(())
    if numbers:
        apart = _take_apart(block.lines.take(pa.array(numbers)), layout.declared, findings, connection)
        others = iter(apart.slice(place, 1) for place in range(len(numbers)))
    for piece in pieces:
        rows = next(others) if piece.rows is None else piece.rows
        if rows.num_rows:
            yield conform(rows, layout.declared, layout.numbers)


def _note_keys(
    block: _Block,
    expected: Expected,
    others: list[int],
    declared: tuple[str, ...],
    *,
    findings: DeliveryFindings,
    connection: duckdb.DuckDBPyConnection,
) -> None:
    """Note the keys of the lines that are alike: those of the first ones, when none of these is among the others."""
    by_the_first = not others or others[0] >= FIRST
    if by_the_first:
        findings.saw(expected.seen)
    if not by_the_first or not findings.knows(declared):  # a column that no row has, or none of the first ones
        alike = np.delete(np.arange(len(block.lines)), others)
        connection.register("lines", pa.table({"line": block.lines.take(pa.array(alike))}))
        findings.saw(key for (key,) in connection.sql(_KEYS).fetchall())


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
            yield b"".join((*pending, memoryview(block)[:cut]))
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


def _as_lines(block: bytes, name: str) -> tuple[pa.Array, npt.NDArray[np.int32]]:
    """The lines of ``block`` that are not blank, as Arrow text over the same bytes, and where every line begins.

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
    return lines, offsets


def _take_apart(
    lines: pa.Array, declared: tuple[str, ...], findings: DeliveryFindings, connection: duckdb.DuckDBPyConnection
) -> pa.Table:
    """The rows of ``lines`` as text."""
    connection.register("lines", pa.table({"line": lines}))
    structure = json.dumps(dict.fromkeys(declared, "VARCHAR"))
    rows = _uniform(structure, findings, connection)
    return _line_by_line(lines, structure, findings, connection) if rows is None else rows


def _uniform(structure: str, findings: DeliveryFindings, connection: duckdb.DuckDBPyConnection) -> pa.Table | None:
    """The rows when every line is an object with the same keys in the same order, as a program writes them, or None."""
    try:
        ((keys,),) = connection.sql(_FIRST_KEYS).fetchall()
        if not keys or len(set(keys)) < len(keys):
            return None
        rows = connection.sql(_UNIFORM, params=[structure, keys]).to_arrow_table()
    except (duckdb.Error, UnicodeDecodeError):  # a malformed line among them, which the error may quote cut in a letter
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
