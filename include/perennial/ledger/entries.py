"""The entries of the ledger in PostgreSQL: appended, never changed."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import fields
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, case, func, or_, select
from sqlalchemy.dialects.postgresql import insert as upsert

from perennial.contracts import LedgerEntry, LedgerKind, ReleaseState, utc
from perennial.errors import ReleaseError, redacted
from perennial.ledger.fold import MOVES, RELEASE_KINDS, History, fold
from perennial.store import Store, schema
from perennial.store.recent.of_models import asked_of, by_model, for_each

# all but the digests, which ledger/chain.py speaks of
_COLUMNS = [schema.ledger.c[one.name] for one in fields(LedgerEntry)]


def append(store: Store, entry: LedgerEntry) -> bool:
    """Write an entry; False when its ``entry_id`` stands there already, which changes nothing.

    Whoever gave the reason, no secret of an address stands in it: what is written here is never taken out.
    """
    with store.begin() as connection:
        return _inserted(connection, entry) is not None


def append_after(store: Store, entry: LedgerEntry, before: str | None) -> bool:
    """The same, for what begins, completes or abandons a release: ``before`` is the id of the entry of these that it
    follows (:attr:`History.last_move`), None for the first.

    Raises ReleaseError, and writes nothing, when another one was written since: whoever lost the lock learns of it
    here. The chain of a model takes one writer at a time, until its transaction ends.
    """
    table = schema.ledger
    moves = or_(table.c.kind.in_(MOVES), table.c.payload.has_key("abandons"))
    with store.begin() as connection:
        if (seq := _inserted(connection, entry)) is None:
            return False
        mine = select(*_COLUMNS).where(table.c.model == entry.model, table.c.seq < seq, moves)
        row = connection.execute(mine.order_by(table.c.seq.desc()).limit(1)).first()
        newest = _entry(row) if row else None
        if (newest.entry_id if newest else None) != before:
            what = f"{newest.kind} of version {newest.version} by {newest.actor}" if newest else "nothing"
            raise ReleaseError(
                f"{entry.model}: another process acted while this one was held up ({what}); {entry.kind} of version "
                f"{entry.version} was not written"
            )
    return True


def _inserted(connection: Connection, entry: LedgerEntry) -> int | None:
    """The number of a new entry; None when its id stands there already."""
    table = schema.ledger
    statement = (
        upsert(table)
        .values(
            entry_id=entry.entry_id,
            model=entry.model,
            kind=entry.kind,
            at=entry.at,
            actor=entry.actor,
            reason=redacted(entry.reason),
            version=entry.version,
            payload=entry.payload,
        )
        .on_conflict_do_nothing(index_elements=["entry_id"])
        .returning(table.c.seq)
    )
    found = connection.scalar(statement)
    return None if found is None else int(found)


def _entry(row: Row[Any]) -> LedgerEntry:
    return LedgerEntry(**{**row._mapping, "at": utc(row.at)})


def entries(
    store: Store, model: str | None = None, *, kinds: Iterable[LedgerKind] | None = None, last: int | None = None
) -> tuple[LedgerEntry, ...]:
    """Entries in the order they were written, of one model or all; ``last`` keeps the newest so many."""
    table = schema.ledger
    query = select(*_COLUMNS).order_by(table.c.seq.desc())
    if model is not None:
        query = query.where(table.c.model == model)
    if kinds is not None:
        query = query.where(table.c.kind.in_(list(kinds)))
    with store.begin() as connection:
        rows = connection.execute(query.limit(last)).all()
    return tuple(_entry(row) for row in reversed(rows))


def entry(store: Store, entry_id: str) -> LedgerEntry | None:
    """The entry with this id, or None."""
    with store.begin() as connection:
        row = connection.execute(select(*_COLUMNS).where(schema.ledger.c.entry_id == entry_id)).first()
    return _entry(row) if row else None


def newest_decided(store: Store, model: str) -> datetime | None:
    """The end of the latest window that was decided about, or None before the first."""
    query = select(func.max(schema.ledger.c.at)).where(
        schema.ledger.c.model == model, schema.ledger.c.kind == "decision"
    )
    with store.begin() as connection:
        found = connection.scalar(query)
    return utc(found) if found else None


def newest_decision(store: Store, model: str) -> LedgerEntry | None:
    """The decision about the latest window, the last of them where it was decided again; None before the first."""
    table = schema.ledger
    query = select(*_COLUMNS).where(table.c.model == model, table.c.kind == "decision")
    with store.begin() as connection:
        row = connection.execute(query.order_by(table.c.at.desc(), table.c.seq.desc()).limit(1)).first()
    return _entry(row) if row else None


def counts(store: Store, model: str) -> Counter[tuple[str, str]]:
    """How many entries of each kind there are; those of decisions by their action, which their reason begins with."""
    table = schema.ledger
    action = case((table.c.kind == "decision", func.split_part(table.c.reason, ":", 1)), else_="").label("action")
    query = select(table.c.kind, action, func.count()).where(table.c.model == model).group_by(table.c.kind, action)
    with store.begin() as connection:
        return Counter({(row[0], row[1]): row[2] for row in connection.execute(query)})


def read(store: Store, model: str) -> History:
    """Everything that a release rests on: one reading of all entries of a model but its decisions."""
    return histories(store, [model])[model]


def histories(store: Store, models: Sequence[str], *, brief: bool = False) -> dict[str, History]:
    """The same of many models, in one statement; ``brief`` keeps of each signoff's evaluation what its fit cost."""
    table, asked = schema.ledger, asked_of(models)
    kinds = (*RELEASE_KINDS, "signoff", "approval", "review")
    columns = [_briefly(column) if brief and column.name == "payload" else column for column in _COLUMNS]
    of_model = select(*columns).where(table.c.model == asked.c.model, table.c.kind.in_(kinds)).order_by(table.c.seq)
    with store.begin() as connection:
        rows = connection.execute(for_each(asked, of_model)).all()
    return {model: History(model, tuple(map(_entry, found))) for model, found in by_model(rows, models).items()}


def _briefly(payload: ColumnElement[Any]) -> ColumnElement[Any]:
    judged = payload["evaluation"]
    kept = func.jsonb_build_object("fit_cpu_s", judged["fit_cpu_s"], "mlflow_run_id", judged["mlflow_run_id"])
    signed = func.jsonb_build_object("signoff", payload["signoff"], "evaluation", kept)
    return case((schema.ledger.c.kind == "signoff", signed), else_=payload).label("payload")


def release_state(store: Store, model: str) -> ReleaseState:
    """Who serves and who is trusted, from all entries of the model."""
    return fold(model, entries(store, model, kinds=RELEASE_KINDS))
