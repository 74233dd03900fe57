"""A column that is taken as it is holds what its cast would have made of it."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any

import pyarrow as pa
import pytest

from perennial.contracts import Window, number_of
from perennial.store.duck import select, session
from perennial.validation.casts.casting import CHUNK_NUMBER, MALFORMED, Field, cast_query
from perennial.validation.casts.plain import plain_values

DAY = Window(start=datetime(2024, 1, 1, tzinfo=UTC), end=datetime(2024, 1, 2, tzinfo=UTC))
EVER = Window(start=datetime(1, 1, 2, tzinfo=UTC), end=datetime(9999, 12, 31, 23, tzinfo=UTC))
AT, LABELLED = Field("event_time", "at", "moment"), Field("labelled_at", "at", "moment")
NUMBERS: dict[str, Field] = {"float": Field("hue", "Hue", "float"), "int": Field("n", "N", "int")}


def chunk_of(column: Field, texts: Sequence[str | None], numbers: Sequence[Any] = ()) -> pa.Table:
    kind = pa.int64() if column.kind == "int" else pa.float64()
    staged = {number_of(str(column.delivered)): pa.array(numbers, kind)} if numbers else {}
    return pa.table(
        {
            CHUNK_NUMBER: range(len(texts)),
            str(column.delivered): pa.array(texts, pa.string()),
            MALFORMED: pa.nulls(len(texts), pa.string()),
            **staged,
        }
    )


def cast(chunk: pa.Table, column: Field, window: Window) -> tuple[list[Any], bool]:
    """The values that the SQL gives, and whether a row has a fault."""
    found = select(session(), cast_query((column,), window, binary_label=False), chunk=chunk)
    return found.column(column.name).to_pylist(), any(found.column("_faulty").to_pylist())


def assert_as_cast(chunk: pa.Table, column: Field, window: Window) -> bool:
    """True when the column is plain; then it has the values of the cast, and no fault."""
    plain = plain_values(chunk, (column,), window)
    if not plain:
        return False
    values = plain[column.name].to_pylist()
    assert (values, False) == cast(chunk, column, window)
    return True


def test_whatever_moment_is_plain_its_cast_is_the_same() -> None:
    days = (
        "2024-01-01",
        "2024-02-29",
        "2023-02-29",
        "2024-13-01",
        "0001-01-03",
        "9999-12-30",
        "2024-1-01",
        "2024/01/01",
    )
    times = ("05:06:07", "05:06", "24:00:00", "23:59:60", "5:06:07", "050607", "05")
    parts = ("", ".1", ".123456", ".1234567", ".", ",123")
    zones = ("Z", "z", "+00:00", "-05:30", "+0530", "+05", "+24:00", "+05:60", " +00:00", "UTC", "+5", "", "+00:00:00")
    texts = ["".join(one) for one in product(days, ("T", " ", "t"), times, parts, zones)]
    plain = {one: plain_values(chunk_of(AT, [one]), (AT,), EVER) for one in texts}
    taken = [one for one, found in plain.items() if found]
    assert 100 < len(taken) < len(texts)
    values, is_faulty = cast(chunk_of(AT, taken), AT, EVER)
    assert (values, is_faulty) == ([plain[one][AT.name][0].as_py() for one in taken], False)


@pytest.mark.parametrize("column", [AT, LABELLED])
@pytest.mark.parametrize("seconds", [-1, 0, 3, 86_399, 86_400])
def test_moments_outside_the_window_are_left_to_the_cast(column: Field, seconds: int) -> None:
    moments = [DAY.start + timedelta(hours=7), DAY.start + timedelta(seconds=seconds)]
    chunk = chunk_of(column, [*(one.isoformat() for one in moments), None])
    inside = seconds < 86_400 and (seconds >= 0 or column is LABELLED)
    assert assert_as_cast(chunk, column, DAY) is inside
    assert cast(chunk, column, DAY)[1] is not inside


@pytest.mark.parametrize("texts", [["2024-01-01T05:06:07Z", "noon"], ["2024-01-01T05+05:00"], [None]])
def test_a_column_with_another_moment_is_cast_as_a_whole(texts: list[str | None]) -> None:
    assert not plain_values(chunk_of(AT, texts), (AT,), DAY)


@pytest.mark.parametrize(
    ("kind", "numbers", "texts", "is_plain"),
    [
        ("float", [1.5, None, -0.0], [None, None, None], True),
        ("float", [None, None], [None, None], True),
        ("int", [2**62, None], [None, None], True),
        ("float", [1.5, None], [None, "7"], False),
        ("float", [7.0, 1.5], ["7", None], False),
        ("float", [1.5, float("nan")], [None, None], False),
        ("float", [1.5, float("-inf")], [None, None], False),
    ],
)
def test_numbers_are_plain_when_all_are_staged_as_numbers(
    kind: str, numbers: list[Any], texts: list[str | None], is_plain: bool
) -> None:
    column = NUMBERS[kind]
    assert assert_as_cast(chunk_of(column, texts, numbers), column, DAY) is is_plain
