"""Numbers that were staged as numbers, beside the text of the same column: read as the model declares them today."""

from typing import Any

import duckdb
import pyarrow as pa
import sqlalchemy as sa

from perennial.contracts import number_of
from perennial.store.duck import select
from perennial.validation.casts.casting import ARROW, Field, Kind, numbers_in

_PREFIX = number_of("")


def with_numbers(chunk: pa.Table, columns: tuple[Field, ...], connection: duckdb.DuckDBPyConnection) -> pa.Table:
    """``chunk`` with the columns of numbers that :func:`casting.cast_query` reads, and no other ones.

    Of those that its source had no use for, or that are older than such columns, all is null. Numbers of a column that
    was declared otherwise when it was staged are text, as those of any other source are.

    >>> from perennial.store.duck import session
    >>> with_numbers(pa.table({"Hue": ["1.5"]}), (Field("hue", "Hue", "float"),), session()).to_pylist()
    [{'Hue': '1.5', '_number:Hue': None}]
    >>> staged = pa.table({"Hue": pa.nulls(1, pa.string()), "_number:Hue": [1.5]})
    >>> with_numbers(staged, (Field("hue", "Hue", "text"),), session()).to_pylist()
    [{'Hue': '1.5'}]
    """
    declared: dict[str, set[pa.DataType]] = {}
    for column in columns:
        declared.setdefault(number_of(column.delivered or ""), set()).add(ARROW[column.kind])
    staged = [one for one in chunk.schema if one.name.startswith(_PREFIX) and one.type in (pa.float64(), pa.int64())]
    chunk = as_text(chunk, tuple(_field(one) for one in staged if declared.get(one.name) != {one.type}), connection)
    for column in numbers_in(columns):
        name = number_of(str(column.delivered))
        if name not in chunk.schema.names:
            chunk = chunk.append_column(name, pa.nulls(chunk.num_rows, ARROW[column.kind]))
    return chunk


def _field(staged: pa.Field) -> Field:
    kind: Kind = "int" if staged.type == pa.int64() else "float"
    name = staged.name.removeprefix(_PREFIX)
    return Field(name, name, kind)


def as_text(chunk: pa.Table, columns: tuple[Field, ...], connection: duckdb.DuckDBPyConnection) -> pa.Table:
    """``chunk`` with the numbers of ``columns`` as text, and without the columns that they were staged in."""
    if not numbers_in(columns):
        return chunk
    texts = select(connection, text_query(columns), chunk=chunk)
    for name in texts.schema.names:
        chunk = chunk.set_column(chunk.schema.get_field_index(name), name, texts.column(name))
    return chunk.drop_columns([number_of(name) for name in texts.schema.names])


def text_query(columns: tuple[Field, ...]) -> sa.Select[Any]:
    """Over a table ``chunk`` like that of :func:`casting.cast_query`: of the columns that are numbers, the text they
    came as. A number of JSON is written as DuckDB writes it: ``1.50`` as 1.5.

    >>> from perennial.store.duck import select, session
    >>> chunk = pa.table({"hue": ["red", "7", None, None], "_number:hue": [None, 7.0, 7.0, float("nan")]})
    >>> select(session(), text_query((Field("hue", "hue", "float"),)), chunk=chunk).column("hue").to_pylist()
    ['red', '7', '7.0', 'NaN']
    """
    numbers = numbers_in(columns)
    names = [name for column in numbers for name in (str(column.delivered), number_of(str(column.delivered)))]
    chunk = sa.table("chunk", *(sa.column(name) for name in dict.fromkeys(names)))
    texts = {}
    for column in numbers:
        number = chunk.c[number_of(str(column.delivered))]
        text: sa.ColumnElement[Any] = sa.cast(number, sa.Text)
        if column.kind == "float":
            text = sa.case((sa.func.isnan(number), sa.literal("NaN")), else_=text)
        texts[column.delivered] = sa.func.coalesce(chunk.c[str(column.delivered)], text)
    return sa.select(*(text.label(name) for name, text in texts.items()))
