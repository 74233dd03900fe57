"""CSV: every declared column as text; ragged rows are kept for the quarantine."""

import csv
import io
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.csv as pacsv

from perennial.errors import first_of
from perennial.ingest.delivery import DeliveryFindings, UnusableDelivery
from perennial.ingest.files import BLOCK_BYTES, Digesting
from perennial.ingest.formats.staged import MALFORMED, conform

_BOM = b"\xef\xbb\xbf"


class _Chained:
    """The bytes already read, then the rest of the stream."""

    def __init__(self, head: bytes, stream: Digesting) -> None:
        self._head = io.BytesIO(head)
        self._stream = stream
        self.closed = False

    def read(self, n_bytes: int = -1) -> bytes:
        """Up to ``n_bytes`` more bytes; empty at the end."""
        return self._head.read(n_bytes) or self._stream.read(n_bytes)

    def readable(self) -> bool:
        """Always."""
        return True

    def close(self) -> None:
        """Nothing to give back."""
        self.closed = True


def read_csv(
    stream: Digesting, name: str, declared: tuple[str, ...], findings: DeliveryFindings
) -> Iterator[pa.RecordBatch]:
    """The rows of one file in the staged schema (all text); an empty field is null, a ragged row is ``_malformed``.

    Raises UnusableDelivery when it is no CSV in UTF-8.
    """
    head = stream.read(BLOCK_BYTES).removeprefix(_BOM)
    if not head.strip():
        return
    header = _header(head, name)
    findings.saw(header)
    ragged: list[str] = []

    def keep(row: Any) -> str:
        ragged.append(row.text if row.text is not None else f"{row.actual_columns} fields")
        return "skip"

    wanted = [column for column in declared if column in header]
    try:
        reader = pacsv.open_csv(
            pa.PythonFile(_Chained(head, stream), mode="r"),
            read_options=pacsv.ReadOptions(block_size=BLOCK_BYTES, use_threads=False),
            parse_options=pacsv.ParseOptions(newlines_in_values=True, invalid_row_handler=keep),
            convert_options=pacsv.ConvertOptions(
                include_columns=wanted or header[:1],
                column_types=dict.fromkeys(header, pa.string()),
                null_values=[""],
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,
            ),
        )
        for batch in reader:
            yield from _with_ragged(batch, declared, ragged)
        yield from _with_ragged(None, declared, ragged)
    except pa.ArrowInvalid as error:
        raise UnusableDelivery(f"{name}: not readable as CSV in UTF-8: {error}") from error


def _header(head: bytes, name: str) -> list[str]:
    try:  # by Python's own reader: a line break within quotes does not end the header
        records = csv.reader(io.TextIOWrapper(io.BytesIO(head), encoding="utf-8", newline=""), strict=True)
        names = next(record for record in records if record)
    except (csv.Error, UnicodeDecodeError) as error:
        raise UnusableDelivery(f"{name}: not readable as CSV in UTF-8: {error}") from error
    twice = sorted({column for column in names if names.count(column) > 1})
    if twice:
        raise UnusableDelivery(f"{name}: broken schema: columns {first_of(twice)} stand twice in the header")
    return names


def _with_ragged(
    batch: pa.RecordBatch | None, declared: tuple[str, ...], ragged: list[str]
) -> Iterator[pa.RecordBatch]:
    if batch is not None and batch.num_rows:
        yield conform(pa.table(batch), declared)
    if ragged:
        yield conform(pa.table({MALFORMED: pa.array(ragged, pa.string())}), declared)
        ragged.clear()
