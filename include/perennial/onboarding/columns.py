"""The columns of an unfamiliar file: what each holds, under which plain name it can be declared."""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa

from perennial.config.consistency import RESERVED
from perennial.errors import ConfigError, first_of
from perennial.store.duck import select, session

MOST_CATEGORIES = 200
ODD_SHARE = 0.02
"""A column is a number (a moment) when no larger share of its values is something else."""
MISSING = ("", "-", "--", "?", "na", "n/a", "nan", "null", "none", "nil", "missing", "unknown", "#n/a")
_LONGEST = 42
"""Of a plain word; a name may have 48 letters, and a number is put behind the second of two."""
_DAYS = ("%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%d-%m-%Y", "%d %b %Y", "%b %d, %Y")
_FORMATS = tuple(f"{day}{clock}" for day in _DAYS for clock in (" %H:%M:%S", " %H:%M", ""))

_TRIED_ON = 200
_MOMENT = pa.timestamp("us", "UTC")

Kind = Literal["int", "float", "bool", "category", "time", "text", "empty"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column of a file: ``values`` (n rows) as read, and ``clean`` in the type of its kind, null where a value is
    missing or is none of that kind. ``n_odd`` values are there and of another kind."""

    logged: str
    name: str
    kind: Kind
    values: pa.ChunkedArray
    clean: pa.ChunkedArray
    n_odd: int = 0

    @property
    def n_distinct(self) -> int:
        """Different values, null not counted."""
        return int(pc.count_distinct(self.clean).as_py())

    @property
    def is_key(self) -> bool:
        """Whether every row has a value, and each another one."""
        return not self.clean.null_count and self.n_distinct == len(self.clean)


def columns_of(table: pa.Table) -> tuple[Column, ...]:
    """What the columns of a table hold, in its order."""
    names = plain_names(table.column_names)
    return tuple(_column(logged, name, table[logged]) for logged, name in zip(table.column_names, names, strict=True))


def plain(text: str) -> str:
    """A text as a plain word, as far as its letters allow; empty where they are of another script.

    >>> plain("Order Qty (EUR)"), plain("Größe"), plain("価格"), plain("2nd")
    ('order_qty_eur', 'grosse', '', 'c_2nd')
    """
    folded = unicodedata.normalize("NFKD", text.replace("ß", "ss")).encode("ascii", "ignore").decode().lower()
    word = re.sub(r"[^a-z0-9]+", "_", folded).strip("_")
    return (word if not word or word[0].isalpha() else f"c_{word}")[:_LONGEST]


def plain_names(logged: Sequence[str]) -> list[str]:
    """A plain name for each, none twice and none that is reserved.

    >>> plain_names(["Order Qty (EUR)", "order qty eur", "score", "価格"])
    ['order_qty_eur', 'order_qty_eur_2', 'score_2', 'column_4']
    """
    taken = set(RESERVED)
    found = []
    for number, text in enumerate(logged, 1):
        word = plain(text) or f"column_{number}"
        tries = (word if i == 1 else f"{word}_{i}" for i in range(1, len(logged) + 2))
        name = next(one for one in tries if one not in taken)
        taken.add(name)
        found.append(name)
    return found


def named(columns: Iterable[Column], wanted: str) -> Column:
    """The column with this name in the log. Raises ConfigError that says which there are."""
    found = {column.logged: column for column in columns}
    if wanted not in found:
        raise ConfigError(f"no column {wanted!r} in the file; there are {first_of(found, most=80)}")
    return found[wanted]


def _column(logged: str, name: str, values: pa.ChunkedArray) -> Column:
    if pa.types.is_dictionary(values.type):
        values = values.cast(values.type.value_type)
    clean, known = _typed(values)
    if known is not None:
        kind = known if clean.null_count < len(clean) else "empty"
        return Column(logged=logged, name=name, kind=kind, values=values, clean=clean)
    text = values.cast(pa.string())
    words = pc.is_in(pc.utf8_lower(pc.utf8_trim_whitespace(text)), pa.array(MISSING))
    text = pc.if_else(words, None, text)
    kind, clean = _meant(text)
    n_values = len(text) - text.null_count
    n_odd = n_values - (len(clean) - clean.null_count)
    return Column(logged=logged, name=name, kind=kind, values=text, clean=clean, n_odd=n_odd)


def _meant(text: pa.ChunkedArray) -> tuple[Kind, pa.ChunkedArray]:
    """What a column of texts holds, as far as nearly all of them agree, and their values."""
    n_values = len(text) - text.null_count
    if not n_values:
        return "empty", text
    whole, numbers = _numbers(text)
    tries: tuple[tuple[Kind, pa.ChunkedArray, float], ...] = (
        ("bool", _booleans(text), 0.0),
        ("int", whole, 0.0),
        ("float", numbers, ODD_SHARE),
        ("time", _moments(text), ODD_SHARE),
    )
    for kind, values, allowed in tries:
        if values.null_count - text.null_count <= allowed * n_values:
            return kind, values
    few = pc.count_distinct(text).as_py() <= min(MOST_CATEGORIES, n_values // 2)
    return ("category" if few else "text"), text


def _typed(values: pa.ChunkedArray) -> tuple[pa.ChunkedArray, Kind | None]:
    """The column in the type of its kind, where the file itself says which; else None, as text where it can be."""
    kind = values.type
    if pa.types.is_integer(kind) and not pa.types.is_uint64(kind):
        return values.cast(pa.int64()), "int"
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        numbers = values.cast(pa.float64(), safe=False)
        return pc.if_else(pc.is_finite(numbers), numbers, None), "float"
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        return _in_utc(values), "time"
    if pa.types.is_nested(kind) or pa.types.is_binary(kind):
        shown = pa.repeat("(not a plain value)", len(values))
        return pa.chunked_array([shown]), "text"
    return values, "bool" if pa.types.is_boolean(kind) else None


def _in_utc(moments: pa.ChunkedArray) -> pa.ChunkedArray:
    """Moments as timestamp[us, UTC], finer ones cut off; those without a zone are taken for UTC."""
    if pa.types.is_timestamp(moments.type) and moments.type.tz:
        return moments.cast(_MOMENT, safe=False)
    return pc.assume_timezone(moments.cast(pa.timestamp("us"), safe=False), "UTC")


def _booleans(text: pa.ChunkedArray) -> pa.ChunkedArray:
    lower = pc.utf8_lower(text)
    return pc.if_else(pc.is_in(lower, pa.array(["true", "false"])), pc.equal(lower, "true"), None)


def _numbers(text: pa.ChunkedArray) -> tuple[pa.ChunkedArray, pa.ChunkedArray]:
    """As whole numbers, and as numbers; null where a text is none."""
    value: sa.ColumnClause[str] = sa.column("value")
    query = sa.select(sa.try_cast(value, sa.BigInteger), sa.try_cast(value, sa.Double)).select_from(sa.table("texts"))
    found = select(session(), query, texts=pa.table({"value": text}))
    doubles = found.column(1)
    whole = pc.if_else(pc.match_substring_regex(text, r"^\s*[-+]?[0-9]+\s*$"), found.column(0), None)
    return whole, pc.if_else(pc.is_finite(doubles), doubles, None)


def _moments(text: pa.ChunkedArray) -> pa.ChunkedArray:
    """The moments that a text holds: ISO, or else whichever of a few forms most of it has; without a zone, in UTC."""
    value: sa.ColumnClause[str] = sa.column("value")
    tries = [sa.try_cast(value, sa.DateTime), *(sa.func.try_strptime(value, form) for form in _FORMATS)]

    def read(texts: pa.ChunkedArray, forms: Sequence[int]) -> pa.Table:
        query = sa.select(*(tries[i].label(f"as_{i}") for i in forms)).select_from(sa.table("texts"))
        return select(session(), query, texts=pa.table({"value": texts}))

    some = text.drop_null().slice(0, _TRIED_ON)
    tried = read(some, range(len(tries))).columns
    fitting = [i for i, column in enumerate(tried) if column.null_count <= ODD_SHARE * len(some)]
    if not fitting:
        return pa.chunked_array([pa.nulls(len(text), _MOMENT)])
    return _in_utc(min(read(text, fitting).columns, key=lambda one: one.null_count))
