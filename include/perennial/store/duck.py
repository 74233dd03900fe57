"""DuckDB in the process, over Arrow: the one session, and SQLAlchemy Core in its dialect.

Every name is quoted where it has to be, every value is a parameter.
"""

from typing import Any

import duckdb
import pyarrow as pa
import sqlalchemy as sa
from sqlalchemy.engine.default import DefaultDialect
from sqlalchemy.sql import compiler


class _Compiler(compiler.SQLCompiler):
    def visit_try_cast(self, element: Any, **options: Any) -> str:
        """``TRY_CAST(value AS type)``, which SQLAlchemy writes for SQL Server only."""
        value = element.clause._compiler_dispatch(self, **options)
        kind = element.typeclause._compiler_dispatch(self, **options)
        return f"TRY_CAST({value} AS {kind})"


class _TypeCompiler(compiler.GenericTypeCompiler):
    def visit_datetime(self, type_: Any, **options: Any) -> str:  # noqa: ARG002
        """DuckDB's moment with a zone."""
        return "TIMESTAMPTZ"


class _Dialect(DefaultDialect):
    statement_compiler = _Compiler
    type_compiler_cls = _TypeCompiler
    supports_statement_cache = True


_DIALECT = _Dialect(paramstyle="numeric_dollar")


def session() -> duckdb.DuckDBPyConnection:
    """An in-process DuckDB that keeps nothing, fetches nothing and speaks UTC.

    >>> session().sql("SELECT current_setting('TimeZone')").fetchall()
    [('UTC',)]
    """
    connection = duckdb.connect(config={"threads": 2, "autoinstall_known_extensions": False, "memory_limit": "400MB"})
    connection.execute("SET TimeZone = 'UTC'; SET enable_progress_bar = false")
    return connection


def select(connection: duckdb.DuckDBPyConnection, query: sa.Select[Any], **tables: pa.Table) -> pa.Table:
    """The result of ``query`` over Arrow tables, each under its keyword.

    >>> table = sa.table("numbers", sa.column("what?"))
    >>> select(session(), sa.select(table).where(table.c["what?"] > 1), numbers=pa.table({"what?": [1, 2]})).to_pylist()
    [{'what?': 2}]
    """
    compiled = query.compile(dialect=_DIALECT, compile_kwargs={"render_postcompile": True})
    values = [compiled.params[name] for name in compiled.positiontup or ()]
    for name, table in tables.items():
        connection.register(name, table)
    try:
        return connection.sql(str(compiled), params=values).to_arrow_table()
    finally:
        for name in tables:
            connection.unregister(name)
