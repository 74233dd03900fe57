"""One chunk of staged rows: cast, judged, and split into accepted and quarantined rows."""

from collections import Counter
from dataclasses import dataclass, field

import duckdb
import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from perennial.contracts import Window
from perennial.evidence.causes import QUARANTINE
from perennial.store.duck import select
from perennial.validation.casts.casting import (
    CHUNK_NUMBER,
    MALFORMED,
    ROW_NUMBER,
    Field,
    cast_query,
    fault_query,
    typed_schema,
)
from perennial.validation.casts.numbers import as_text, with_numbers
from perennial.validation.casts.plain import plain_values
from perennial.validation.expectations import Rule
from perennial.validation.judging import RuleTally, judge

_REASONS = """
    WITH faults AS (
        SELECT position, 0 AS rank, reason FROM cast_faults
        UNION ALL
        SELECT f.position, f.rank, f.reason
        FROM row_faults AS f LEFT JOIN cast_faults AS c USING (position)
        WHERE NOT coalesce(c.malformed, false)
          AND NOT coalesce(list_contains(string_split(concat(c.mistyped, ',', c.otherwise), ','), f.column_name), false)
    )
    SELECT position, string_agg(reason, '; ' ORDER BY rank) AS reason FROM faults GROUP BY position ORDER BY position
"""
_RAW = """
    SELECT row_number, reason, coalesce(replace(malformed, chr(0), '\\u0000'), CAST(to_json(raw) AS VARCHAR)) AS raw
    FROM bad
"""


@dataclass(frozen=True, slots=True)
class Prepared:
    """One chunk before it is judged: as staged, cast (the typed schema), the positions of its ``faulty`` rows, and the
    frame of the columns that rules speak about."""

    chunk: pa.Table
    rows: pa.Table
    faulty: npt.NDArray[np.int64]
    frame: pd.DataFrame


@dataclass(slots=True)
class Sorted:
    """The outcome of one chunk.

    ``accepted`` has the typed schema, ``quarantined`` ``row_number`` (int64), ``reason`` and ``raw`` (text).
    """

    accepted: pa.Table
    quarantined: pa.Table


@dataclass(slots=True)
class Sorter:
    """What stays the same from chunk to chunk, and what is counted over them."""

    columns: tuple[Field, ...]
    window: Window
    binary_label: bool
    rules: list[Rule]
    found: dict[int, RuleTally]
    connection: duckdb.DuckDBPyConnection
    caster: duckdb.DuckDBPyConnection
    """A connection for :meth:`prepare` alone, which may run in a thread of its own."""
    n_type_errors: Counter[str] = field(default_factory=Counter)

    def prepare(self, chunk: pa.Table, first_row: int) -> Prepared:
        """Cast one chunk (the staged schema), whose first row is ``first_row``; touches nothing that ``sort`` does."""
        numbers = pa.array(np.arange(first_row, first_row + chunk.num_rows, dtype=np.int64))
        chunk = with_numbers(chunk.append_column(CHUNK_NUMBER, numbers), self.columns, self.caster)
        plain = plain_values(chunk, self.columns, self.window)
        others = tuple(column for column in self.columns if column.name not in plain)
        casts = cast_query(others, self.window, binary_label=self.binary_label)
        typed = select(self.caster, casts, chunk=chunk)
        schema = typed_schema(self.columns)
        values = {ROW_NUMBER: chunk.column(CHUNK_NUMBER), **plain}
        rows = pa.table({n: values[n] if n in values else typed.column(n) for n in schema.names}).cast(schema)
        used = [c.name for c in self.columns if any(c.name in rule.columns for rule in self.rules)]
        faulty = np.flatnonzero(typed.column("_faulty").to_numpy())
        return Prepared(chunk, rows, faulty, rows.select(used or [ROW_NUMBER]).to_pandas(split_blocks=True))

    def sort(self, prepared: Prepared) -> Sorted:
        """Judge one chunk and split it."""
        failed = list(judge(prepared.frame, self.rules, self.found))
        bad = np.zeros(prepared.rows.num_rows, dtype=bool)
        bad[prepared.faulty] = True
        for _, positions in failed:
            bad[positions] = True
        if not bad.any():
            return Sorted(prepared.rows, QUARANTINE.empty_table())
        words = fault_query(self.columns, self.window, binary_label=self.binary_label)
        cast_faults = select(self.connection, words, chunk=prepared.chunk.take(prepared.faulty))
        self._count_type_errors(cast_faults)
        cast_faults = cast_faults.append_column("position", pa.array(prepared.faulty, pa.int64()))
        reasons = self._reasons(cast_faults, failed)
        raw = as_text(prepared.chunk.take(np.flatnonzero(bad)), self.columns, self.connection)
        return Sorted(prepared.rows.filter(pa.array(~bad)), self._quarantined(raw, reasons))

    def _count_type_errors(self, cast_faults: pa.Table) -> None:
        """Count the columns that are mistyped; in a malformed line none is."""
        mistyped = cast_faults.column("mistyped").filter(pc.invert(cast_faults.column("malformed")))
        for entry in pc.value_counts(pc.list_flatten(pc.split_pattern(mistyped, ","))):
            if name := entry["values"].as_py():
                self.n_type_errors[name] += entry["counts"].as_py()

    def _reasons(self, cast_faults: pa.Table, failed: list[tuple[Rule, npt.NDArray[np.int64]]]) -> pa.Array:
        """One text per bad row, in row order: its cast faults, then the rules it fails."""
        parts = [
            pa.table(
                {
                    "position": pa.array(positions, pa.int64()),
                    "rank": pa.repeat(rule.key + 1, len(positions)).cast(pa.int64()),
                    "reason": pa.repeat(rule.fault, len(positions)),
                    "column_name": pa.repeat(rule.column or "", len(positions)),
                }
            )
            for rule, positions in failed
        ]
        empty = pa.schema(
            [("position", pa.int64()), ("rank", pa.int64()), ("reason", pa.string()), ("column_name", pa.string())]
        ).empty_table()
        self.connection.register("cast_faults", cast_faults)
        self.connection.register("row_faults", pa.concat_tables([empty, *parts]))
        return self.connection.sql(_REASONS).to_arrow_table().column("reason").combine_chunks()

    def _quarantined(self, raw: pa.Table, reasons: pa.Array) -> pa.Table:
        """Bad rows (the staged schema and ``_row_number``) with their reasons, in the schema of the quarantine."""
        delivered = raw.drop_columns([MALFORMED, CHUNK_NUMBER]).combine_chunks().to_struct_array().combine_chunks()
        columns = {"row_number": raw.column(CHUNK_NUMBER), "reason": reasons, "malformed": raw.column(MALFORMED)}
        self.connection.register("bad", pa.table({**columns, "raw": delivered}))
        return self.connection.sql(_RAW).to_arrow_table().cast(QUARANTINE)
