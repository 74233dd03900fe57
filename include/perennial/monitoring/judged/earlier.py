"""What the runs of a version kept of its earlier windows."""

from datetime import UTC, datetime

from perennial.config import ModelConfig
from perennial.contracts import Signal, Subject, Window
from perennial.monitoring.estimates.lasting import IN_WINDOW
from perennial.store import Store
from perennial.store.signals import measured_since

EVER = datetime(1970, 1, 1, tzinfo=UTC)


def read_earlier(
    config: ModelConfig, subject: Subject, *, measured: tuple[Signal, ...], excluded: tuple[Window, ...], store: Store
) -> tuple[Signal, ...]:
    """``concept/excess_in_window`` of the subject's version as of its run, without windows in ``excluded`` stretches.

    Of each window as it was measured last; ``measured`` is what the run measured so far. Raises StoreUnavailable.
    """
    if not (config.signals.estimate.enabled and config.signals.concept.enabled):
        return ()
    found = measured_since(
        store, config.model, version=subject.version, names=[IN_WINDOW], start=EVER, by=subject.as_of
    )
    mine = (one for one in measured if one.name == str(IN_WINDOW) and one.version == subject.version)
    return tuple(one for one in (*found, *mine) if not any(one.window.overlaps(stretch) for stretch in excluded))
