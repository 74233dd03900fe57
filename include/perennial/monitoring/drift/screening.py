"""Which columns a distance can be computed for at all, and as what.

Evidently raises for the whole report when one column is unfit, and answers confidently on one row: every column is
looked at first, and refused with a reason of its own.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
import pyarrow as pa

from perennial.config import DriftMethod

MOST_CATEGORIES = 1000
"""Evidently lays out one bar per category; identifiers taken for categories would keep it busy for hours."""
WASSERSTEIN_FLOOR = 0.001
"""Evidently divides by the reference's standard deviation, or by this where it is smaller."""


@dataclass(frozen=True, slots=True)
class Pair:
    """One column on both sides, ready for a distance: float64 with NaN, or text with missing values."""

    name: str
    kind: Literal["number", "category"]
    method: DriftMethod
    current: pd.Series
    reference: pd.Series


@dataclass(frozen=True, slots=True)
class Unmeasured:
    """A column that no distance can be computed for, and why."""

    name: str
    why: str


@dataclass(frozen=True, slots=True)
class Constant:
    """A number that is one ``value`` throughout the reference, and the share of the window's values that are another.

    No method has a distance from a point that is worth the name; any other value is news to the champion.
    """

    name: str
    value: float
    share_other: float


Column = Pair | Unmeasured | Constant


def screen(
    name: str,
    kind: Literal["number", "category"],
    method: DriftMethod,
    *,
    current: pa.ChunkedArray | None,
    reference: pa.ChunkedArray | None,
    min_values: int,
) -> Column:
    """The column on both sides; its one value, where the reference has no other; or why it can not be compared.

    ``current`` and ``reference`` are numbers for kind ``number``; for ``category`` whatever Arrow writes as text. None
    is a column that is not there.

    >>> method, column = DriftMethod(method="jensenshannon", threshold=0.1), pa.chunked_array([["a", "b"]])
    >>> screen("x", "category", method, current=column, reference=column, min_values=30).why
    'the window: 2 of 2 rows have a value, at least 30 are needed'
    """
    sides = []
    for side, column in (("the window", current), ("the reference", reference)):
        if column is None:
            return Unmeasured(name, f"{side} has no column {name}")
        try:
            values = _values(kind, column)
        except pa.ArrowException as error:
            return Unmeasured(name, f"{side} holds {column.type} where a {kind} was declared: {error}")
        if why := _unfit(kind, values, min_values):
            return Unmeasured(name, f"{side}: {why}")
        sides.append(values)
    pair = Pair(name, kind, method, *sides)
    return _scaled(pair) if kind == "number" else pair


def _values(kind: str, column: pa.ChunkedArray) -> pd.Series:
    if kind == "number":
        if pa.types.is_boolean(column.type) or pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
            raise pa.ArrowTypeError("not a number")
        return pd.Series(column.cast(pa.float64()).to_numpy(zero_copy_only=False), dtype=np.float64)
    return column.cast(pa.string()).to_pandas()


def _unfit(kind: str, values: pd.Series, min_values: int) -> str | None:
    n_values = int(values.notna().sum())
    if n_values < min_values:
        return f"{n_values} of {len(values)} rows have a value, at least {min_values} are needed"
    if kind == "number":
        n_infinite = int(np.isinf(values.to_numpy()).sum())
        return f"{n_infinite} of {len(values)} values are infinite" if n_infinite else None
    n_distinct = int(values.nunique())
    return (
        f"{n_distinct} distinct values, at most {MOST_CATEGORIES} make categories"
        if n_distinct > MOST_CATEGORIES
        else None
    )


def _scaled(pair: Pair) -> Pair | Constant:
    """Finds a constant reference, which has no spread; lifts a tiny unit over Evidently's floor."""
    least, most = float(pair.reference.min()), float(pair.reference.max())
    tolerance = 1e-12 * max(abs(least), abs(most))
    if most - least <= tolerance:
        values = pair.current.dropna()
        others = (values < least - tolerance) | (values > most + tolerance)
        return Constant(pair.name, least, float(others.mean()))
    spread = float(np.std(pair.reference.dropna()))
    if pair.method.method != "wasserstein" or spread >= WASSERSTEIN_FLOOR:
        return pair
    return Pair(pair.name, pair.kind, pair.method, pair.current / spread, pair.reference / spread)
