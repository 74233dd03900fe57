"""The flags on what a candidate was fitted and judged on: with one, no policy answers for its release."""

from collections.abc import Iterable

from perennial.config import ModelConfig
from perennial.contracts import Flag, Signal, SignalName, Snapshot, Window
from perennial.store import Store, signals


def read_flags(
    config: ModelConfig, snapshot: Snapshot, *, excluded: tuple[Window, ...], store: Store
) -> tuple[Flag, ...]:
    """The flags on a snapshot, as every window was measured last, oldest first. Raises StoreUnavailable."""
    found = signals.flagged(store, config.model, ended_after=snapshot.stretches[0].start)
    return flags_on(config, found, snapshot, excluded=excluded)


def flags_on(
    config: ModelConfig, found: Iterable[Signal], snapshot: Snapshot, *, excluded: tuple[Window, ...] = ()
) -> tuple[Flag, ...]:
    """Those of ``found`` whose rows are among a snapshot's: what is excluded from training is flagged no more. Pure.

    A flag of labels speaks of the stretch that its window is judged over, one of features of the window.
    """
    return tuple(
        Flag(name=signal.name, window=signal.window, detail=signal.detail)
        for signal in sorted(found, key=lambda signal: (signal.window.start, signal.name))
        for left in [_rows_of(config, signal).without(excluded)]
        if any(part.overlaps(used) for part in left for used in snapshot.stretches)
    )


def _rows_of(config: ModelConfig, signal: Signal) -> Window:
    return config.judged_over(signal.window) if SignalName.is_of_labels(signal.name) else signal.window
