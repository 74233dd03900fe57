"""Signals: made in one place, so that none of them can read as a pass without a value, and kept by upsert."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.dialects.postgresql import insert as upsert

from perennial.config import ModelConfig
from perennial.contracts import Role, Signal, Window
from perennial.store import Store
from perennial.store.schema import signals

NO_VERSION = "none"
"""How the table writes the absent version of a signal: its key can hold no null."""
MOST_DETAIL = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What a signal speaks about: a model's window, as known at ``as_of``, under the champion ``version``."""

    model: str
    window: Window
    as_of: datetime
    version: str | None

    def known(
        self, name: str, role: Role, value: float, *, threshold: float, breached: bool, detail: str = ""
    ) -> Signal:
        """A measured signal; a NaN or an infinite value makes it unknown, whatever ``breached`` says."""
        if not math.isfinite(value):
            return self.unknown(name, role, f"the result is {value}", threshold=threshold)
        return Signal(
            model=self.model,
            window=self.window,
            as_of=self.as_of,
            name=name,
            role=role,
            status="breached" if breached else "ok",
            value=float(value),
            threshold=threshold,
            version=self.version,
            detail=detail[:MOST_DETAIL],
        )

    def above(self, name: str, role: Role, value: float, most: float, *, detail: str = "") -> Signal:
        """A measured signal that is breached above ``most``."""
        return self.known(name, role, value, threshold=most, breached=value > most, detail=detail)

    def unknown(self, name: str, role: Role, why: str, *, threshold: float | None = None) -> Signal:
        """A signal that could not be measured, and why."""
        return Signal(
            model=self.model,
            window=self.window,
            as_of=self.as_of,
            name=name,
            role=role,
            status="unknown",
            value=None,
            threshold=threshold,
            version=self.version,
            detail=why[:MOST_DETAIL],
        )


def subject_of(config: ModelConfig, window: Window, version: str | None) -> Subject:
    """What the run of ``window`` itself speaks about: its own rows, as known at its end."""
    return Subject(model=config.model, window=window, as_of=window.end, version=version)


def without_champion(subject: Subject) -> Signal:
    """The one signal of a model that has no champion, and so nothing to be compared with."""
    return subject.unknown("reference", "alert", "no champion yet: there is nothing to compare this window with")


def save(store: Store, measured: Iterable[Signal]) -> tuple[Signal, ...]:
    """Write the signals over those of an earlier attempt of the same run, and return them."""
    kept = tuple(measured)
    if not kept:
        return kept
    statement = upsert(signals).values([_row(signal) for signal in kept])
    keys = [column.name for column in signals.primary_key.columns]
    new = {column.name: statement.excluded[column.name] for column in signals.columns if column.name not in keys}
    with store.begin() as connection:
        connection.execute(statement.on_conflict_do_update(index_elements=keys, set_=new))
    return kept


def _row(signal: Signal) -> dict[str, object]:
    return {
        "model": signal.model,
        "window_start": signal.window.start,
        "window_end": signal.window.end,
        "name": signal.name,
        "as_of": signal.as_of,
        "version": signal.version or NO_VERSION,
        "role": signal.role,
        "status": signal.status,
        "value": signal.value,
        "threshold": signal.threshold,
        "detail": signal.detail,
    }
