"""One writer per model: PostgreSQL advisory locks, which die with their connection."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy import Connection, text
from sqlalchemy.exc import OperationalError

from perennial.errors import LockTimeout
from perennial.store.engine import Store

RELEASE, DECIDE, SNAPSHOT, TABLES, PUBLISH = "release", "decide", "snapshot", "tables", "publish"
"""The purposes for which a model is locked: one writer at a time for each."""

_LOCK_NOT_AVAILABLE = "55P03"
_LOCK = text("SELECT pg_advisory_xact_lock(hashtextextended(:key, 0))")


@dataclass(frozen=True, slots=True)
class HeldLock:
    """A lock that is held as long as the connection of its transaction lives."""

    connection: Connection

    def require(self) -> None:
        """Raise, as StoreUnavailable, when the connection is gone and with it the lock: another may hold it now."""
        self.connection.execute(text("SELECT 1"))


@contextmanager
def model_lock(store: Store, model: str, purpose: str, *, timeout_s: float = 120) -> Iterator[HeldLock]:
    """Hold the lock ``purpose`` of ``model``; raises LockTimeout when another holds it longer than ``timeout_s``.

    The lock is tied to a transaction of its own, so that a killed process leaves none behind.
    """
    with store.begin() as connection:
        within(connection, timeout_s)
        with waiting_for(
            f"{model}: another run held the {purpose} lock for over {timeout_s:g} s; try again when it ended"
        ):
            connection.execute(_LOCK, {"key": f"perennial:{purpose}:{model}"})
        yield HeldLock(connection)


def within(connection: Connection, timeout_s: float) -> None:
    """From here on, no statement of the transaction waits longer than this for any lock."""
    connection.execute(text("SELECT set_config('lock_timeout', :ms, true)"), {"ms": f"{int(timeout_s * 1000)}ms"})


@contextmanager
def waiting_for(what: str) -> Iterator[None]:
    """A lock that was not to be had in time is LockTimeout, with these words."""
    try:
        yield
    except OperationalError as error:
        if getattr(error.orig, "pgcode", None) != _LOCK_NOT_AVAILABLE:
            raise
        raise LockTimeout(what) from error
