"""Columns of a chunk that need no cast: numbers that were staged as numbers, moments as programs write them.

Most columns of a JSON log are of this kind in every chunk, and taking one as it is costs a fiftieth of its cast.
Whether a column is, is asked of all its values at once: one is otherwise, and the SQL of :mod:`casting` reads them.
"""

import pyarrow as pa
import pyarrow.compute as pc

from perennial.config import ERROR
from perennial.contracts import Window, number_of
from perennial.validation.casts.casting import ANSWERS, ARROW, Field

_SHORTEST_MOMENT = len("2024-01-01T05:06:07Z")
"""Of texts as long as this Arrow takes none for a moment that the cast takes for another one, or for none."""


def plain_values(chunk: pa.Table, columns: tuple[Field, ...], window: Window) -> dict[str, pa.ChunkedArray]:
    """The typed values of the columns in which every row has what its cast would make of it, and no fault.

    ``chunk`` is what :func:`casting.cast_query` reads.

    >>> from datetime import UTC, datetime
    >>> day = Window(start=datetime(2024, 1, 1, tzinfo=UTC), end=datetime(2024, 1, 2, tzinfo=UTC))
    >>> hue = Field("hue", "Hue", "float")
    >>> chunk = pa.table({"Hue": pa.nulls(2, pa.string()), "_number:Hue": [1.5, None]})
    >>> plain_values(chunk, (hue,), day)["hue"].to_pylist()
    [1.5, None]
    >>> plain_values(chunk.set_column(0, "Hue", pa.array(["7", None])), (hue,), day)
    {}
    """
    found: dict[str, pa.ChunkedArray] = {}
    may_fail = any(column.name == ERROR for column in columns)
    for column in columns:
        values = None
        if column.delivered is not None and column.kind in ("float", "int"):
            values = _numbers(chunk.column(column.delivered), chunk.column(number_of(column.delivered)))
        if column.delivered is not None and column.kind == "moment":
            values = _moments(chunk.column(column.delivered), window, since_any=column.name == "labelled_at")
        if may_fail and column.name in ANSWERS and values is not None and values.null_count:
            values = None  # whether one may be missing is asked of its row
        if values is not None:
            found[column.name] = values
    return found


def _numbers(texts: pa.ChunkedArray, numbers: pa.ChunkedArray) -> pa.ChunkedArray | None:
    if texts.null_count < len(texts):
        return None
    finite = numbers.type == pa.int64() or pc.all(pc.is_finite(numbers), min_count=0).as_py()
    return numbers if finite else None


def _moments(texts: pa.ChunkedArray, window: Window, *, since_any: bool) -> pa.ChunkedArray | None:
    shortest = pc.min(pc.binary_length(texts)).as_py()
    if shortest is None or shortest < _SHORTEST_MOMENT:
        return None
    try:
        moments = texts.cast(ARROW["moment"])
    except pa.ArrowInvalid:
        return None
    ends = pc.min_max(moments)
    inside = ends["max"].as_py() < window.end and (since_any or ends["min"].as_py() >= window.start)
    return moments if inside else None
