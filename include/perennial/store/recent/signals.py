"""The signals of the newest windows, as they were measured last."""

from collections.abc import Collection, Mapping
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import distinct_on

from perennial.contracts import Signal
from perennial.store.engine import Store
from perennial.store.recent.of_models import asked_of, by_model, for_each
from perennial.store.schema import signals
from perennial.store.signals import signal_of


def newest_since(
    store: Store, model: str, *, start: datetime, names: Collection[str] | None = None
) -> tuple[Signal, ...]:
    """Signals (of these names) of windows from ``start`` on, in the order of windows, as measured last."""
    return newest_of_models(store, {model: start}, names=names)[model]


def newest_of_models(
    store: Store,
    starts: Mapping[str, datetime],
    *,
    names: Collection[str] | None = None,
    without_ok: bool = False,
) -> dict[str, tuple[Signal, ...]]:
    """The same of many models, each from a moment of its own; ``without_ok`` leaves out those that are ``ok`` now."""
    if not starts:
        return {}
    asked = asked_of(list(starts), list(starts.values()))
    key = (signals.c.window_start, signals.c.window_end, signals.c.name)
    of_names = [] if names is None else [signals.c.name.in_(names)]
    of_model = (
        select(signals)
        .where(signals.c.model == asked.c.model, signals.c.window_start >= asked.c.start, *of_names)
        .ext(distinct_on(*key))
        .order_by(*key, signals.c.as_of.desc())
    )
    query = for_each(asked, of_model)
    if without_ok:
        query = query.where(query.selected_columns.status != "ok")
    with store.begin() as connection:
        rows = connection.execute(query).all()
    return {model: tuple(map(signal_of, found)) for model, found in by_model(rows, starts).items()}


def every_since(store: Store, model: str, *, start: datetime, name: str) -> tuple[Signal, ...]:
    """Every value of a signal, as each run measured it, of windows from ``start`` on, in the order of windows."""
    query = (
        select(signals)
        .where(signals.c.model == model, signals.c.window_start >= start, signals.c.name == name)
        .order_by(signals.c.window_start, signals.c.window_end, signals.c.as_of)
    )
    with store.begin() as connection:
        return tuple(map(signal_of, connection.execute(query)))
