"""Statements on incidents and notices: opened and resolved once, each message claimed by one process before it goes."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import Any, Literal

from sqlalchemy import and_, case, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert as upsert

from perennial.store.engine import Store
from perennial.store.notices.tables import incidents, notices

Phase = Literal["opened", "resolved"]
CUT_OFF = timedelta(minutes=5)
"""A message that is still being sent so long after it was begun was cut off: no channel takes that long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """An incident as it stands in the table; ``record`` is what was known when it was opened."""

    fingerprint: str
    kind: str
    subject: str
    record: dict[str, Any]
    opened_at: datetime
    resolved_at: datetime | None = None
    resolution: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """A message about an incident to one channel, and what became of it."""

    fingerprint: str
    phase: Phase
    channel: str
    status: str
    attempts: int
    problem: str


def lasting(store: Store, model: str) -> tuple[Kept, ...]:
    """The incidents of a model that are not over, oldest first."""
    return _read(store, incidents.c.model == model, incidents.c.resolved_at.is_(None))


def lately(store: Store, model: str, *, since: datetime) -> tuple[Kept, ...]:
    """Those that are not over, and those that ended since a moment, oldest first."""
    over_lately = or_(incidents.c.resolved_at.is_(None), incidents.c.resolved_at >= since)
    return _read(store, incidents.c.model == model, over_lately)


def notices_of(store: Store, fingerprints: Collection[str]) -> tuple[Notice, ...]:
    """What was told of these incidents."""
    query = select(*(notices.c[one.name] for one in fields(Notice))).where(notices.c.fingerprint.in_(fingerprints))
    with store.begin() as connection:
        return tuple(Notice(**row._mapping) for row in connection.execute(query))


def undelivered(store: Store, model: str) -> tuple[Notice, ...]:
    """The messages of a model that a channel did not take, or that were lost on the way."""
    of_model = notices.join(incidents, incidents.c.fingerprint == notices.c.fingerprint)
    query = select(*(notices.c[one.name] for one in fields(Notice))).select_from(of_model)
    query = query.where(incidents.c.model == model, notices.c.status.in_(["failed", "lost"]))
    with store.begin() as connection:
        return tuple(Notice(**row._mapping) for row in connection.execute(query))


def keep(store: Store, model: str, *, opened: Iterable[Kept], resolved: Mapping[str, str], now: datetime) -> None:
    """Write what is new, and what is over with the sentence that says why; both in one transaction, each once."""
    with store.begin() as connection:
        for fingerprint, resolution in resolved.items():
            is_open = and_(incidents.c.fingerprint == fingerprint, incidents.c.resolved_at.is_(None))
            connection.execute(update(incidents).where(is_open).values(resolved_at=now, resolution=resolution))
        for one in opened:
            values = {column.name: getattr(one, column.name) for column in fields(Kept)}
            connection.execute(upsert(incidents).values(model=model, **values).on_conflict_do_nothing())


def claim(store: Store, fingerprint: str, phase: Phase, channel: str, *, now: datetime) -> bool:
    """Whether this process, and no other, sends the message now: a new one, one that failed, one that was cut off.

    One that was cut off twice is lost: it may have arrived twice, and is not sent a third time.
    """
    cut_off = notices.c.tried_at < now - CUT_OFF
    mine = and_(notices.c.fingerprint == fingerprint, notices.c.phase == phase, notices.c.channel == channel)
    lost = {"status": "lost", "problem": "cut off twice while it was sent; it may have arrived"}
    statement = upsert(notices).values(
        fingerprint=fingerprint, phase=phase, channel=channel, status="sending", attempts=1, tried_at=now
    )
    statement = statement.on_conflict_do_update(
        index_elements=["fingerprint", "phase", "channel"],
        set_={
            "status": case((notices.c.status == "sending", "resending"), else_="sending"),
            "attempts": notices.c.attempts + 1,
            "tried_at": now,
        },
        where=or_(notices.c.status == "failed", and_(notices.c.status == "sending", cut_off)),
    )
    with store.begin() as connection:
        connection.execute(update(notices).where(mine, notices.c.status == "resending", cut_off).values(**lost))
        return connection.execute(statement.returning(notices.c.attempts)).first() is not None


def record_end(store: Store, fingerprint: str, phase: Phase, channel: str, *, problem: str) -> None:
    """What became of a claimed message: sent, or failed with the problem that is said."""
    mine = and_(notices.c.fingerprint == fingerprint, notices.c.phase == phase, notices.c.channel == channel)
    status = "failed" if problem else "sent"
    with store.begin() as connection:
        connection.execute(update(notices).where(mine).values(status=status, problem=problem))


def counts(store: Store, model: str) -> dict[str, int]:
    """How many incidents of each kind are not over."""
    query = select(incidents.c.kind, func.count()).where(incidents.c.model == model, incidents.c.resolved_at.is_(None))
    with store.begin() as connection:
        return {row[0]: row[1] for row in connection.execute(query.group_by(incidents.c.kind))}


def _read(store: Store, *wanted: Any) -> tuple[Kept, ...]:
    query = select(*(incidents.c[one.name] for one in fields(Kept))).where(*wanted)
    with store.begin() as connection:
        rows = connection.execute(query.order_by(incidents.c.opened_at, incidents.c.fingerprint)).all()
    return tuple(Kept(**row._mapping) for row in rows)
