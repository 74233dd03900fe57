"""Text to types, by one SQL expression per column; what can not be cast is null and has a fault that says why.

A delivered text is never guessed at: ``1.7`` is no whole number, a moment without a zone is refused, NaN is null, and
an infinity is a fault.
"""

from dataclasses import dataclass
from typing import Any, Literal

import pyarrow as pa
import sqlalchemy as sa

from perennial.config import CAUSED, ERROR, LATENCY, MEMORY, ModelConfig
from perennial.contracts import SourceKind, Window, number_of

Kind = Literal["key", "text", "float", "int", "bool", "moment"]
MALFORMED = "_malformed"
ROW_NUMBER = "row_number"
CHUNK_NUMBER = "_row_number"
"""What a chunk calls the number of its rows: beside delivered names, of which one may well be ``row_number``."""
ANSWERS = ("score", "predicted")
LONGEST_KEY = 512
_SHOWN_CHARACTERS = 80
_ZONED = r"\d\d:\d\d.*([zZ]|[+-]\d\d(:?\d\d)?)$"
ARROW: dict[Kind, pa.DataType] = {
    "key": pa.string(),
    "text": pa.string(),
    "float": pa.float64(),
    "int": pa.int64(),
    "bool": pa.bool_(),
    "moment": pa.timestamp("us", tz="UTC"),
}


@dataclass(frozen=True, slots=True)
class Field:
    """One column of the published table. ``delivered`` is None when the delivery has no such column.

    ``unsaid`` is what stands there where the delivery says nothing.
    """

    name: str
    delivered: str | None
    kind: Kind
    nullable: bool = False
    unsaid: str | None = None


@dataclass(frozen=True, slots=True)
class Cast:
    """The value of a column, and its faults: null where there is none. A type fault counts as a type error."""

    value: sa.ColumnElement[Any]
    type_fault: sa.ColumnElement[Any]
    other_fault: sa.ColumnElement[Any]


def fields(config: ModelConfig, source: SourceKind) -> tuple[Field, ...]:
    """The columns of the model's published table, in its order, without ``batch_seq``.

    >>> from perennial.config import load_model
    >>> from perennial.settings import ROOT
    >>> [column.name for column in fields(load_model(ROOT / "tests/models/wine_cultivar"), "labels")]
    ['prediction_id', 'label', 'labelled_at']
    """
    delivered = config.delivered(source)
    if source == "labels":
        label: Kind = "text" if config.task == "multiclass" else "float"
        kinds: dict[str, tuple[Kind, bool]] = {
            "prediction_id": ("key", False),
            "label": (label, False),
            "labelled_at": ("moment", False),
        }
    else:
        features: dict[str, tuple[Kind, bool]] = {
            name: (feature.type if feature.type != "category" else "text", feature.nullable)
            for name, feature in config.features.items()
        }
        may_fail = ERROR in delivered
        declared: dict[str, tuple[Kind, bool]] = {
            LATENCY: ("float", True),
            MEMORY: ("float", True),
            ERROR: ("bool", True),
            CAUSED: ("bool", False),
        }
        kinds = {
            "prediction_id": ("key", False),
            "event_time": ("moment", False),
            **features,
            "score": ("float", may_fail),
            "predicted": ("text", "predicted" not in delivered or may_fail),
            "model_version": ("key", False),
            "role": ("key", False),
            **{name: declared[name] for name in config.operational},
        }
    unsaid = {"role": "shadow" if source == "shadow" else "champion"}
    return tuple(
        Field(name, delivered.get(name), kind, nullable, unsaid.get(name)) for name, (kind, nullable) in kinds.items()
    )


def typed_schema(columns: tuple[Field, ...]) -> pa.Schema:
    """``row_number`` and the typed columns: the schema of the accepted rows.

    >>> schema = typed_schema((Field("hue", "hue", "float"), Field("event_time", "at", "moment")))
    >>> [(column.name, str(column.type)) for column in schema]
    [('row_number', 'int64'), ('hue', 'double'), ('event_time', 'timestamp[us, tz=UTC]')]
    """
    return pa.schema([pa.field(ROW_NUMBER, pa.int64()), *(pa.field(c.name, ARROW[c.kind]) for c in columns)])


def numbers_in(columns: tuple[Field, ...]) -> list[Field]:
    """Those of ``columns`` that are numbers, and delivered."""
    return [column for column in columns if column.kind in ("float", "int") and column.delivered is not None]


def cast_query(columns: tuple[Field, ...], window: Window, *, binary_label: bool) -> sa.Select[Any]:
    """Over a table ``chunk`` (``_row_number`` and the staged columns): ``row_number``, the typed columns, and
    ``_faulty`` (bool), true where a row has a fault that :func:`fault_query` names.

    >>> from datetime import UTC, datetime
    >>> from perennial.store.duck import select, session
    >>> day = Window(start=datetime(2024, 1, 1, tzinfo=UTC), end=datetime(2024, 1, 2, tzinfo=UTC))
    >>> chunk = pa.table({"_row_number": range(3), "hue": ["1.5", "red", None], "_malformed": pa.nulls(3, pa.string())})
    >>> chunk = chunk.append_column("_number:hue", pa.array([None, None, 2.5]))
    >>> rows = select(session(), cast_query((Field("hue", "hue", "float"),), day, binary_label=False), chunk=chunk)
    >>> rows.select(["hue", "_faulty"]).to_pylist()
    [{'hue': 1.5, '_faulty': False}, {'hue': None, '_faulty': True}, {'hue': 2.5, '_faulty': False}]
    """
    chunk, casts = _casts(columns, window, binary_label=binary_label)
    faults = [fault.is_not(None) for cast in casts.values() for fault in (cast.type_fault, cast.other_fault)]
    return sa.select(
        chunk.c[CHUNK_NUMBER].label(ROW_NUMBER),
        *(cast.value.label(name) for name, cast in casts.items()),
        sa.or_(chunk.c[MALFORMED].is_not(None), *faults).label("_faulty"),
    )


def fault_query(columns: tuple[Field, ...], window: Window, *, binary_label: bool) -> sa.Select[Any]:
    """Over a table ``chunk`` like that of :func:`cast_query`, of faulty rows only, since the words cost as much as the
    casts: ``reason``, ``mistyped`` and ``otherwise`` (text: the names of the columns with a type fault and with another
    one), and ``malformed`` (bool).

    >>> from datetime import UTC, datetime
    >>> from perennial.store.duck import select, session
    >>> from perennial.validation.casts.numbers import with_numbers
    >>> day = Window(start=datetime(2024, 1, 1, tzinfo=UTC), end=datetime(2024, 1, 2, tzinfo=UTC))
    >>> columns = (Field("hue", "hue", "float"),)
    >>> chunk = pa.table({"_row_number": [1], "hue": ["red"], "_malformed": pa.nulls(1, pa.string())})
    >>> chunk = with_numbers(chunk, columns, session())
    >>> select(session(), fault_query(columns, day, binary_label=False), chunk=chunk).to_pylist()
    [{'reason': "hue: 'red' is no number", 'mistyped': 'hue', 'otherwise': '', 'malformed': False}]
    """
    chunk, casts = _casts(columns, window, binary_label=binary_label)
    line = chunk.c[MALFORMED]
    faults = [fault for cast in casts.values() for fault in (cast.type_fault, cast.other_fault)]
    mistyped = [sa.case((cast.type_fault.is_not(None), sa.literal(name))) for name, cast in casts.items()]
    otherwise = [sa.case((cast.other_fault.is_not(None), sa.literal(name))) for name, cast in casts.items()]
    return sa.select(
        sa.func.concat_ws("; ", sa.case((line.is_not(None), _why_malformed(line))), *faults).label("reason"),
        sa.func.concat_ws(",", *mistyped).label("mistyped"),
        sa.func.concat_ws(",", *otherwise).label("otherwise"),
        line.is_not(None).label("malformed"),
    )


def _casts(columns: tuple[Field, ...], window: Window, *, binary_label: bool) -> tuple[sa.TableClause, dict[str, Cast]]:
    delivered = {column.delivered for column in columns if column.delivered is not None}
    names = (CHUNK_NUMBER, MALFORMED, *delivered, *{number_of(str(column.delivered)) for column in numbers_in(columns)})
    chunk = sa.table("chunk", *(sa.column(name) for name in names))
    casts = {
        column.name: _cast(column, chunk, window, binary_label=binary_label and column.name == "label")
        for column in columns
    }
    if ERROR in casts:
        casts |= {c.name: _unless_failed(c, casts) for c in columns if c.name in ANSWERS and c.delivered is not None}
    return chunk, casts


def _unless_failed(column: Field, casts: dict[str, Cast]) -> Cast:
    """An answer that may be missing where the request was answered with an error, and nowhere else."""
    cast = casts[column.name]
    faultless = sa.and_(cast.type_fault.is_(None), cast.other_fault.is_(None))
    failed = sa.func.coalesce(sa.cast(casts[ERROR].value, sa.Integer), 0)
    lacking = sa.and_(cast.value.is_(None), faultless, failed == 0)
    missing = sa.case((lacking, sa.literal(f"{column.name}: missing")))
    return Cast(cast.value, cast.type_fault, sa.func.coalesce(cast.other_fault, missing))


def _why_malformed(line: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
    record = sa.case((sa.func.json_valid(line), line))
    keys = sa.func.json_keys(record)
    return sa.case(
        (
            sa.func.len(keys) > sa.func.len(sa.func.list_distinct(keys)),
            sa.literal("malformed: a key stands twice in one record"),
        ),
        else_=sa.literal("malformed: not a complete record of this format"),
    )


def _cast(column: Field, chunk: sa.TableClause, window: Window, *, binary_label: bool) -> Cast:
    nothing = sa.cast(sa.null(), sa.Text)
    if column.delivered is None:
        return Cast(sa.literal(column.unsaid) if column.unsaid else nothing, nothing, nothing)
    text = chunk.c[column.delivered]
    if column.kind == "float":
        return _number(column.name, text, chunk.c[number_of(column.delivered)], binary_label=binary_label)
    if column.kind == "int":
        return _whole_number(column.name, text, chunk.c[number_of(column.delivered)])
    if column.kind == "bool":
        value = _truth(text)
        return Cast(value, _type_fault(column.name, text, value.is_(None), "is neither true nor false"), nothing)
    if column.kind == "moment":
        return _timestamp(column.name, text, window)
    return _free_text(column, text)


def _type_fault(
    name: str, text: sa.ColumnElement[Any], fault: sa.ColumnElement[bool], words: str
) -> sa.ColumnElement[Any]:
    shown = sa.func.left(sa.func.replace(text, sa.func.chr(0), "\\u0000"), _SHOWN_CHARACTERS)
    message = sa.func.concat(name, ": '", shown, "' ", words)
    return sa.case((sa.and_(text.is_not(None), fault), message))


def _truth(text: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
    word = sa.func.lower(text)
    return sa.case((word.in_(["true", "1", "1.0"]), sa.true()), (word.in_(["false", "0", "0.0"]), sa.false()))


def _number(name: str, text: sa.ColumnElement[Any], number: sa.ColumnElement[Any], *, binary_label: bool) -> Cast:
    value: sa.ColumnElement[Any] = sa.func.coalesce(
        number, sa.case((_plain_digits(text), sa.try_cast(text, sa.Double)))
    )
    if binary_label:  # serving systems write a binary truth as a number or as a boolean
        value = sa.func.coalesce(value, sa.try_cast(sa.cast(_truth(text), sa.Integer), sa.Double))
    finite = sa.case((sa.func.isfinite(value), value))
    infinite = sa.case((sa.func.isinf(value), sa.literal(f"{name}: not finite")))
    return Cast(finite, _type_fault(name, text, value.is_(None), "is no number"), infinite)


def _plain_digits(text: sa.ColumnElement[Any]) -> sa.ColumnElement[bool]:
    """DuckDB takes 1_000 for a thousand, as Python does; a log that holds it holds no number."""
    return sa.not_(sa.func.contains(text, "_"))


def _whole_number(name: str, text: sa.ColumnElement[Any], integer: sa.ColumnElement[Any]) -> Cast:
    number = sa.case((_plain_digits(text), sa.try_cast(text, sa.Double)))
    whole = sa.case((sa.func.trunc(number) == number, sa.try_cast(text, sa.BigInteger)))
    infinite = sa.func.coalesce(sa.func.isinf(number), sa.false())
    missing = sa.func.coalesce(sa.func.isnan(number), sa.false())
    fault = sa.and_(whole.is_(None), sa.not_(missing), sa.not_(infinite))
    return Cast(
        sa.func.coalesce(integer, whole),
        _type_fault(name, text, fault, "is no whole number"),
        sa.case((infinite, sa.literal(f"{name}: not finite"))),
    )


def _timestamp(name: str, text: sa.ColumnElement[Any], window: Window) -> Cast:
    moment = sa.try_cast(text, sa.DateTime(timezone=True))
    zoned = sa.func.regexp_matches(text, _ZONED)
    value = sa.case((zoned, moment))
    unreadable = _type_fault(name, text, moment.is_(None), "is no moment in time (ISO 8601)")
    zoneless = _type_fault(name, text, sa.and_(moment.is_not(None), sa.not_(zoned)), "carries no time zone")
    start = sa.cast(sa.literal(window.start.isoformat()), sa.DateTime(timezone=True))
    end = sa.cast(sa.literal(window.end.isoformat()), sa.DateTime(timezone=True))
    if name == "labelled_at":
        outside, words = value >= end, f"lies in the future, not before {window.end.isoformat()}"
    else:
        outside = sa.or_(value < start, value >= end)
        words = f"lies outside the window [{window.start.isoformat()}, {window.end.isoformat()})"
    return Cast(value, sa.func.coalesce(unreadable, zoneless), _type_fault(name, text, outside, words))


def _free_text(column: Field, text: sa.ColumnElement[Any]) -> Cast:
    value = sa.func.coalesce(text, column.unsaid) if column.unsaid else text
    if column.name == "model_version":  # a program that keeps versions as floats writes 7.0 and means 7
        whole = sa.func.regexp_replace(text, r"^(\d+)\.0+$", r"\1")
        value = sa.case((sa.func.contains(text, "."), whole), else_=text)
    nul = sa.func.coalesce(sa.func.contains(text, sa.func.chr(0)), sa.false())
    fault: sa.ColumnElement[Any] = sa.case((nul, sa.literal(f"{column.name}: holds a NUL character")))
    if column.kind == "key":
        n_characters = sa.func.length(text)
        wrong = sa.or_(n_characters > LONGEST_KEY, n_characters == 0)
        size = sa.func.concat(f"{column.name}: ", n_characters, f" characters where 1 to {LONGEST_KEY} are allowed")
        fault = sa.func.coalesce(fault, sa.case((wrong, size)))
    clean = sa.case((fault.is_(None), value))
    return Cast(clean, sa.cast(sa.null(), sa.Text), fault)
