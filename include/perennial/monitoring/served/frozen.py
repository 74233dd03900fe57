"""``skew/snapshot`` and ``skew/declared``: whether features are what they were when the champion was fitted. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from perennial.config import ModelConfig
from perennial.contracts import Signal, SignalName, Subject
from perennial.errors import first_of
from perennial.evidence.answers import NO_BLOCKS, blocks_in, demands_of
from perennial.monitoring.served.rescoring import some_of
from perennial.registry.reference import declared_in
from perennial.statistics.intervals import mean

SNAPSHOT, DECLARED = SignalName("skew", "snapshot"), SignalName("skew", "declared")
OLDER = "the reference of version {} was made before that was kept"


@dataclass(frozen=True, slots=True)
class Frozen:
    """Rows as the champion was fitted and judged on, and those published with the same ids, as far as there are any.

    ``drawn`` has the columns of :func:`perennial.registry.reference.load_reference`, ``published`` those of
    :func:`perennial.evidence.deliveries.again.read_again`.
    """

    drawn: pa.Table
    published: pa.Table


def some_frozen(config: ModelConfig, reference: pa.Table) -> pa.Table:
    """The rows of a reference to compare: at most ``signals.skew.rows``, the same ones every time."""
    return some_of(config, reference, config.signals.skew.rows)


def frozen_signals(config: ModelConfig, subject: Subject, frozen: Frozen | str) -> Iterator[Signal]:
    """Of the rows that were frozen the share that is published otherwise by now; and features declared otherwise.

    ``frozen`` may be why there are none.

    >>> [(one.name, one.status) for one in frozen_signals(flights, subject, "gone")]
    [('skew/snapshot', 'unknown'), ('skew/declared', 'unknown')]
    """
    asked = config.signals.skew
    if isinstance(frozen, str):
        yield subject.unknown(SNAPSHOT, asked.role, frozen, threshold=asked.max_share)
        yield subject.unknown(DECLARED, asked.role, frozen, threshold=0.0)
        return
    yield _snapshot(config, subject, frozen)
    before = declared_in(frozen.drawn)
    if before is None:
        yield subject.unknown(DECLARED, asked.role, OLDER.format(subject.version), threshold=0.0)
        return
    apart = declared_apart(before, config.declared)
    detail = first_of(apart) if apart else f"{len(before)} features and classes, as they were declared"
    yield subject.above(DECLARED, asked.role, float(len(apart)), 0.0, detail=detail)


def _snapshot(config: ModelConfig, subject: Subject, frozen: Frozen) -> Signal:
    """The share of rows of which any feature differs; rows that are no longer published are left out, and told."""
    asked, drawn = config.signals.skew, frozen.drawn
    shared = [name for name in config.features if name in drawn.column_names]
    if "prediction_id" not in drawn.column_names:
        return subject.unknown(SNAPSHOT, asked.role, OLDER.format(subject.version), threshold=asked.max_share)
    places = pc.index_in(drawn["prediction_id"], value_set=frozen.published["prediction_id"].combine_chunks())
    there = drawn.filter(places.is_valid())
    blocks = blocks_in(config, there)
    if not there.num_rows or blocks is None:
        why = NO_BLOCKS if there.num_rows else f"none of {drawn.num_rows} rows that it was fitted on is published still"
        return subject.unknown(SNAPSHOT, asked.role, why, threshold=asked.max_share)
    now = frozen.published.take(places.drop_null())
    differing = {name: _differ(there[name], now[name]) for name in shared}
    apart = np.logical_or.reduce([*differing.values(), np.zeros(there.num_rows, dtype=bool)])
    found = mean(apart.astype(np.float64), blocks, demands=demands_of(config))
    columns = [f"{name} {int(rows.sum())}" for name, rows in differing.items() if rows.any()]
    detail = f"{int(apart.sum())} of {there.num_rows} rows that it was fitted or judged on are published otherwise now"
    detail += f" ({first_of(columns)})" if columns else ""
    if gone := drawn.num_rows - there.num_rows:
        detail += f"; {gone} are not published any more"
    return subject.estimated(SNAPSHOT, asked.role, found, threshold=asked.max_share, is_least=False, detail=detail)


def _differ(before: pa.ChunkedArray, now: pa.ChunkedArray) -> NDArray[np.bool_]:
    """Which values are not the same, shape (n,); two nulls are."""
    same = pc.fill_null(pc.equal(before, now.cast(before.type)), False)
    both_null = pc.and_(before.is_null(), now.is_null())
    differ: NDArray[np.bool_] = ~np.asarray(pc.or_(same, both_null).to_numpy(zero_copy_only=False), dtype=bool)
    return differ


def declared_apart(before: Mapping[str, Mapping[str, Any]], now: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """What of features that are declared both times was declared otherwise, in words.

    Categories that came after all others change no place of theirs. Features that came or went are ``skew/schema``.

    >>> declared_apart({"origin": {"categories": ["EWR", "JFK"]}}, {"origin": {"categories": ["EWR", "JFK", "LGA"]}})
    []
    >>> declared_apart({"origin": {"categories": ["EWR", "JFK"]}}, {"origin": {"categories": ["JFK", "EWR"]}})
    ['origin: categories in another order, or without EWR']
    >>> declared_apart({"temp": {"unit": "F"}}, {"temp": {"unit": "C"}})
    ['temp: unit F, now C']
    """
    found = []
    for name in before:
        for key, old in before[name].items() if name in now else ():
            new = now[name].get(key)
            if key != "categories":
                found += [f"{name}: {key} {old}, now {new}"] if old != new else []
            elif new is None or list(new)[: len(old)] != list(old):
                moved = next(one for place, one in enumerate(old) if list(new or ())[place : place + 1] != [one])
                found.append(f"{name}: categories in another order, or without {moved}")
    return found
