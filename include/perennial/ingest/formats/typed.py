"""JSON Lines as programs write them, by pyarrow's reader: every key of one type throughout a block, numbers as numbers.

The first records of a block say which keys there are and what they hold. A record that is otherwise (another type, a
key twice, no record at all) is left to the reader that takes every kind of line. So is a whole block with more than a
few of them, or with one that pyarrow does not point at: an unknown key, a number that a float does not hold to the last
digit.
"""

import json
import re
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as pajson

from perennial.contracts import number_of
from perennial.ingest.formats.staged import Numbers

FIRST = 16
"""So many records of a block say what to expect of it."""
_MOST_KEYS = 1_000
_MOST_REFUSED, _TRIED_AGAIN = 3, 16
_LINES_FOR_ONE_OTHER = 512
_ROW = re.compile(r" in row (\d+)$")
_EXACT = 2.0**53
_NEWLINE, _RETURN, _OPENING, _CLOSING = b"\n\r{}"
_KINDS: Mapping[type, pa.DataType] = {str: pa.string(), bool: pa.bool_(), int: pa.int64(), float: pa.float64()}


@dataclass(frozen=True, slots=True)
class Expected:
    """The keys of a block: ``schema`` says their types, ``seen`` are those of its first records."""

    schema: pa.Schema
    seen: frozenset[str]


@dataclass(frozen=True, slots=True)
class Piece:
    """The lines of a block from ``first`` on and before ``last``: their ``rows`` (some columns of the staged schema),
    or None for one line that is otherwise."""

    first: int
    last: int
    rows: pa.Table | None


@dataclass(slots=True)
class Layout:
    """What the records of one file hold, as far as it was seen; ``declared`` are the columns that are staged."""

    declared: tuple[str, ...]
    numbers: Numbers
    kinds: dict[str, pa.DataType] = field(default_factory=dict)
    n_blocks: int = 0
    n_refused_in_a_row: int = 0

    def expect(self, lines: pa.Array) -> Expected | None:
        """What the first of these lines, and those before them, let expect; None when it is nothing of use.

        After three refused blocks in a row only one in sixteen is looked at.

        >>> layout = Layout(("id", "hue"), {"hue": pa.float64()})
        >>> layout.expect(pa.array(['{"id": 7, "hue": null, "note": true}', '{"hue": 1}'])).schema.types
        [DataType(int64), DataType(double), DataType(bool)]
        >>> layout.expect(pa.array(['{"id": 7.5}'])) is None
        True
        """
        self.n_blocks += 1
        if self.n_refused_in_a_row >= _MOST_REFUSED and self.n_blocks % _TRIED_AGAIN:
            return None
        seen: set[str] = set()
        kinds = dict(self.kinds)
        try:
            for line in lines.slice(0, FIRST).to_pylist():
                record = json.loads(line)
                if not isinstance(record, dict):
                    return None
                seen.update(record)
                kinds.update((key, self._kind(key, value, kinds)) for key, value in record.items() if value is not None)
            declared = {name: self.numbers.get(name, pa.string()) for name in self.declared}
            schema = pa.schema({**declared, **{key: pa.null() for key in seen.difference(declared)}, **kinds})
        except (ValueError, LookupError, RecursionError):  # no JSON, or a value of no plain kind
            return None
        if len(schema) > _MOST_KEYS:
            return None
        self.kinds = kinds
        return Expected(schema, frozenset(seen))

    def _kind(self, key: str, value: Any, kinds: Mapping[str, pa.DataType]) -> pa.DataType:
        """What to read a key as. Raises LookupError for a value that has to be read by another reader."""
        kind = _KINDS[type(value)]
        if key in self.numbers:
            before = kinds.get(key)  # some fraction in a whole number: read as it is, and looked at afterwards
            kind = self.numbers[key] if kind == pa.int64() else kind
            return max(kind, before or kind, key=(pa.string(), pa.bool_(), pa.int64(), pa.float64()).index)
        if kind == pa.float64() and key in self.declared:
            raise LookupError(f"{key}: 7.0 and 7 are different texts")
        return pa.float64() if kind == pa.int64() and key not in self.declared else kind


def read_typed(block: bytes, offsets: npt.NDArray[np.int32], schema: pa.Schema, layout: Layout) -> list[Piece] | None:
    """The lines of ``block``, which begin at ``offsets[:-1]``, in order; None when the block is refused.

    >>> layout = Layout(("id", "hue"), {"hue": pa.float64()})
    >>> schema = pa.schema([("id", pa.int64()), ("hue", pa.float64())])
    >>> (piece,) = read_typed(b'{"id": 7, "hue": 1.5}', np.array([0, 21], np.int32), schema, layout)
    >>> piece.rows.to_pylist()
    [{'id': '7', '_number:hue': 1.5}]
    >>> (piece,) = read_typed(b'{"id": 7, "hue": 7}', np.array([0, 19], np.int32), schema, layout)
    >>> piece.rows.to_pylist()
    [{'id': '7', 'hue': '7', '_number:hue': 7.0}]
    >>> read_typed(b'{"id": 7, "hue": 1.5, "hue": 2}', np.array([0, 31], np.int32), schema, layout) is None
    True
    """
    n_lines = len(offsets) - 1
    n_left = n_lines // _LINES_FOR_ONE_OTHER
    others = np.flatnonzero(~_between_braces(np.frombuffer(block, dtype=np.uint8), offsets)).tolist()
    ends, first = deque([*others, n_lines]), 0
    pieces: list[Piece] = []
    n_left -= len(others)
    while ends and n_left >= 0:
        last = ends.popleft()
        rows = _read(block, offsets[first : last + 1], schema, layout) if first < last else None
        if isinstance(rows, int):
            ends.extendleft([last, first + rows])
            n_left -= 1
            continue
        if first < last:
            if rows is None:
                return None
            pieces.append(Piece(first, last, rows))
        if last < n_lines:
            pieces.append(Piece(last, last + 1, None))
        first = last + 1
    return None if ends else pieces


def _read(block: bytes, offsets: npt.NDArray[np.int32], schema: pa.Schema, layout: Layout) -> pa.Table | int | None:
    """The rows of some lines between braces; or the number of the first one that is otherwise; or None."""
    start, end, n_lines = int(offsets[0]), int(offsets[-1]), len(offsets) - 1
    try:
        rows = pajson.read_json(
            pa.BufferReader(pa.py_buffer(block).slice(start, end - start)),
            read_options=pajson.ReadOptions(use_threads=False, block_size=end - start + 1),
            parse_options=pajson.ParseOptions(explicit_schema=schema, unexpected_field_behavior="error"),
        )
        if rows.num_rows != n_lines or not all(_exact(rows.column(name)) for name in layout.numbers):
            return None
        lines = pa.StringArray.from_buffers(n_lines, pa.py_buffer(np.ascontiguousarray(offsets)), pa.py_buffer(block))
        staged = (_staged(name, rows.column(name), layout.numbers, lines) for name in layout.declared)
        return pa.table(dict(chain.from_iterable(staged)))
    except pa.ArrowInvalid as error:
        named = _ROW.search(str(error))
        return int(named.group(1)) if named and int(named.group(1)) < n_lines else None


def _between_braces(text: npt.NDArray[np.uint8], offsets: npt.NDArray[np.int32]) -> npt.NDArray[np.bool_]:
    """True for each line that begins with a brace and ends with one.

    As no text in JSON holds a line break, such lines hold one object each when there are as many objects as lines.
    """
    last = offsets[1:] - 1
    last = last - (text[last] == _NEWLINE)
    last = last - (text[last] == _RETURN)
    between: npt.NDArray[np.bool_] = (text[offsets[:-1]] == _OPENING) & (text[last] == _CLOSING)
    return between


def _exact(values: pa.ChunkedArray) -> bool:
    """False for infinities, and for numbers so large that a float drops digits of them."""
    if values.type != pa.float64():
        return True
    ends = pc.min_max(values)
    low, high = ends["min"].as_py(), ends["max"].as_py()
    return low is None or not (low <= -_EXACT or high >= _EXACT)


def _staged(
    name: str, values: pa.ChunkedArray, numbers: Numbers, lines: pa.StringArray
) -> Iterator[tuple[str, pa.ChunkedArray]]:
    """The column in the staged schema: its numbers, and its text where there is one.

    Raises ArrowInvalid for 700.5 where a whole number belongs.
    """
    if name not in numbers or values.type not in (pa.int64(), pa.float64()):
        yield name, values.cast(pa.string())
        return
    if values.type == pa.float64() and (text := _otherwise_written(name, values, numbers[name], lines)) is not None:
        yield name, text
    yield number_of(name), values.cast(numbers[name])


def _otherwise_written(
    name: str, values: pa.ChunkedArray, kind: pa.DataType, lines: pa.StringArray
) -> pa.ChunkedArray | None:
    """The text of whole numbers that ``kind`` would show otherwise: a float logged as 7, a whole number as 7.0.

    No text in JSON holds a quote without a backslash before it, so that the key is found nowhere else.
    """
    whole = pc.equal(pc.floor(values), values)
    if not pc.any(whole).as_py():
        return None
    key = "|".join(re.escape(json.dumps(name, ensure_ascii=ascii_)) for ascii_ in (False, True))
    plain = pc.match_substring_regex(lines, rf"[{{,]\s*(?:{key})\s*:\s*-?[0-9]+\s*[,}}]")
    shown = pc.if_else(pc.and_(whole, plain if kind == pa.float64() else pc.invert(plain)), values, None)
    text = shown.cast(pa.int64()).cast(pa.string())
    return text if kind == pa.float64() else pc.binary_join_element_wise(text, ".0", "")
