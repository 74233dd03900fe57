"""A family that is switched on and says nothing is a finding of its own."""

from collections.abc import Iterable

from perennial.contracts import Signal, SignalName, Subject
from perennial.contracts.signals import Family


def spoken(subject: Subject, expected: Iterable[Family], found: Iterable[Signal]) -> tuple[Signal, ...]:
    """What was ``found``, and ``silent/<family>``, breached, for every expected family without a signal among it. Pure.

    >>> [(signal.name, signal.status) for signal in spoken(subject, ["estimate"], [])]
    [('silent/estimate', 'breached')]
    >>> spoken(subject, ["drift"], [subject.unknown(SignalName.drift("temp_f"), "watch", "gone")])[0].name
    'drift/temp_f'
    """
    kept = tuple(found)
    heard = {signal.family for signal in kept}
    silent = [family for family in expected if family not in heard]
    return (*kept, *(_silent(subject, family) for family in silent))


def _silent(subject: Subject, family: Family) -> Signal:
    why = f"{family} is switched on, and produced no signal"
    return subject.known(SignalName("silent", family), "alert", 0.0, threshold=1.0, breached=True, detail=why)
