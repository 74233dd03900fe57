"""``control/<signal>``: whether a series of any signal goes on as it did, by control limits of earlier windows."""

from collections.abc import Iterable, Iterator
from dataclasses import replace

from perennial.config import ModelConfig
from perennial.contracts import ReleaseState, Signal, SignalName, Subject, Window
from perennial.monitoring.families import spoken
from perennial.monitoring.series.limits import MOST_EARLIER, within_limits
from perennial.store import Store
from perennial.store.signals import measured_named, save


def measure_control(config: ModelConfig, window: Window, *, store: Store, state: ReleaseState) -> tuple[Signal, ...]:
    """What the run of ``window`` measured of the signals in ``signals.control.names``, against earlier windows; kept.

    Measured after everything else, of whatever version the earlier windows were. Raises StoreUnavailable.
    """
    asked = config.signals.control
    if not asked.names:
        return ()
    subject = Subject.of_run(config.model, window, state.champion)
    history = measured_named(store, config.model, names=asked.names, by=window.end)
    return save(store, spoken(subject, ["control"], control_signals(config, subject, history)))


def control_signals(config: ModelConfig, subject: Subject, history: Iterable[Signal]) -> Iterator[Signal]:
    """One signal a series, about the newest window that this run measured it of. Pure.

    ``history`` are the known values of every series as of the run, in the order in which they were measured; of a
    window that was measured more than once the last one counts. A series that this run did not measure is unknown.

    >>> config = flights.model_copy(deep=True)
    >>> config.signals.control.names.append("drift/temp_f")
    >>> [(one.name, one.status) for one in control_signals(config, subject, [])]
    [('control/drift/temp_f', 'unknown')]
    """
    known = tuple(history)
    for name in config.signals.control.names:
        of_window = {signal.window: signal for signal in known if signal.name == name}
        series = sorted(of_window.values(), key=lambda signal: signal.window.end)
        mine = [signal for signal in series if signal.as_of == subject.as_of]
        signal = SignalName("control", name)
        if not mine:
            yield subject.unknown(signal, config.signals.control.role, f"this run measured no {name}")
            continue
        newest = mine[-1]
        earlier = [one.value for one in series if one.window.end < newest.window.end and one.value is not None]
        yield _signal(config, replace(subject, window=newest.window), signal, newest, earlier[-MOST_EARLIER:])


def _signal(config: ModelConfig, subject: Subject, name: SignalName, newest: Signal, earlier: list[float]) -> Signal:
    asked, value = config.signals.control, float(newest.value or 0.0)
    return within_limits(subject, name, asked.role, value, earlier=earlier, sigmas=asked.sigmas)
