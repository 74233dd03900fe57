"""Everything but performance and flags that labelled rows tell about a window."""

from collections.abc import Iterable, Iterator

import pyarrow as pa

from perennial.config import ModelConfig
from perennial.contracts import Signal, Subject
from perennial.contracts.signals import Family
from perennial.monitoring.estimates.expectation import Expectation, learn
from perennial.monitoring.estimates.lasting import lasting_signals
from perennial.monitoring.estimates.signals import concept_signals
from perennial.monitoring.families import spoken
from perennial.monitoring.judged.fairness import fairness_signals
from perennial.monitoring.judged.slices import slice_signals
from perennial.monitoring.served.answers import label_signals


def families(config: ModelConfig) -> tuple[Family, ...]:
    """The families of :func:`judged_signals` that are switched on. Pure.

    >>> families(flights)
    ('labels', 'concept', 'slice')
    """
    asked = config.signals
    wanted: dict[Family, bool] = {"labels": asked.prediction.enabled, "concept": asked.estimate.enabled}
    wanted |= {"slice": asked.slices.find or bool(asked.slices.columns), "fairness": bool(asked.fairness.columns)}
    return tuple(family for family, is_on in wanted.items() if is_on)


def judged_signals(
    config: ModelConfig,
    subject: Subject,
    rows: pa.Table | None,
    *,
    reference: pa.Table | None,
    gone: str,
    earlier: Iterable[Signal] = (),
    why: str | None = None,
) -> tuple[Signal, ...]:
    """The signals of every family that is switched on; one that says nothing is silent, which is a breach. Pure.

    ``rows`` are those of :func:`perennial.evidence.labelled.read_judged` with features; ``why`` they say nothing makes
    every signal unknown. Without a reference, because it is ``gone``, what needs it is unknown. ``earlier`` are those
    of :func:`perennial.monitoring.estimates.lasting.lasting_signals`.
    """
    found = _signals(config, subject, rows, reference=reference, gone=gone, earlier=earlier, why=why)
    return spoken(subject, families(config), found)


def _signals(
    config: ModelConfig,
    subject: Subject,
    rows: pa.Table | None,
    *,
    reference: pa.Table | None,
    gone: str,
    earlier: Iterable[Signal],
    why: str | None,
) -> Iterator[Signal]:
    if config.signals.prediction.enabled:
        yield from label_signals(config, subject, rows, reference=reference, why=why or gone)
    yield from fairness_signals(config, subject, rows, why=why)
    needed = config.signals.estimate.enabled or config.signals.slices.find
    known: Expectation | str = gone if reference is None or not needed else learn(config, reference)
    yield from slice_signals(config, subject, rows, known=known, why=why)
    if config.signals.estimate.enabled:
        yield from concept_signals(config, subject, rows, known=known, why=why)
        if config.signals.concept.enabled:
            yield from lasting_signals(config, subject, rows, known=known, earlier=earlier, why=why)
