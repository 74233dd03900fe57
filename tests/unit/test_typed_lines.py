"""JSON Lines are read twice as fast where all records are alike: with the same rows as where they are not."""

import io
import json
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from perennial.contracts import number_of
from perennial.ingest.delivery import DeliveryFindings
from perennial.ingest.files import Digesting
from perennial.ingest.formats import jsonl
from perennial.ingest.formats import typed as typed_lines
from perennial.ingest.formats.staged import NO_NUMBERS, Numbers
from perennial.store.duck import session
from perennial.validation.casts.casting import Field
from perennial.validation.casts.numbers import as_text as texts_of

DECLARED = ("id", "hue", "proline", "cellar", "version")
NUMBERS = {"hue": pa.float64(), "proline": pa.int64()}
ROW: dict[str, Any] = {"id": "a", "hue": 1.5, "proline": 700, "cellar": "north", "version": 7}
FIELDS = (Field("hue", "hue", "float"), Field("proline", "proline", "int"))


def read(text: str, numbers: Numbers = NUMBERS) -> tuple[pa.Table, DeliveryFindings]:
    """The staged rows of a file, and what was found."""
    findings = DeliveryFindings()
    stream = Digesting(io.BytesIO(text.encode()))
    batches = list(jsonl.read_jsonl(stream, "a.jsonl", DECLARED, findings, session(), numbers=numbers))
    return pa.Table.from_batches(batches), findings


def as_text(rows: pa.Table) -> list[dict[str, Any]]:
    """Staged rows with numbers as the text they came as."""
    rows = texts_of(rows, FIELDS, session())
    found: list[dict[str, Any]] = rows.select([*DECLARED, "_malformed"]).to_pylist()
    return found


def lines_of(rows: list[dict[str, Any] | str]) -> str:
    return "".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows)


def n_typed(rows: pa.Table) -> int:
    """How many rows came with a number as a number."""
    return rows.num_rows - rows.column("_number:proline").null_count


ALIKE: dict[str, dict[str, Any]] = {
    "as declared": {},
    "a fraction": {"hue": -2.25},
    "NaN": {"hue": float("nan")},
    "null": {"hue": None, "cellar": None},
    "a missing key": {"cellar": ...},
    "unicode": {"cellar": "Würzburg \u2028 \0"},
    "a quoted brace": {"cellar": '}{"hue": 2}'},
    "a small number": {"hue": 5e-324},
    "a large number": {"hue": 4.5e15},
    "a large whole number": {"proline": 2**62},
    "a float without a fraction": {"hue": 7},
    "a float with a fraction of nothing": {"hue": 7.0},
    "a name that stands in a text": {"hue": 7.0, "cellar": '{"hue": 7, "hue'},
}

OTHER: dict[str, dict[str, Any] | str] = {
    "a text for a number": {"hue": "1_000"},
    "a truth for a number": {"hue": True},
    "a number for a text": {"cellar": 5},
    "a fraction for a whole number": {"proline": 700.5},
    "infinity": {"hue": float("-inf")},
    "digits that a float drops": {"hue": 12345678901234567890},
    "a fraction for a text": {"version": 7.5},
    "an unknown key": {"tint": 1},
    "a list": {"hue": [1]},
    "an object": {"cellar": {"hue": 1}},
    "a key twice": '{"id": "b", "hue": 1, "proline": 1, "hue": 2}',
    "two records in a line": '{"id": "b", "proline": 1}{"id": "c", "proline": 2}',
    "a record over two lines": '{"id": "b",\n"proline": 1}',
    "one over two lines, then two in a line": '{"id": "b",\n"proline": 1}\n{"proline": 1}{"proline": 2}',
    "no record": "end of log",
    "a list for a record": "[0]",
    "a text for a record": '""',
    "half a character in a key": '{"\\ud800": 1}',
    "NaN for a whole number": {"proline": float("nan")},
    "half a record": '{"id": "b", "proline": 1',
    "a comment": '{"id": "b", "proline": 1} // checked',
    "a blank line": "",
    "too large for a float": '{"id": "b", "hue": 1e999}',
}
REFUSED = {
    "a fraction for a whole number", "infinity", "digits that a float drops", "a fraction for a text",
    "an unknown key", "two records in a line", "a record over two lines", "one over two lines, then two in a line",
    "NaN for a whole number", "a blank line", "too large for a float",
}  # fmt: skip
"""For these pyarrow names no record, or the block has more lines than records."""


@pytest.mark.parametrize("at", [0, 39])
@pytest.mark.parametrize("case", ALIKE)
def test_like_records_are_read_as_numbers_and_hold_what_their_text_says(case: str, at: int) -> None:
    rows: list[dict[str, Any] | str] = [dict(ROW) for _ in range(40)]
    rows[at] = {key: value for key, value in (ROW | ALIKE[case]).items() if value is not ...}
    text = lines_of(rows)
    typed, findings = read(text)
    plain, plain_findings = read(text, NO_NUMBERS)
    assert n_typed(typed) == 40
    assert as_text(typed) == plain.to_pylist()
    assert findings.present == plain_findings.present


@pytest.mark.parametrize("at", [0, 39])
@pytest.mark.parametrize("case", OTHER)
def test_a_record_that_is_otherwise_is_read_as_any_text(case: str, at: int) -> None:
    other = OTHER[case]
    rows: list[dict[str, Any] | str] = [dict(ROW) for _ in range(40)]
    rows[at] = other if isinstance(other, str) else ROW | other
    text = lines_of(rows)
    typed, findings = read(text)
    plain, plain_findings = read(text, NO_NUMBERS)
    assert as_text(typed) == plain.to_pylist()
    assert findings.present == plain_findings.present
    expected_typed = 40 if case == "an unknown key" and at == 0 else 0
    assert n_typed(typed) == expected_typed, "a block of so few lines is read in one way"


@pytest.mark.parametrize("at", [(0,), (17, 18), (0, 16, 39)])
@pytest.mark.parametrize("case", OTHER)
def test_a_few_records_that_are_otherwise_are_set_aside(
    case: str, at: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(typed_lines, "_LINES_FOR_ONE_OTHER", 40 // 6)
    other = OTHER[case]
    rows: list[dict[str, Any] | str] = [ROW | {"id": str(number)} for number in range(40)]
    for number in at:
        rows[number] = other if isinstance(other, str) else ROW | other
    text = lines_of(rows)
    typed, findings = read(text)
    plain, plain_findings = read(text, NO_NUMBERS)
    assert as_text(typed) == plain.to_pylist()
    assert findings.present == plain_findings.present
    if case not in REFUSED and at[0] >= typed_lines.FIRST:
        assert n_typed(typed) == 40 - len(at)


def test_keys_of_a_record_that_is_set_aside_are_not_those_of_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(typed_lines, "_LINES_FOR_ONE_OTHER", 10)
    rows: list[dict[str, Any] | str] = [dict(ROW) for _ in range(40)]
    rows[3] = '{"id": "b", "tint": 1, "tint": 2}'
    typed, findings = read(lines_of(rows))
    assert (n_typed(typed), findings.difference(DECLARED)) == (39, ((), ()))
    rows[30] = ROW | {"tint": 3.0}
    assert read(lines_of(rows))[1].difference(DECLARED) == ((), ("tint",))


def test_too_many_records_that_are_otherwise_refuse_the_block(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(typed_lines, "_LINES_FOR_ONE_OTHER", 10)
    rows: list[dict[str, Any] | str] = [dict(ROW) for _ in range(40)]
    for number, other in enumerate([ROW | {"hue": "?"}, "end of log", ROW | {"hue": "?"}, "end of log"]):
        rows[20 + 4 * number] = other
    assert n_typed(read(lines_of(rows))[0]) == 36
    rows[39] = "end of log"
    assert n_typed(read(lines_of(rows))[0]) == 0


def test_random_numbers_are_shown_as_they_were_before() -> None:
    rng = np.random.default_rng(3)
    values = [*rng.normal(size=300), *(10.0 ** rng.uniform(-300, 15, 300)), *rng.integers(-9, 9, 300).astype(float)]
    text = lines_of([ROW | {"hue": value} for value in values])
    typed, _ = read(text)
    assert n_typed(typed) == len(values)
    assert as_text(typed) == read(text, NO_NUMBERS)[0].to_pylist()


@pytest.mark.parametrize("name", ["färbung", "a.b", 'h"ue', "(hue"])
@pytest.mark.parametrize("ascii_", [True, False])
def test_whole_numbers_are_shown_as_they_were_logged_whatever_their_column_is_called(name: str, ascii_: bool) -> None:
    values = [7, 7.0, -3, 0, 1.5, None, 1e15, -0.0]
    text = "".join(json.dumps({"id": "a", f'"{name}': 7, name: value}, ensure_ascii=ascii_) + "\n" for value in values)
    findings = DeliveryFindings()
    (rows,) = jsonl.read_jsonl(
        Digesting(io.BytesIO(text.encode())), "a", ("id", name), findings, session(), numbers={name: pa.float64()}
    )
    assert rows.column(number_of(name)).to_pylist() == values
    shown = texts_of(pa.Table.from_batches([rows]), (Field(name, name, "float"),), session()).column(name).to_pylist()
    assert shown == ["7", "7.0", "-3", "0", "1.5", None, "1000000000000000.0", "-0.0"]


def test_a_version_logged_as_a_number_is_text() -> None:
    typed, _ = read(lines_of([dict(ROW)]))
    assert typed.column("version").to_pylist() == ["7"]


def test_whole_numbers_written_as_fractions_are_whole_numbers() -> None:
    text = lines_of([ROW | {"proline": 700.0}, ROW | {"proline": 3}])
    typed, _ = read(text)
    assert typed.column("_number:proline").to_pylist() == [700, 3]
    assert as_text(typed) == read(text, NO_NUMBERS)[0].to_pylist()


def test_blocks_stand_in_order_and_each_is_read_in_its_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jsonl, "BLOCK_BYTES", 1_000)
    rows: list[dict[str, Any] | str] = [ROW | {"id": str(i)} for i in range(2_000)]
    for at in (100, 101, 900):
        rows[at] = ROW | {"id": str(at), "hue": "?"}
    typed, findings = read(lines_of(rows))
    assert typed.column("id").to_pylist() == [str(i) for i in range(2_000)]
    assert 1_900 < n_typed(typed) < 2_000
    assert typed.column("hue").null_count > 1_900
    assert findings.difference(DECLARED) == ((), ())


def test_a_file_of_other_records_is_not_read_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jsonl, "BLOCK_BYTES", 1_000)
    tries: list[bool] = []

    def counted(*given: Any) -> Any:
        tries.append(True)
        return jsonl_read_typed(*given)

    jsonl_read_typed = jsonl.read_typed
    monkeypatch.setattr(jsonl, "read_typed", counted)
    rows: list[dict[str, Any] | str] = [ROW | {"hue": "?"} if i % 10 == 9 else dict(ROW) for i in range(4_000)]
    n_blocks = len(lines_of(rows)) / 1_000
    read(lines_of(rows))
    assert 0 < len(tries) < n_blocks / 8


@pytest.mark.parametrize("value", [None, 7])
def test_columns_are_missing_or_extra_as_before(value: int | None) -> None:
    rows: list[dict[str, Any] | str] = [{**ROW, "tint": value} for _ in range(40)]
    for row in rows:
        assert isinstance(row, dict)
        del row["cellar"]
    rows[30] = ROW | {"cellar": None, "tint": None}
    _, findings = read(lines_of(rows))
    assert findings.difference(DECLARED) == ((), ("tint",))
    _, findings = read(lines_of(rows[:30]))
    assert findings.difference(DECLARED) == (("cellar",), ("tint",))
