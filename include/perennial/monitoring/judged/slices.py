"""``slice/...``: metrics of declared slices, and the slice that is worst against what its scores let expect. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from perennial.config import ModelConfig
from perennial.contracts import Estimate, Signal, SignalName, Subject
from perennial.evidence.answers import NO_BLOCKS, answers_in, demands_of
from perennial.evidence.groups.worst import values_of, worst_slice
from perennial.monitoring.estimates.expectation import Expectation
from perennial.monitoring.estimates.losses import excess_of
from perennial.statistics.comparing.shares import apart_from_rest

FOUND = SignalName("slice", "found")
Numbers = NDArray[np.float64]


def slice_signals(
    config: ModelConfig, subject: Subject, rows: pa.Table | None, *, known: Expectation | str, why: str | None = None
) -> Iterator[Signal]:
    """``slice/<metric>/<column>=<value>`` of ``signals.slices.columns``, and ``slice/found``.

    ``rows`` are those of :func:`perennial.evidence.labelled.read_judged` with features; ``why`` they say nothing makes
    every signal unknown. ``known`` is what the champion's holdout lets expect, or why it is gone.

    >>> [(one.name, one.status) for one in slice_signals(flights, subject, None, known="gone", why="no labels")]
    [('slice/found', 'unknown')]
    """
    asked = config.signals.slices
    for column in asked.columns:
        yield from _declared(config, subject, rows, column, why)
    if asked.find:
        yield _found(config, subject, rows, known, why)


def _declared(
    config: ModelConfig, subject: Subject, rows: pa.Table | None, column: str, why: str | None
) -> Iterator[Signal]:
    """Each metric on the rows of each value that has ``min_rows`` of them, against the metric's bound.

    All intervals of a column hold at once (Bonferroni).
    """
    asked = config.signals.slices
    values = [] if rows is None or why else values_of(rows[column], asked.min_rows)
    for name, wanted in config.signals.performance.items():
        metric = config.metric(name)
        if rows is None or why or not values:
            problem = why or f"no value of {column} has {asked.min_rows} labelled rows"
            yield subject.unknown(SignalName("slice", f"{name}/{column}"), asked.role, problem, threshold=wanted.bound)
            continue
        demands = demands_of(config)
        each = replace(demands, confidence=1 - (1 - demands.confidence) / len(values))
        for value, inside in values:
            found = answers_in(config, rows.filter(pa.array(inside))).estimate(config, name, demands=each)
            signal = SignalName("slice", f"{name}/{column}={value}")
            if found.value is None:
                found = Estimate(problem=f"{name} can not be computed on the rows of {value}")
            yield subject.estimated(signal, asked.role, found, threshold=wanted.bound, is_least=metric.more_is_better)


@dataclass(frozen=True, slots=True)
class _Searched:
    """Rows with their features, by how much each one's loss exceeds what was expected, and their blocks."""

    rows: pa.Table
    excess: Numbers
    blocks: NDArray[np.intp]


def _found(
    config: ModelConfig, subject: Subject, rows: pa.Table | None, known: Expectation | str, why: str | None
) -> Signal:
    """How much more the loss of the worst slice exceeds what was expected than that of all other rows does.

    In shares of the expected loss.
    """
    asked = config.signals.slices
    searched: _Searched | str = why or (known if isinstance(known, str) else "no labelled rows")
    if rows is not None and not why and isinstance(known, Expectation):
        searched = _prepared(config, rows, known)
    if isinstance(searched, str):
        return subject.unknown(FOUND, asked.role, searched, threshold=asked.max_excess)
    inside, rule = worst_slice(config, searched.rows, searched.excess, searched.blocks, min_rows=asked.min_rows)
    found = apart_from_rest(searched.excess, inside, searched.blocks, demands=demands_of(config))
    detail = f"{rule}: {int(inside.sum())} rows; {found.basis}"
    return subject.estimated(FOUND, asked.role, found, threshold=asked.max_excess, is_least=False, detail=detail)


def _prepared(config: ModelConfig, rows: pa.Table, known: Expectation) -> _Searched | str:
    answers, drawn = answers_in(config, rows), known.drawn(config, rows)
    real = answers.measured(config)
    if answers.blocks is None:
        return NO_BLOCKS
    if real is None or drawn is None:
        return "fewer than two labelled rows, or a score that is missing or no number"
    excess = excess_of(config, real, drawn)
    return excess if isinstance(excess, str) else _Searched(rows, excess.values / excess.expected, answers.blocks)
