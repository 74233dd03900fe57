"""Flags of a window's features: nulls that came or went at a step, and numbers that came in another unit. Pure."""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from perennial.config import ModelConfig
from perennial.contracts import Signal, SignalName, Subject
from perennial.statistics.units import explain_shift


def feature_flags(
    config: ModelConfig, subject: Subject, rows: pa.Table | None, *, reference: pa.Table | None, gone: str = ""
) -> Iterator[Signal]:
    """``flag/null_rate/<feature>`` and, of numbers, ``flag/unit/<feature>``: the sample of a window, and the reference.

    Both hold the features with their types in the store; the order of the rows never matters. Without a reference every
    flag is unknown, because it is ``gone``; so is one of a feature with fewer than ``signals.flags.min_rows`` rows
    (values, where the unit is asked for) on either side. A unit is breached by the part of the distance between the two
    that a known change of unit takes away.

    >>> {signal.status for signal in feature_flags(flights, subject, None, reference=None, gone="gone")}
    {'unknown'}
    """
    flags = config.signals.flags
    for name in config.features:
        sides = [
            table[name] if table is not None and name in table.column_names else None for table in (rows, reference)
        ]
        if flags.null_rate is not None:
            yield _null_rate(config, subject, name, sides, gone)
        if flags.unit is not None and name in config.numbers:
            yield _unit(config, subject, name, sides, gone)


def _null_rate(
    config: ModelConfig, subject: Subject, name: str, sides: list[pa.ChunkedArray | None], gone: str
) -> Signal:
    flags, signal = config.signals.flags, SignalName.flag("null_rate", name)
    if why := gone or _too_few(name, [None if side is None else len(side) for side in sides], flags.min_rows):
        return subject.unknown(signal, "alert", why, threshold=flags.null_rate)
    now, before = (side for side in sides if side is not None)
    rates = [side.null_count / len(side) for side in (now, before)]
    detail = f"{rates[0]:.3f} of {len(now)} rows are null, {rates[1]:.3f} of {len(before)} in the reference"
    return subject.above(signal, "alert", abs(rates[0] - rates[1]), flags.null_rate or 0.0, detail=detail)


def _unit(config: ModelConfig, subject: Subject, name: str, sides: list[pa.ChunkedArray | None], gone: str) -> Signal:
    flags, signal = config.signals.flags, SignalName.flag("unit", name)
    values = [None if side is None else _finite(side) for side in sides]
    if why := gone or _too_few(name, [None if side is None else len(side) for side in values], flags.min_rows):
        return subject.unknown(signal, "alert", why, threshold=flags.unit)
    now, before = (side for side in values if side is not None)
    if not now.any() or not before.any():
        return subject.unknown(signal, "alert", "every value is zero", threshold=flags.unit)
    spec = config.features[name]
    unit = getattr(spec, "unit", None)
    found = explain_shift(now, before, unit=unit, tolerance=flags.unit_tolerance)
    medians = f"median {np.median(now):.4g}, {np.median(before):.4g} in the reference"
    if found is None:
        detail = f"{medians}; no change of its unit explains any shift"
        return subject.above(signal, "alert", 0.0, flags.unit or 0.0, detail=detail)
    detail = (
        f"{medians}: as from {found.conversion.name}; the distance (Kolmogorov-Smirnov) is {found.before:.3f}, and "
        f"{found.after:.3f} once converted back"
    )
    return subject.above(signal, "alert", found.shift, flags.unit or 0.0, detail=detail)


def _too_few(name: str, counts: list[int | None], least: int) -> str:
    """Why two sides say nothing; empty when they do."""
    for side, count in zip(("the window", "the reference"), counts, strict=True):
        if count is None:
            return f"{side} has no column {name}"
        if count < least:
            return f"{side} has {count} rows with {name}; {least} are needed"
    return ""


def _finite(column: pa.ChunkedArray) -> NDArray[np.float64]:
    values = np.asarray(column.drop_null().cast(pa.float64()).to_numpy(), np.float64)
    return values[np.isfinite(values)]
