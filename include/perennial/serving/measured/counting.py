"""The figures of this process by version, arm and slot of time, and those of all processes together.

A slot is a twelfth of ``release.guards.over``. Each process keeps its slots in memory and, every second in which it
answered, in a file of its own, from which whichever process is asked adds them up: so a restart forgets nothing.
"""

import contextlib
import logging
import os
import time
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import reduce
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from perennial.config import ModelConfig
from perennial.errors import redacted
from perennial.guards.figures import LATENCY_S, ArmFigures, score_edges

N_SLOTS = 12
_MOST_ARMS = 16
_FEW_ROWS = 16
_KEPT_S = 7 * 24 * 3600
_LOGGER = logging.getLogger(__name__)
_ENCODER, _DECODER = msgspec.json.Encoder(), msgspec.json.Decoder(list[ArmFigures])


@dataclass(slots=True)
class _Slot:
    """What is counted of one version in one arm, since ``start`` (seconds since 1970)."""

    start: float
    latency: list[int]
    scores: list[int]
    missing: list[int]
    requests: int = 0
    errors: int = 0
    rows: int = 0
    rows_squared: int = 0


@dataclass(slots=True)
class _Arm:
    """The slots of one version in one arm, the newest last, and what came before them."""

    slots: list[_Slot] = field(default_factory=list)
    before: ArmFigures | None = None


class Counting:
    """One process's counts. All but ``keep`` and ``with_others``, which a thread may run, is the event loop's."""

    def __init__(self, config: ModelConfig, folder: Path, name: str) -> None:
        self._features, self._edges = tuple(config.features), score_edges(config.task)
        self._step_s = config.release.guards.over.total_seconds() / N_SLOTS
        self._folder, self._file = folder, folder / f"{os.getpid()}-{name}.json"
        self._arms: dict[tuple[str, str], _Arm] = {}
        self._changed = False

    def answered(
        self, version: str, arm: str, rows: Sequence[Sequence[Any]], scores: Sequence[float], took_s: float
    ) -> None:
        """A request that was answered: the values of its rows in the order of the features, and their scores."""
        slot = self._asked(version, arm, took_s)
        slot.rows += len(rows)
        slot.rows_squared += len(rows) ** 2
        if len(rows) <= _FEW_ROWS:
            for score in scores:
                slot.scores[bisect_right(self._edges, score)] += 1
        else:
            places = np.searchsorted(self._edges, scores, side="right")
            for place, n_rows in zip(*map(np.ndarray.tolist, np.unique(places, return_counts=True)), strict=True):
                slot.scores[place] += n_rows
        for values in rows:
            if None in values:
                for place, value in enumerate(values):
                    slot.missing[place] += value is None

    def failed(self, version: str, arm: str, took_s: float) -> None:
        """A request that this version could not answer."""
        self._asked(version, arm, took_s).errors += 1

    def _asked(self, version: str, arm: str, took_s: float) -> _Slot:
        slot = self._slot(version, arm)
        slot.requests += 1
        slot.latency[bisect_right(LATENCY_S, took_s)] += 1
        self._changed = True
        return slot

    def _slot(self, version: str, arm: str) -> _Slot:
        start = time.time() // self._step_s * self._step_s
        known = self._arms.get((version, arm))
        if known is None:
            while len(self._arms) >= _MOST_ARMS:
                del self._arms[next(iter(self._arms))]
            known = self._arms[version, arm] = _Arm()
        if not known.slots or known.slots[-1].start != start:
            zeros = ([0] * (len(LATENCY_S) + 1), [0] * (len(self._edges) + 1), [0] * len(self._features))
            known.slots.append(_Slot(start, *zeros))
            if len(known.slots) > N_SLOTS:
                gone = self._figures(version, arm, known.slots.pop(0))
                known.before = gone if known.before is None else known.before.merge(gone)
        return known.slots[-1]

    def _figures(self, version: str, arm: str, slot: _Slot) -> ArmFigures:
        since = datetime.fromtimestamp(slot.start, UTC)
        return ArmFigures(
            version=version,
            arm=arm,
            since=since,
            until=datetime.fromtimestamp(slot.start + self._step_s, UTC),
            requests=slot.requests,
            errors=slot.errors,
            rows=slot.rows,
            rows_squared=slot.rows_squared,
            latency=tuple(slot.latency),
            scores=tuple(slot.scores),
            missing=dict(zip(self._features, slot.missing, strict=True)),
        )

    def mine(self) -> list[ArmFigures]:
        """Those of this process, slot by slot."""
        found: list[ArmFigures] = []
        for (version, arm), known in self._arms.items():
            found += [known.before] if known.before else []
            found += [self._figures(version, arm, slot) for slot in known.slots]
        return found

    def changed(self) -> list[ArmFigures] | None:
        """The same where something was counted since this was asked last; None where nothing was."""
        changed, self._changed = self._changed, False
        return self.mine() if changed else None

    def keep(self, mine: list[ArmFigures]) -> None:
        """Leave them where other processes, and the next one, find them."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            whole = self._file.with_suffix(".part")
            whole.write_bytes(_ENCODER.encode(mine))
            whole.rename(self._file)
        except OSError as error:  # a full disk keeps nobody from being answered
            _LOGGER.warning("the figures of this process were not written: %s", redacted(str(error)))

    def with_others(self, mine: list[ArmFigures]) -> dict[str, list[ArmFigures]]:
        """``recent``, the last slots in which a version answered in an arm, and ``total``, since its files are kept."""
        return summed([*mine, *self._others()], now=datetime.now(UTC))

    def _others(self) -> list[ArmFigures]:
        """Those of other processes; files that nobody wrote to for a week go."""
        found: list[ArmFigures] = []
        for path in sorted(self._folder.glob("*.json")):
            if path == self._file:
                continue
            with contextlib.suppress(OSError, msgspec.DecodeError, ValueError):
                if path.stat().st_mtime < time.time() - _KEPT_S:
                    path.unlink()
                    continue
                kept = _DECODER.decode(path.read_bytes())
                found += [one for one in kept if not one.scores or len(one.scores) == len(self._edges) + 1]
        return found


def summed(found: Iterable[ArmFigures], *, now: datetime) -> dict[str, list[ArmFigures]]:
    """Slots of any processes added up by version and arm: the last twelve that have requests, and all of them. Pure.

    >>> def slot(number): return ArmFigures(version="3", arm="champion", since=day(number).start, until=day(number).end,
    ...     requests=1)
    >>> sums = summed([slot(number) for number in (*range(14), 13)], now=day(20).end)
    >>> sums["recent"][0].requests, sums["total"][0].requests, sums["recent"][0].since == day(2).start
    (13, 15, True)
    """
    arms: dict[tuple[str, str], dict[datetime, ArmFigures]] = {}
    for one in found:
        slots = arms.setdefault((one.version, one.arm), {})
        slots[one.since] = slots[one.since].merge(one) if one.since in slots else one
    sums: dict[str, list[ArmFigures]] = {"recent": [], "total": []}
    for slots in arms.values():
        ordered = [replace(slots[since], until=min(slots[since].until, now)) for since in sorted(slots)]
        sums["recent"].append(reduce(ArmFigures.merge, ordered[-N_SLOTS:]))
        sums["total"].append(reduce(ArmFigures.merge, ordered))
    return sums
