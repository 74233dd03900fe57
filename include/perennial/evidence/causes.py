"""What rows are in quarantine for: their reasons without the values, counted, so that equal causes stand together."""

from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass

import pyarrow as pa

from perennial.store.duck import session

QUARANTINE = pa.schema([("row_number", pa.int64()), ("reason", pa.string()), ("raw", pa.string())])
LONGEST_RAW = 200
MOST_CAUSES = 5

# The reasons are written by the casts, the rules and the publication; a value in them is quoted, or stands at the end.
_COUNT = r"""
    WITH causes AS (
        SELECT row_number, reason, raw, unnest(list_distinct(CASE
            WHEN contains(reason, ', delivered again as ') THEN list_transform(
                regexp_extract_all(reason, '(?s)(^|; )([^:;]+): published ', 2),
                lambda name: concat(name, ': delivered again with another value')
            )
            WHEN contains(reason, ': conflicting values for one id in one delivery: ')
                THEN [concat(split_part(reason, ': ', 1), ': conflicting values for one id in one delivery')]
            ELSE string_split(
                regexp_replace(regexp_replace(regexp_replace(regexp_replace(reason,
                    '(?s): ''.*?'' (is no |is neither |carries no |lies )', ': \1', 'g'),
                    'lies outside the window \[[^)]*\)', 'lies outside the window', 'g'),
                    'lies in the future, not before [-+:0-9.T]*', 'lies in the future', 'g'),
                    ': \d+ characters where', ': characters where', 'g'),
                '; '
            )
        END)) AS cause
        FROM rows
    )
    SELECT
        cause,
        count(*) AS n_rows,
        arg_min({'row_number': row_number, 'reason': left(reason, $1), 'raw': left(raw, $1)}, row_number, $2)
            AS examples,
        count(*) OVER () AS n_causes
    FROM causes GROUP BY cause ORDER BY n_rows DESC, cause LIMIT $3
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class QuarantinedRow:
    """One row in quarantine; ``reason`` and ``raw`` are cut after 200 characters."""

    row_number: int
    reason: str
    raw: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """Why ``n_rows`` rows are in quarantine. A row with two faults counts under both."""

    cause: str
    n_rows: int
    examples: tuple[QuarantinedRow, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Causes:
    """The most frequent causes, and how many other ones there are."""

    first: tuple[Cause, ...] = ()
    n_more: int = 0

    def __str__(self) -> str:
        """For a reason: ``hue: missing (3 rows), ash: not finite (1 row) and 2 more causes``.

        >>> print(Causes(first=(Cause(cause="hue: missing", n_rows=3), Cause(cause="ash: not finite", n_rows=1))))
        hue: missing (3 rows), ash: not finite (1 row)
        """
        words = ", ".join(f"{one.cause} ({one.n_rows} row{'s' if one.n_rows != 1 else ''})" for one in self.first)
        return f"{words} and {self.n_more} more causes" if self.n_more else words


def within_limits(causes: Causes) -> str:
    """The reason of a batch that may be published.

    >>> within_limits(Causes()), within_limits(Causes(first=(Cause(cause="hue: missing", n_rows=1),)))
    ('within its limits', 'within its limits; in quarantine: hue: missing (1 row)')
    """
    return f"within its limits; in quarantine: {causes}" if causes.first else "within its limits"


def count_causes(rows: Iterable[pa.RecordBatch], *, most: int = MOST_CAUSES, n_examples: int = 0) -> Causes:
    """The causes of rows with ``row_number`` (int64), ``reason`` and ``raw`` (text), the most frequent ones first.

    ``n_examples`` rows with the lowest numbers illustrate each.

    >>> reasons = ["hue: '1_0' is no number; ash: missing", "hue: 'red; blue' is no number"]
    >>> batch = pa.record_batch({"row_number": [0, 1], "reason": reasons, "raw": ["a", "b"]})
    >>> print(count_causes([batch]))
    hue: is no number (2 rows), ash: missing (1 row)
    >>> count_causes([batch], most=1, n_examples=1).first[0].examples
    (QuarantinedRow(row_number=0, reason="hue: '1_0' is no number; ash: missing", raw='a'),)
    """

    def conforming() -> Iterator[pa.RecordBatch]:
        for one in rows:
            yield one.select(QUARANTINE.names).cast(QUARANTINE)

    with closing(session()) as connection:
        connection.register("rows", pa.RecordBatchReader.from_batches(QUARANTINE, conforming()))
        found = connection.sql(_COUNT, params=[LONGEST_RAW, max(n_examples, 1), most]).fetchall()
    first = tuple(
        Cause(cause=cause, n_rows=n, examples=tuple(QuarantinedRow(**example) for example in examples[:n_examples]))
        for cause, n, examples, _ in found
    )
    return Causes(first=first, n_more=found[0][3] - len(found) if found else 0)
