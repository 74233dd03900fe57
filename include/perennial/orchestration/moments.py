"""Event time, for what a human starts: a replay of the past must not act in the present."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from perennial.pipeline import Runtime


def last_monitored(model: str, *, runtime: Runtime) -> datetime | None:
    """The end of the latest window that was decided about, or None before the first."""
    from perennial.store import ledger

    decisions = ledger.entries(runtime.store, model, kinds=["decision"])
    return max((entry.at for entry in decisions), default=None)
