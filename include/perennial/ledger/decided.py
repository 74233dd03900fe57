"""What was decided about windows, without the signals it rests on: read in the database, not from whole entries."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, func, select

from perennial.contracts import Window, from_record, utc
from perennial.store import Store, schema
from perennial.store.recent.of_models import asked_of, by_model, for_each


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """One decision; ``recorded_at`` is when it was written, ``retrain_run_id`` the run that it asked for, if any."""

    decision_id: str
    window: Window
    action: str
    reasons: tuple[str, ...]
    champion: str | None
    retrain_run_id: str | None
    recorded_at: datetime


def decided(store: Store, model: str, *, last: int, window: Window | None = None) -> tuple[Decided, ...]:
    """The newest decisions of a model, or of one of its windows, in the order they were written."""
    found = decided_of_models(store, [model], last=last, at=None if window is None else window.end)[model]
    return tuple(one for one in found if window is None or one.window == window)


def decided_of_models(
    store: Store, models: Sequence[str], *, last: int, at: datetime | None = None
) -> dict[str, tuple[Decided, ...]]:
    """The newest decisions of each model (as of a moment), in the order they were written."""
    table, asked = schema.ledger, asked_of(models)
    of_model = (
        select(table.c.model, table.c.entry_id, table.c.recorded_at, table.c.payload["decision"].label("decision"))
        .where(table.c.model == asked.c.model, table.c.kind == "decision", *([] if at is None else [table.c.at == at]))
        .order_by(table.c.seq.desc())
        .limit(last)
    )
    with store.begin() as connection:
        rows = connection.execute(for_each(asked, of_model)).all()
    return {model: tuple(map(_decided, reversed(found))) for model, found in by_model(rows, models).items()}


def decided_at(store: Store, ends: Mapping[str, datetime]) -> dict[str, Decided]:
    """Of each model the last decision about the window that ends at a moment of its own."""
    table, asked = schema.ledger, asked_of(list(ends), list(ends.values()))
    of_model = (
        select(table.c.model, table.c.entry_id, table.c.recorded_at, table.c.payload["decision"].label("decision"))
        .where(table.c.model == asked.c.model, table.c.kind == "decision", table.c.at == asked.c.start)
        .order_by(table.c.seq.desc())
        .limit(1)
    )
    with store.begin() as connection:
        return {row.model: _decided(row) for row in connection.execute(for_each(asked, of_model))}


def actions_of_models(store: Store, models: Sequence[str], *, last: int) -> dict[str, dict[datetime, str]]:
    """What was done about the windows of the newest decisions, by the windows' ends, in time order; no payload."""
    table, asked = schema.ledger, asked_of(models)
    of_model = (
        select(table.c.model, table.c.at, func.split_part(table.c.reason, ":", 1).label("action"))
        .where(table.c.model == asked.c.model, table.c.kind == "decision")
        .order_by(table.c.seq.desc())
        .limit(last)
    )
    with store.begin() as connection:
        rows = connection.execute(for_each(asked, of_model)).all()
    found = {model: {utc(row.at): row.action for row in reversed(of)} for model, of in by_model(rows, models).items()}
    return {model: dict(sorted(actions.items())) for model, actions in found.items()}


def newest_windows(made: Sequence[Decided], most: int) -> tuple[Decided, ...]:
    """The last decision of each window, in the order of windows, the newest ``most`` of them. Pure.

    >>> def of(number, action): return Decided(decision_id=action, window=day(number), action=action, reasons=(),
    ...     champion=None, retrain_run_id=None, recorded_at=day(number).end)
    >>> [one.action for one in newest_windows([of(2, "halt"), of(1, "stay"), of(2, "retrain")], 2)]
    ['stay', 'retrain']
    """
    last = {one.window.key: one for one in made}
    return tuple(last[key] for key in sorted(last)[-most:])


def _decided(row: Row[Any]) -> Decided:
    made = row.decision
    return Decided(
        decision_id=row.entry_id,
        window=from_record(Window, made["window"]),
        action=made["action"],
        reasons=tuple(made["reasons"]),
        champion=made["champion"],
        retrain_run_id=made.get("retrain_run_id"),
        recorded_at=utc(row.recorded_at),
    )
