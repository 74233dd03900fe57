"""docs/reference/tables.md, from perennial.store.schema."""

from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import Column, Table, UniqueConstraint
from sqlalchemy.dialects import postgresql

from perennial.config import load_model
from perennial.store import schema
from perennial.store.notices import tables as notices
from reference_pages.markdown import code, joined, table

EXAMPLE = Path(__file__).parents[2] / "include" / "models" / "flight_delay"
INTRODUCTION = """
# Tables

Every table in PostgreSQL. This page is generated from `include/perennial/store/schema.py` and
`include/perennial/store/notices/` by `make docs`; edit those, not the page. Tables of schema `perennial` are made by
the migrations. Those of schema `perennial_data` are made from a model's `model.yaml`, and gain a column when it gains a
feature.
"""
DIALECT = postgresql.dialect()  # type: ignore[no-untyped-call]  # SQLAlchemy's


def page() -> str:
    """The whole page as Markdown."""
    config = load_model(EXAMPLE)
    of_a_model = [schema.predictions_table(config), schema.labels_table(config)]
    return joined(
        INTRODUCTION,
        *(part for one in notices.metadata.sorted_tables for part in _section(one, str(one), frozenset())),
        *(
            part
            for one in of_a_model
            for part in _section(one, str(one).replace(config.model, "<model>"), frozenset(config.features))
        ),
    )


def _section(one: Table, title: str, features: frozenset[str]) -> Iterator[str]:
    yield f"## {code(title)}"
    doc = one.info.get("doc") or _of_model(one)
    yield f"{doc} Key: {', '.join(code(column.name) for column in one.primary_key)}."
    yield table(["column", "type", "null", "holds"], _rows(one, features))


def _of_model(one: Table) -> str:
    made = schema.predictions_table if one.name.endswith("__predictions") else schema.labels_table
    return str(made.__doc__).replace("``", "`").split("\n\n", maxsplit=1)[0]


def _rows(one: Table, features: frozenset[str]) -> Iterator[tuple[str, str, str, str]]:
    told = False
    for column in one.columns:
        if column.name not in features:
            yield code(column.name), _type(one, column), "yes" if column.nullable else "", _meaning(one, column)
        elif not told:
            told = True
            types = "float: DOUBLE PRECISION, int: BIGINT, bool: BOOLEAN, category: TEXT"
            yield "each feature, by its name", types, "yes", "as under `features` of `model.yaml`"


def _type(one: Table, column: Column[object]) -> str:
    written = column.type.compile(DIALECT)
    if one.name.endswith("__labels") and column.name == "label":
        return "DOUBLE PRECISION; TEXT for multiclass"
    return written


def _meaning(one: Table, column: Column[object]) -> str:
    constraints = [set(found.columns) for found in one.constraints if isinstance(found, UniqueConstraint)]
    return "; ".join(part for part in (column.doc or "", "unique" if {column} in constraints else "") if part)
