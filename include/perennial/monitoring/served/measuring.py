"""What the champion served in a window, read once, and every signal of it."""

from collections.abc import Iterator

import pyarrow as pa

from perennial.config import ModelConfig
from perennial.contracts import ReleaseState, Signal, Subject, Window
from perennial.contracts.signals import Family
from perennial.evidence.samples import read_scored
from perennial.monitoring.estimates.expectation import Expectation, learn
from perennial.monitoring.estimates.signals import estimate_signals
from perennial.monitoring.families import spoken
from perennial.monitoring.reference import fetch_reference
from perennial.monitoring.served.answers import prediction_signals
from perennial.registry import Registry
from perennial.store import Store
from perennial.store.signals import save


def measure_served(
    config: ModelConfig, window: Window, *, store: Store, registry: Registry, state: ReleaseState
) -> tuple[Signal, ...]:
    """The signals of rows that the champion served, which need no label; kept. None without a champion.

    They are estimated over the window, or over as many as hold enough blocks. Raises StoreUnavailable,
    RegistryUnavailable.
    """
    expected = families(config)
    if state.champion is None or not expected:
        return ()
    subject = Subject.of_run(config.model, window, state.champion)
    reference, gone = fetch_reference(registry, config.model, state.champion)
    rows = read_scored(config, window, state.champion, excluded=state.excluded, store=store)
    return save(store, spoken(subject, expected, served_signals(config, subject, rows, reference=reference, gone=gone)))


def families(config: ModelConfig) -> tuple[Family, ...]:
    """The families of :func:`served_signals` that are switched on. Pure.

    >>> families(flights)
    ('prediction', 'estimate')
    """
    asked = config.signals
    wanted: dict[Family, bool] = {"prediction": asked.prediction.enabled, "estimate": asked.estimate.enabled}
    return tuple(family for family, is_on in wanted.items() if is_on)


def served_signals(
    config: ModelConfig, subject: Subject, rows: pa.Table, *, reference: pa.Table | None, gone: str
) -> Iterator[Signal]:
    """All of them, of ``rows`` as :func:`perennial.evidence.samples.read_scored` gives them. Pure.

    Without a reference, because it is ``gone``, every signal that needs it is unknown.
    """
    if config.signals.prediction.enabled:
        yield from prediction_signals(config, subject, rows, reference=reference, gone=gone)
    if config.signals.estimate.enabled:
        known: Expectation | str = gone if reference is None else learn(config, reference)
        yield from estimate_signals(config, subject, rows, known=known)
