"""The ledger: append-only, and the truth about releases. What its entries say is folded in ``fold.py``."""

from perennial.ledger.entries import (
    append,
    counts,
    entries,
    entry,
    histories,
    newest_decided,
    newest_decision,
    read,
    release_state,
)
from perennial.ledger.fold import RELEASE_KINDS, History, after, fold

__all__ = [
    "RELEASE_KINDS",
    "History",
    "after",
    "append",
    "counts",
    "entries",
    "entry",
    "fold",
    "histories",
    "newest_decided",
    "newest_decision",
    "read",
    "release_state",
]
