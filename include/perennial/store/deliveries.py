"""Which delivery of a window is the newest one."""

from sqlalchemy import func, update

from perennial.store.engine import Store
from perennial.store.schema import batches


def mark_delivered(store: Store, batch_id: str) -> None:
    """The batch is what the source holds now: a good one sent again after a broken one is the newest again.

    Raises StoreUnavailable.
    """
    statement = update(batches).where(batches.c.batch_id == batch_id).values(delivered_at=func.clock_timestamp())
    with store.begin() as connection:
        connection.execute(statement)
