"""One chunk of staged rows: cast, judged, and split into accepted and quarantined rows."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa

from perennial.store.causes import QUARANTINE
from perennial.store.duck import select
from perennial.validation.casting import MALFORMED, ROW_NUMBER, Field, typed_schema
from perennial.validation.expectations import Rule
from perennial.validation.judging import Tally, judge

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
    query: sa.Select[Any]
    rules: list[Rule]
    found: dict[int, Tally]
    connection: duckdb.DuckDBPyConnection
    n_type_errors: Counter[str] = field(default_factory=Counter)

    def sort(self, chunk: pa.Table, first_row: int) -> Sorted:
        """Cast, judge and split one chunk (the staged schema: text columns), whose first row is ``first_row``."""
        numbers = pa.array(np.arange(first_row, first_row + chunk.num_rows, dtype=np.int64))
        typed = select(self.connection, self.query, chunk=chunk.append_column(ROW_NUMBER, numbers))
        rows = typed.select(typed_schema(self.columns).names).cast(typed_schema(self.columns))
        used = [c.name for c in self.columns if any(c.name in rule.columns for rule in self.rules)]
        frame = rows.select(used or [ROW_NUMBER]).to_pandas()
        failed = list(judge(frame, self.rules, self.found))
        faults = typed.column("_faults")
        cast_at = np.flatnonzero(pc.is_valid(faults).to_numpy())
        self._count_type_errors(typed.column("_mistyped").take(cast_at), chunk.column(MALFORMED).take(cast_at))
        bad = np.zeros(chunk.num_rows, dtype=bool)
        bad[cast_at] = True
        for _, positions in failed:
            bad[positions] = True
        if not bad.any():
            return Sorted(rows, QUARANTINE.empty_table())
        reasons = self._reasons(typed, chunk, cast_at, failed)
        return Sorted(rows.filter(pa.array(~bad)), self._quarantined(chunk, np.flatnonzero(bad), numbers, reasons))

    def _count_type_errors(self, mistyped: pa.ChunkedArray, malformed: pa.ChunkedArray) -> None:
        names = pc.list_flatten(pc.split_pattern(mistyped.filter(pc.is_null(malformed)), ","))
        for entry in pc.value_counts(names):
            if name := entry["values"].as_py():
                self.n_type_errors[name] += entry["counts"].as_py()

    def _reasons(
        self,
        typed: pa.Table,
        chunk: pa.Table,
        cast_at: npt.NDArray[np.int64],
        failed: list[tuple[Rule, npt.NDArray[np.int64]]],
    ) -> pa.Array:
        """One text per bad row, in row order: its cast faults, then the rules it fails."""
        cast_faults = pa.table(
            {
                "position": pa.array(cast_at, pa.int64()),
                "reason": typed.column("_faults").take(cast_at),
                "mistyped": typed.column("_mistyped").take(cast_at),
                "otherwise": typed.column("_otherwise").take(cast_at),
                "malformed": pc.is_valid(chunk.column(MALFORMED).take(cast_at)),
            }
        )
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

    def _quarantined(
        self, chunk: pa.Table, bad_at: npt.NDArray[np.int64], numbers: pa.Array, reasons: pa.Array
    ) -> pa.Table:
        raw = chunk.take(bad_at)
        malformed = raw.column(MALFORMED)
        delivered = raw.drop_columns([MALFORMED]).combine_chunks().to_struct_array().combine_chunks()
        numbers = numbers.take(bad_at)
        bad = pa.table({"row_number": numbers, "reason": reasons, "malformed": malformed, "raw": delivered})
        self.connection.register("bad", bad)
        return self.connection.sql(_RAW).to_arrow_table().cast(QUARANTINE)
