"""Whether the ledger is as it was written: every entry holds a digest of itself and of the model's entry before.

The database computes the digests when an entry is written. They are computed here again, by the system's functions
alone: whoever changed the ledger may have changed the functions beside it too.
"""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Select, Text, cast, exists, extract, func, literal, or_, select

from perennial.errors import IntegrityError
from perennial.store import Store
from perennial.store.schema import ledger


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """The proven entries of one model. ``head`` is the digest of the newest, empty without one.

    Whoever keeps a head elsewhere can prove later that nothing was taken from the end (``known``).
    """

    model: str
    n_entries: int
    head: str


def models(store: Store) -> tuple[str, ...]:
    """The models that have entries, sorted."""
    with store.begin() as connection:
        return tuple(connection.scalars(select(ledger.c.model).distinct().order_by(ledger.c.model)))


def verify(store: Store, model: str, *, known: str | None = None) -> Chain:
    """Prove the chain of one model. Raises IntegrityError that names its first broken entry.

    With ``known``, a head that was noted before, also that its entry still stands: entries that were cut off at the end
    leave the rest of a chain whole.
    """
    mine = ledger.c.model == model
    newest = select(ledger.c.digest).where(mine).order_by(ledger.c.seq.desc()).limit(1).scalar_subquery()
    with store.begin() as connection:
        broken = connection.execute(_broken(model)).first()
        n_entries = connection.scalar(select(func.count()).select_from(ledger).where(mine))
        head = connection.scalar(select(newest))
        stands = known is None or connection.scalar(select(exists().where(mine, ledger.c.digest == known)))
    if broken is not None:
        raise IntegrityError(_what_broke(model, broken))
    if not stands:
        raise IntegrityError(
            f"{model}: the ledger holds no entry with the digest {known}: what was written until then was cut off or "
            "written anew; compare the ledger with a backup"
        )
    return Chain(model=model, n_entries=n_entries or 0, head=head or "")


def _broken(model: str) -> Select[Any]:
    """The first entry that is not what was written, or does not follow the one before it."""
    before = func.lag(ledger.c.digest, 1, "").over(order_by=ledger.c.seq)
    chained = (
        select(
            *(ledger.c.seq, ledger.c.kind, ledger.c.entry_id, ledger.c.previous_digest, ledger.c.digest),
            before.label("before"),
            _computed().label("computed"),
        )
        .where(ledger.c.model == model)
        .subquery()
    )
    return (
        select(chained, (chained.c.digest != chained.c.computed).label("changed"))
        .where(or_(chained.c.digest != chained.c.computed, chained.c.previous_digest != chained.c.before))
        .order_by(chained.c.seq)
        .limit(1)
    )


def _computed() -> ColumnElement[str]:
    """The digest that an entry should have: SHA-256, in hexadecimal, of a JSON array of all its other columns."""
    content = func.json_build_array(
        *(ledger.c.previous_digest, ledger.c.seq, ledger.c.entry_id, ledger.c.model, ledger.c.kind),
        _microseconds(ledger.c.at),
        *(ledger.c.actor, ledger.c.reason, ledger.c.version, ledger.c.payload),
        _microseconds(ledger.c.recorded_at),
    )
    return func.encode(func.sha256(func.convert_to(cast(content, Text), literal("UTF8"))), literal("hex"))


def _microseconds(moment: ColumnElement[Any]) -> ColumnElement[int]:
    """Since 1970, in UTC: the same whatever time zone a session has."""
    return cast(extract("epoch", moment) * 1_000_000, BigInteger)


def _what_broke(model: str, broken: Any) -> str:
    entry = f"{model}: ledger entry {broken.seq} ({broken.kind}, {broken.entry_id})"
    if broken.changed:
        return f"{entry} is not what was written: it was changed, by someone who could switch off the ledger's triggers"
    return f"{entry} does not follow the one before it: an entry between them was removed or put in"
