"""How far the rows of a window lie from those the champion was fitted and judged on, and from earlier ones."""

from perennial.config import ModelConfig
from perennial.contracts import ReleaseState, Signal, Subject, Window
from perennial.evidence.samples import read_sample
from perennial.monitoring.drift.comparing import read_compared
from perennial.monitoring.drift.signals import drift_signals, unmeasured
from perennial.monitoring.feature_flags import feature_flags
from perennial.monitoring.reference import fetch_importance, fetch_reference, without_champion
from perennial.registry import Registry
from perennial.store import Store
from perennial.store.signals import save


def measure_drift(
    config: ModelConfig, window: Window, *, store: Store, registry: Registry, state: ReleaseState
) -> tuple[Signal, ...]:
    """The drift of every feature, of the score, and of what the champion uses, and the flags of features; kept.

    Raises StoreUnavailable, LockTimeout and RegistryUnavailable; everything about the data itself becomes a signal.
    """
    subject = Subject.of_run(config.model, window, state.champion)
    if state.champion is None:
        return save(store, [without_champion(subject)])
    reference, gone = fetch_reference(registry, config.model, state.champion)
    if reference is None:
        unknown = feature_flags(config, subject, None, reference=None, gone=gone)
        return save(store, [*unmeasured(config, subject, gone), *unknown])
    importance = fetch_importance(registry, config.model, state.champion)
    rows = read_sample(config, window, store=store)
    compared = read_compared(config, window, state.champion, reference=reference, store=store)
    found = drift_signals(config, subject, rows, reference=reference, compared=compared, importance=importance)
    return save(store, [*found, *feature_flags(config, subject, rows, reference=reference)])
