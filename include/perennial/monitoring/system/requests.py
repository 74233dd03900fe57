"""``system/...``: latency, error rate and memory of the requests of a window, against bounds or their own past."""

from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from perennial.config import ERROR, LATENCY, MEMORY, ModelConfig
from perennial.contracts import Estimate, ReleaseState, Signal, SignalName, Subject, Window
from perennial.evidence.answers import NO_BLOCKS, blocks_in, demands_of
from perennial.evidence.deliveries.operations import read_requests
from perennial.monitoring.families import spoken
from perennial.monitoring.series.limits import within_limits
from perennial.statistics.comparing.quantiles import quantile
from perennial.statistics.intervals import mean
from perennial.store import Store
from perennial.store.signals import measured_named, save

FIGURES = {
    "latency_p50_ms": LATENCY,
    "latency_p95_ms": LATENCY,
    "latency_p99_ms": LATENCY,
    "error_rate": ERROR,
    "memory_p95_mb": MEMORY,
}
"""What each figure is of; its bound is the ``max_`` of its name in ``signals.system``."""
QUANTILES = {"latency_p50_ms": 0.5, "latency_p95_ms": 0.95, "latency_p99_ms": 0.99, "memory_p95_mb": 0.95}


def measure_system(config: ModelConfig, window: Window, *, store: Store, state: ReleaseState) -> tuple[Signal, ...]:
    """The signals of every column of the log that says how a request went; kept. None where it says nothing.

    Estimated over the window, or over as many as hold enough blocks, whichever version answered. Raises
    StoreUnavailable.
    """
    names = [str(name) for name, _, _ in _asked(config)]
    if not names:
        return ()
    subject = Subject.of_run(config.model, window, state.champion)
    rows = read_requests(config, window, excluded=state.excluded, store=store)
    history = measured_named(store, config.model, names=names, by=window.end)
    return save(store, spoken(subject, ["system"], system_signals(config, subject, rows, history=history)))


def _asked(config: ModelConfig) -> Iterator[tuple[SignalName, str, float | None]]:
    """Each figure that the log allows: its name, the column that it is of, and its bound."""
    bounds = config.signals.system.model_dump()
    for subject, column in FIGURES.items():
        if column in config.operational:
            yield SignalName("system", subject), column, bounds[f"max_{subject}"]


def system_signals(
    config: ModelConfig, subject: Subject, rows: pa.Table, *, history: Iterable[Signal] = ()
) -> Iterator[Signal]:
    """``system/latency_p50_ms``, ``_p95_ms``, ``_p99_ms``, ``error_rate``, ``memory_p95_mb``, as far as they are told.

    ``rows`` are those of :func:`perennial.evidence.deliveries.operations.read_requests`; ``history`` are the known
    values of all of them, in the order in which they were measured. Pure; the order of the rows never matters.

    >>> list(system_signals(flights, subject, pa.table({"event_time": []})))
    []
    """
    known = tuple(history)
    for name, column, bound in _asked(config):
        measured = rows.filter(rows[column].is_valid())
        found = _figure(config, name, measured, column)
        role = config.signals.system.role
        if found.value is None:
            yield subject.unknown(name, role, found.problem, threshold=bound)
            continue
        detail = f"{measured.num_rows} of {rows.num_rows} requests say it{_blocks(found)}"
        if bound is not None:
            yield subject.estimated(name, role, found, threshold=bound, is_least=False, detail=detail)
            continue
        before = _before(known, name, subject.window)
        signal = within_limits(subject, name, role, found.value, earlier=before, sigmas=config.signals.system.sigmas)
        yield replace(signal, interval=found.interval, detail=f"{signal.detail}; {detail}")


def _figure(config: ModelConfig, name: SignalName, rows: pa.Table, column: str) -> Estimate:
    blocks, demands = blocks_in(config, rows), demands_of(config)
    if not rows.num_rows or blocks is None:
        return Estimate(problem=NO_BLOCKS if rows.num_rows else "no request says it")
    values: NDArray[np.float64] = rows[column].to_numpy(zero_copy_only=False).astype(np.float64)
    if column == ERROR:
        return mean(values, blocks, demands=demands)
    return quantile(values, QUANTILES[name.subject], blocks, demands=demands)


def _blocks(found: Estimate) -> str:
    return f": {found.problem}" if found.interval is None else f", in {found.interval.n_blocks} blocks"


def _before(history: tuple[Signal, ...], name: SignalName, window: Window) -> list[float]:
    """The values of earlier windows, oldest first, of each as it was measured last."""
    of_window = {one.window: one.value for one in history if one.name == str(name) and one.window.end < window.end}
    return [value for _, value in sorted(of_window.items(), key=lambda one: one[0].end) if value is not None]
