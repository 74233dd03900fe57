"""How many values of a window are missing, unheard of, out of range or of the wrong type."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from perennial.config import ModelConfig
from perennial.contracts import Estimate, ReleaseState, Signal, SignalName, Subject, Window
from perennial.evidence.answers import blocks_in, demands_of
from perennial.evidence.deliveries.delivered import newest_event, read_delivered
from perennial.evidence.samples import Counts, count_values
from perennial.monitoring.reference import fetch_reference, without_champion
from perennial.monitoring.served.deliveries import MOST_EARLIER, delivery_signals
from perennial.registry import Registry
from perennial.statistics.comparing.shares import share
from perennial.statistics.intervals import difference, mean
from perennial.store import Store
from perennial.store.batches import audits
from perennial.store.signals import save


@dataclass(frozen=True, slots=True)
class KnownValues:
    """What the champion knew of each feature: the share of nulls, and the values of each category.

    ``estimates`` are those shares with their intervals, where its reference says in which block each row lies.
    """

    null_rates: dict[str, float]
    values: dict[str, list[str]]
    estimates: dict[str, Estimate] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Audited:
    """What the audits of a window's published deliveries counted, added up; ``n_rows`` 0 when there was none."""

    n_rows: int
    n_type_errors: Mapping[str, int]
    n_out_of_range: Mapping[str, int]


def measure_quality(
    config: ModelConfig, window: Window, *, store: Store, registry: Registry, state: ReleaseState
) -> tuple[Signal, ...]:
    """Null and unseen-category rates over all rows of the window, what the audits counted, and its delivery; kept.

    Without a champion only the latter two can be measured. Raises StoreUnavailable, RegistryUnavailable.
    """
    subject = Subject.of_run(config.model, window, state.champion)
    delivered = read_delivered(config, window, most=MOST_EARLIER + 1, store=store)
    audited = (
        *audit_signals(config, subject, add_up(audits(store, config.model, window))),
        *delivery_signals(config, subject, delivered, newest_event(config, window, store=store)),
    )
    if state.champion is None:
        return save(store, [without_champion(subject), *audited])
    rows, gone = fetch_reference(registry, config.model, state.champion)
    if rows is None:
        return save(store, [*without_reference(config, subject, gone), *audited])
    known = summarise(config, rows)
    counts = count_values(config, window, known.values, store=store)
    return save(store, [*row_signals(config, subject, counts, known), *audited])


def summarise(config: ModelConfig, rows: pa.Table) -> KnownValues:
    """The null rates and category values of a reference; features that it lacks, or holds no value of, are absent.

    ``rows`` holds features with their types in the store; other columns are not looked at.

    >>> summarise(flights, pa.table({"origin": ["JFK", None], "temp_f": [40.0, None]}))
    KnownValues(null_rates={'origin': 0.5, 'temp_f': 0.5}, values={'origin': ['JFK']}, estimates={})
    """
    present = [name for name in config.features if name in rows.column_names and rows.num_rows]
    values = {
        name: sorted(str(value) for value in pc.unique(rows[name].drop_null()).to_pylist())
        for name in present
        if config.features[name].type == "category"
    }
    blocks, demands = blocks_in(config, rows), demands_of(config)
    return KnownValues(
        null_rates={name: rows[name].null_count / rows.num_rows for name in present},
        values={name: found for name, found in values.items() if found},
        estimates={}
        if blocks is None
        else {name: mean(pc.is_null(rows[name]).to_numpy().astype(float), blocks, demands=demands) for name in present},
    )


def add_up(records: Sequence[Mapping[str, Any]]) -> Audited:
    """The counts of several audits of one window as one.

    >>> add_up([{"n_rows": 9, "n_type_errors": {"a": 1}, "n_out_of_range": {}}, {"n_rows": 1}])
    Audited(n_rows=10, n_type_errors={'a': 1}, n_out_of_range={})
    """

    def total(kind: str) -> dict[str, int]:
        names = {name: None for audit in records for name in audit.get(kind, {})}
        return {name: sum(audit.get(kind, {}).get(name, 0) for audit in records) for name in names}

    return Audited(sum(audit["n_rows"] for audit in records), total("n_type_errors"), total("n_out_of_range"))


def without_reference(config: ModelConfig, subject: Subject, why: str) -> Iterator[Signal]:
    """Every null and unseen rate as unknown, for the one reason that the champion's reference is gone. Pure.

    >>> next(without_reference(flights, subject, "the reference is gone")).status
    'unknown'
    """
    for name in config.features:
        yield from _unknown(config, subject, name, why)


def row_signals(config: ModelConfig, subject: Subject, counts: Counts, known: KnownValues) -> Iterator[Signal]:
    """``quality/null_rate/<feature>`` (increase over the reference) and ``quality/unseen/<category>`` (share). Pure.

    Without rows, or for a feature that the reference lacks: unknown. An increase is breached by its whole interval,
    where both sides have enough blocks for one, and by itself where they do not.

    >>> counts = Counts(8, dict.fromkeys(flights.features, 6))
    >>> known = KnownValues(dict.fromkeys(flights.features, 0.0), {})
    >>> next(row_signals(flights, subject, counts, known)).value
    0.25
    """
    quality = config.signals.quality
    for name in config.features:
        if not counts.n_rows:
            yield from _unknown(config, subject, name, "the window holds no served row")
            continue
        if name not in known.null_rates:
            yield from _unknown(config, subject, name, f"the reference of version {subject.version} has no {name}")
            continue
        rate = 1 - counts.n_seen[name] / counts.n_rows
        before = known.null_rates[name]
        detail = f"{rate:.4f} of {counts.n_rows} rows, {before:.4f} in the reference"
        signal, most = SignalName.quality("null_rate", name), quality.max_null_increase
        found = _increase(config, counts, known, name)
        if found.interval is None:
            yield subject.above(signal, quality.role, rate - before, most, detail=detail)
        else:
            yield subject.estimated(signal, quality.role, found, threshold=most, is_least=False, detail=detail)
        if config.features[name].type == "category":
            yield _unseen(config, subject, name, counts)


def _increase(config: ModelConfig, counts: Counts, known: KnownValues, name: str) -> Estimate:
    """By how much more of a feature is null than in the reference, with its interval where there is one."""
    if name not in known.estimates or name not in counts.by_block:
        return Estimate(problem="one side has no blocks")
    n_rows, n_seen = (np.array(counts.by_block[key], dtype=np.int64) for key in ("", name))
    now = share(n_rows - n_seen, n_rows, demands=demands_of(config))
    return difference(now, known.estimates[name])


def _unknown(config: ModelConfig, subject: Subject, name: str, why: str) -> Iterator[Signal]:
    quality = config.signals.quality
    yield subject.unknown(SignalName.quality("null_rate", name), quality.role, why, threshold=quality.max_null_increase)
    if config.features[name].type == "category":
        yield subject.unknown(SignalName.quality("unseen", name), quality.role, why, threshold=quality.max_unseen_share)


def _unseen(config: ModelConfig, subject: Subject, name: str, counts: Counts) -> Signal:
    quality, signal = config.signals.quality, SignalName.quality("unseen", name)
    if name not in counts.n_unseen:
        why = f"the reference of version {subject.version} has no value of {name}"
        return subject.unknown(signal, quality.role, why, threshold=quality.max_unseen_share)
    n_seen, n_unseen = counts.n_seen[name], counts.n_unseen[name]
    if not n_seen:
        return subject.unknown(signal, quality.role, "every value is null", threshold=quality.max_unseen_share)
    detail = f"{n_unseen} of {n_seen} values"
    return subject.above(signal, quality.role, n_unseen / n_seen, quality.max_unseen_share, detail=detail)


def audit_signals(config: ModelConfig, subject: Subject, audited: Audited) -> Iterator[Signal]:
    """``quality/type_error/<feature>`` and ``quality/out_of_range/<feature>``: shares of the delivered rows. Pure.

    >>> next(audit_signals(flights, subject, Audited(8, {"scheduled_hour": 2}, {}))).value
    0.25
    >>> next(audit_signals(flights, subject, Audited(0, {}, {}))).status
    'unknown'
    """
    quality = config.signals.quality
    for name, feature in config.features.items():
        families = []
        if feature.type != "category" or name in audited.n_type_errors:
            families.append(("type_error", audited.n_type_errors, quality.max_type_error_share))
        if feature.type in ("int", "float") and (feature.min is not None or feature.max is not None):
            families.append(("out_of_range", audited.n_out_of_range, quality.max_out_of_range_share))
        for family, counted, most in families:
            signal = SignalName.quality(family, name)
            if not audited.n_rows:
                yield subject.unknown(signal, quality.role, "no audited delivery of this window", threshold=most)
                continue
            n_bad = counted.get(name, 0)
            detail = f"{n_bad} of {audited.n_rows} delivered rows"
            yield subject.above(signal, quality.role, n_bad / audited.n_rows, most, detail=detail)
