"""``estimate/<metric>`` of a window without labels, and ``concept/<metric>`` of one whose labels are in. Pure."""

from collections.abc import Iterator

import pyarrow as pa

from perennial.config import ModelConfig
from perennial.contracts import Estimate, Signal, SignalName, Subject
from perennial.evidence.answers import NO_BLOCKS, answers_in, blocks_in, demands_of
from perennial.monitoring.estimates.expectation import Expectation
from perennial.statistics.expected.estimates import DrawnTruths, concept_gap, expected


def estimate_signals(
    config: ModelConfig, subject: Subject, rows: pa.Table | None, *, known: Expectation | str
) -> Iterator[Signal]:
    """What each metric of ``signals.performance`` should be on served rows, against its bound.

    ``rows`` are those of :func:`perennial.evidence.samples.read_scored`; None, as a text for ``known``, makes every
    estimate unknown. The order of the rows never matters but for ties of scores.

    >>> [(found.name, found.status) for found in estimate_signals(flights, subject, None, known="gone")][0]
    ('estimate/roc_auc', 'unknown')
    """
    role = config.signals.estimate.role
    drawn, blocks, why = None, None, known if isinstance(known, str) else ""
    if isinstance(known, Expectation) and rows is not None:
        drawn, blocks = known.drawn(config, rows), blocks_in(config, rows)
        like = known.like(rows) if drawn is not None else known.holdout
        why = "" if blocks is not None else NO_BLOCKS
    for name, wanted in config.signals.performance.items():
        metric, signal = config.metric(name), SignalName("estimate", name)
        if isinstance(known, str) or drawn is None or blocks is None:
            why = why or f"{0 if rows is None else rows.num_rows} served rows, not two, or one has no score"
            yield subject.unknown(signal, role, why, threshold=wanted.bound)
            continue
        found = expected(metric, like, drawn, blocks, demands=demands_of(config))
        detail = f"expected on {len(blocks)} rows without labels; {found.basis}" if found.interval else ""
        yield subject.estimated(
            signal, role, found, threshold=wanted.bound, is_least=metric.more_is_better, detail=detail
        )


def concept_signals(
    config: ModelConfig, subject: Subject, rows: pa.Table | None, *, known: Expectation | str, why: str | None = None
) -> Iterator[Signal]:
    """How much worse each metric is than the scores of the same rows let expect: labels changed for the same scores.

    ``rows`` are those of :func:`perennial.evidence.labelled.read_judged` with features; ``why`` they say nothing makes
    every gap unknown. The bound is ``max_loss`` of the metric, and zero without one.
    """
    role = config.signals.estimate.role
    drawn, why = None, why or (known if isinstance(known, str) else None)
    if rows is not None and not why and isinstance(known, Expectation):
        answers, drawn = answers_in(config, rows), known.drawn(config, rows)
        real, blocks = answers.measured(config), answers.blocks
        like = known.like(rows) if drawn is not None else known.holdout
    for name, wanted in config.signals.performance.items():
        metric, signal, most = config.metric(name), SignalName("concept", name), wanted.max_loss or 0.0
        if isinstance(known, str) or drawn is None or real is None or blocks is None:
            yield subject.unknown(signal, role, why or "no labelled row, or a score that is no number", threshold=most)
            continue
        found = concept_gap(metric, like, DrawnTruths(real, drawn, blocks), demands=demands_of(config))
        detail = _sentence(metric.function(real), found) if found.value is not None else ""
        yield subject.estimated(signal, role, found, threshold=most, is_least=False, detail=detail)


def _sentence(value: float | None, found: Estimate) -> str:
    return f"{value or 0.0:.4f}, {found.value or 0.0:.4f} worse than its scores let expect; {found.basis}"
