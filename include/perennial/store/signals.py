"""Signals: written over those of an earlier attempt of the same run, and read as they were measured last."""

from collections.abc import Collection, Iterable
from dataclasses import fields
from datetime import datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import ColumnElement, Row, and_, or_, select
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.dialects.postgresql import insert as upsert

from perennial.contracts import Chance, Interval, Signal, SignalName, Window
from perennial.store.engine import Store
from perennial.store.schema import signals

NO_VERSION = "none"
"""How the table writes the absent version of a signal: its key can hold no null."""


def save(store: Store, measured: Iterable[Signal]) -> tuple[Signal, ...]:
    """Write the signals over those of an earlier attempt of the same run, and return them."""
    kept = tuple(measured)
    if not kept:
        return kept
    statement = upsert(signals).values([_row(signal) for signal in kept])
    keys = [column.name for column in signals.primary_key.columns]
    new = {column.name: statement.excluded[column.name] for column in signals.columns if column.name not in keys}
    with store.begin() as connection:
        connection.execute(statement.on_conflict_do_update(index_elements=keys, set_=new))
    return kept


def of_windows_after(store: Store, model: str, *, version: str, window: Window, after: datetime) -> tuple[Signal, ...]:
    """Signals of a version in the windows up to ``window`` that began later than ``after``, each as measured last."""
    return _newest(
        store,
        signals.c.model == model,
        signals.c.version == version,
        signals.c.window_start > after,
        signals.c.window_start <= window.start,
        signals.c.as_of <= window.end,
    )


def measured_since(
    store: Store, model: str, *, version: str | None, names: Collection[SignalName], start: datetime, by: datetime
) -> tuple[Signal, ...]:
    """Signals of these names of a version, of windows that began at ``start`` or later, each as measured last.

    ``version`` None asks for those that were measured while there was no champion.
    """
    return _newest(
        store,
        signals.c.model == model,
        signals.c.version == (version or NO_VERSION),
        signals.c.name.in_([str(name) for name in names]),
        signals.c.window_start >= start,
        signals.c.as_of <= by,
    )


def measured(store: Store, model: str, *, names: Collection[SignalName]) -> tuple[Signal, ...]:
    """Every value of these names, in the order in which they were measured; unknown ones are left out."""
    query = (
        select(signals)
        .where(
            signals.c.model == model,
            signals.c.name.in_([str(name) for name in names]),
            signals.c.value.is_not(None),
        )
        .order_by(signals.c.as_of)
    )
    with store.begin() as connection:
        return tuple(signal_of(row) for row in connection.execute(query))


def measured_named(store: Store, model: str, *, names: Collection[str], by: datetime) -> tuple[Signal, ...]:
    """Every value of these names that was measured as of a moment or before it, in that order."""
    query = (
        select(signals)
        .where(signals.c.model == model, signals.c.name.in_(names), signals.c.as_of <= by, signals.c.value.is_not(None))
        .order_by(signals.c.as_of, signals.c.window_start)
    )
    with store.begin() as connection:
        return tuple(signal_of(row) for row in connection.execute(query))


def said(store: Store, model: str, *, name: SignalName, before: datetime) -> tuple[Signal, ...]:
    """Every signal of this name that was measured as of a moment before ``before``, in that order."""
    query = (
        select(signals)
        .where(signals.c.model == model, signals.c.name == str(name), signals.c.as_of < before)
        .order_by(signals.c.as_of, signals.c.window_start)
    )
    with store.begin() as connection:
        return tuple(signal_of(row) for row in connection.execute(query))


def last_known(store: Store, model: str, *, names: Collection[str], since: datetime) -> tuple[Signal, ...]:
    """Each of these signals as it was measured last, of a window that began at ``since`` or later; unknown ones not."""
    query = select(signals).where(
        signals.c.model == model,
        signals.c.window_start >= since,
        signals.c.name.in_(names),
        signals.c.status != "unknown",
    )
    query = query.ext(distinct_on(signals.c.name))
    query = query.order_by(signals.c.name, signals.c.as_of.desc(), signals.c.window_start.desc())
    with store.begin() as connection:
        return tuple(signal_of(row) for row in connection.execute(query))


def around(store: Store, model: str, *, start: datetime | None = None) -> tuple[Signal, ...]:
    """What was measured of the window that begins at ``start``, and by its run of earlier ones; as measured last.

    Without ``start``, of the newest window that a run measured. Empty where none was.
    """
    of_own = [signals.c.model == model, signals.c.as_of == signals.c.window_end]
    if start is not None:
        of_own.append(signals.c.window_start == start)
    asked = select(signals.c.window_start, signals.c.window_end).where(*of_own)
    asked = asked.order_by(signals.c.window_start.desc(), signals.c.window_end.desc()).limit(1)
    with store.begin() as connection:
        found = connection.execute(asked).one_or_none()
    if found is None:
        return ()
    itself = and_(signals.c.window_start == found.window_start, signals.c.window_end == found.window_end)
    return _newest(store, signals.c.model == model, or_(itself, signals.c.as_of == found.window_end))


def flagged(store: Store, model: str, *, ended_after: datetime) -> tuple[Signal, ...]:
    """The flags of windows that ended later than a moment, whatever version they speak about.

    One that was measured anew counts as it was measured last; where that told nothing, as it was known before.
    """
    found = _newest(
        store,
        signals.c.model == model,
        signals.c.name.startswith("flag/", autoescape=True),
        signals.c.status.in_(["ok", "breached"]),
        signals.c.window_end > ended_after,
    )
    return tuple(signal for signal in found if signal.status == "breached")


def _newest(store: Store, *wanted: ColumnElement[bool]) -> tuple[Signal, ...]:
    key = (signals.c.window_start, signals.c.window_end, signals.c.name)
    query = select(signals).where(*wanted).ext(distinct_on(*key)).order_by(*key, signals.c.as_of.desc())
    with store.begin() as connection:
        return tuple(signal_of(row) for row in connection.execute(query))


def signal_of(row: Row[Any]) -> Signal:
    """A row of the table, in the order of its columns, as a signal. Pages read thousands: no name is looked up."""
    model, start, end, name, as_of, version, role, status, value, threshold, *estimate = tuple(row)
    low, high, error, n_rows, n_blocks, confidence, quantile, p, detail = estimate
    interval = chance = None
    if low is not None:
        interval = Interval(
            low=low, high=high, standard_error=error, n_rows=n_rows, n_blocks=n_blocks, confidence=confidence
        )
    if quantile is not None:
        chance = Chance(quantile=quantile, confidence=confidence, p=p, n_rows=n_rows, n_blocks=n_blocks)
    return Signal(
        model=model,
        window=_window(start, end),
        as_of=as_of,
        name=name,
        role=role,
        status=status,
        value=value,
        threshold=threshold,
        version=version,
        detail=detail,
        interval=interval,
        chance=chance,
    )


@lru_cache(maxsize=4096)
def _window(start: datetime, end: datetime) -> Window:
    return Window(start=start, end=end)


def _row(signal: Signal) -> dict[str, object]:
    return {
        "model": signal.model,
        "window_start": signal.window.start,
        "window_end": signal.window.end,
        "name": signal.name,
        "as_of": signal.as_of,
        "version": signal.version or NO_VERSION,
        "role": signal.role,
        "status": signal.status,
        "value": signal.value,
        "threshold": signal.threshold,
        "detail": signal.detail,
        **{field.name: getattr(signal.interval or signal.chance, field.name, None) for field in fields(Interval)},
        "null_quantile": getattr(signal.chance, "quantile", None),
        "p": getattr(signal.chance, "p", None),
    }
