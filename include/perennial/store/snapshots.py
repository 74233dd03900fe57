"""Snapshots in the books: which frozen rows a retrain was made from."""

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert as upsert

from perennial.contracts import Snapshot, from_record, to_record
from perennial.store.engine import Store
from perennial.store.schema import snapshots


def recorded(store: Store, snapshot_id: str) -> Snapshot | None:
    """The snapshot with this id, or None."""
    with store.begin() as connection:
        record = connection.scalar(select(snapshots.c.record).where(snapshots.c.snapshot_id == snapshot_id))
    return from_record(Snapshot, record) if record else None


def of_digest(store: Store, model: str, digest: str) -> tuple[Snapshot, ...]:
    """Every snapshot of a model that holds the very rows with this digest."""
    record = snapshots.c.record
    query = select(record).where(snapshots.c.model == model, record["digest"].astext == digest)
    with store.begin() as connection:
        return tuple(from_record(Snapshot, found) for found in connection.scalars(query))


def record(store: Store, snapshot: Snapshot) -> None:
    """Write a snapshot; one that is there stays as it is."""
    statement = (
        upsert(snapshots)
        .values(snapshot_id=snapshot.snapshot_id, model=snapshot.model, record=to_record(snapshot))
        .on_conflict_do_nothing(index_elements=["snapshot_id"])
    )
    with store.begin() as connection:
        connection.execute(statement)
