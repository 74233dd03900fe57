"""A value against the control limits of those before it. Pure."""

from collections.abc import Sequence
from dataclasses import replace

from perennial.contracts import Estimate, Signal, SignalName, SignalRole, Subject
from perennial.statistics.comparing.limits import LEAST_EARLIER, control_limits

MOST_EARLIER = 20
"""Windows before the one that is looked at."""


def within_limits(
    subject: Subject, name: SignalName, role: SignalRole, value: float, *, earlier: Sequence[float], sigmas: float
) -> Signal:
    """The signal of a series, ``earlier`` oldest first; undecided where too few values say how much it varies.

    >>> series = [10.0, 12.0, 11.0, 9.0, 10.0, 11.0, 12.0, 9.0]
    >>> name = SignalName("control", "drift/temp_f")
    >>> [
    ...     within_limits(subject, name, "watch", 17.0, earlier=series[:n], sigmas=3.0).status
    ...     for n in (4, 8)
    ... ]
    ['undecided', 'breached']
    """
    known = earlier[-MOST_EARLIER:]
    limits = control_limits(known, sigmas)
    if limits is None:
        problem = f"{len(known)} earlier windows, limits need {LEAST_EARLIER}"
        found = Estimate(value=value, problem=problem)
        return replace(
            subject.estimated(name, role, found, threshold=0.0, is_least=True, detail=problem), threshold=None
        )
    low, high = limits
    bound = low if abs(value - low) < abs(value - high) else high
    detail = f"{low:.4g} to {high:.4g} after {len(known)} earlier windows"
    return subject.known(name, role, value, threshold=bound, breached=not low <= value <= high, detail=detail)
