"""What the champion served in a window, read once, and every signal of it."""

from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from perennial.config import ModelConfig
from perennial.config.training.threshold import deciding_by
from perennial.contracts import ReleaseState, Signal, Subject, Window
from perennial.contracts.signals import Family
from perennial.errors import PermanentError
from perennial.evidence.deliveries.again import read_again
from perennial.evidence.samples import read_scored
from perennial.monitoring.estimates.expectation import Expectation, learn
from perennial.monitoring.estimates.signals import estimate_signals
from perennial.monitoring.families import spoken
from perennial.monitoring.reference import fetch_reference
from perennial.monitoring.served.answers import prediction_signals
from perennial.monitoring.served.attribution import attribution_signals
from perennial.monitoring.served.frozen import Frozen, frozen_signals, some_frozen
from perennial.monitoring.served.rescoring import skew_signals
from perennial.registry import Registry, load_model, score
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
    config = deciding_by(config, state.threshold_of(state.champion, config.label.decision_threshold))
    subject = Subject.of_run(config.model, window, state.champion)
    reference, gone = fetch_reference(registry, config.model, state.champion)
    rows = read_scored(config, window, state.champion, excluded=state.excluded, store=store)
    model = _champion(config, registry, state) if {"skew", "attribution"} & set(expected) else ""
    frozen: Frozen | str = gone
    if reference is not None and config.signals.skew.enabled:
        drawn = some_frozen(config, reference)
        ids = drawn["prediction_id"].to_pylist() if "prediction_id" in drawn.column_names else []
        frozen = Frozen(drawn, read_again(config, ids, as_of=subject.as_of, store=store))
    found = served_signals(config, subject, rows, reference=reference, gone=gone, frozen=frozen, model=model)
    return save(store, spoken(subject, expected, found))


def _champion(config: ModelConfig, registry: Registry, state: ReleaseState) -> Any | str:
    """The estimator of the champion, or why it can not be had. Raises RegistryUnavailable."""
    version = str(state.champion)
    try:
        return load_model(
            registry,
            config.model,
            version,
            trusted_types=config.training.trusted_types,
            expected_digest=state.digest_of(version),
        )
    except PermanentError as error:
        return f"version {version} can not be loaded: {error}"


def families(config: ModelConfig) -> tuple[Family, ...]:
    """The families of :func:`served_signals` that are switched on. Pure.

    >>> families(flights)
    ('prediction', 'estimate', 'skew', 'attribution')
    """
    asked = config.signals
    wanted: dict[Family, bool] = {
        "prediction": asked.prediction.enabled,
        "estimate": asked.estimate.enabled,
        "skew": asked.skew.enabled,
        "attribution": asked.attribution.enabled,
    }
    return tuple(family for family, is_on in wanted.items() if is_on)


def served_signals(
    config: ModelConfig,
    subject: Subject,
    rows: pa.Table,
    *,
    reference: pa.Table | None,
    gone: str,
    frozen: Frozen | str,
    model: Any | str,
) -> Iterator[Signal]:
    """All of them, of ``rows`` as :func:`perennial.evidence.samples.read_scored` gives them.

    Without a reference, because it is ``gone``, every signal that needs it is unknown; likewise of the ``model``, the
    champion's estimator, or why it can not be had, and of rows that were ``frozen`` when it was fitted.
    """
    if config.signals.prediction.enabled:
        yield from prediction_signals(config, subject, rows, reference=reference, gone=gone)
    if config.signals.estimate.enabled:
        known: Expectation | str = gone if reference is None else learn(config, reference)
        yield from estimate_signals(config, subject, rows, known=known)
    if config.signals.skew.enabled:
        yield from skew_signals(config, subject, rows, model=model)
        yield from frozen_signals(config, subject, frozen)
    if config.signals.attribution.enabled:
        answer = model if isinstance(model, str) else (lambda table: score(config, model, table))
        yield from attribution_signals(config, subject, rows, reference=reference, answer=gone or answer)
