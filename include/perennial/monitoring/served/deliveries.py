"""Whether what was delivered of a window is all, once, and as much as usual. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime

import numpy as np

from perennial.config import ModelConfig
from perennial.contracts import Estimate, Signal, SignalName, Subject
from perennial.evidence.deliveries.delivered import Delivered
from perennial.statistics.comparing.limits import LEAST_EARLIER, control_limits

MOST_EARLIER = 20
"""Windows before the one that is looked at."""
VOLUME, DUPLICATES = SignalName("quality", "volume"), SignalName("quality", "duplicates")
FRESHNESS, COMPLETENESS = SignalName("quality", "freshness"), SignalName("quality", "completeness")


def delivery_signals(
    config: ModelConfig, subject: Subject, delivered: Sequence[Delivered], newest: datetime | None
) -> Iterator[Signal]:
    """``quality/volume``, ``duplicates``, ``completeness`` and ``freshness`` of a window.

    ``delivered`` are the windows up to it, oldest first; ``newest`` is when its last event was.

    >>> found = {signal.name: signal for signal in delivery_signals(flights, subject, [], None)}
    >>> sorted(found), {signal.status for signal in found.values()}
    (['quality/completeness', 'quality/duplicates', 'quality/freshness', 'quality/volume'], {'unknown'})
    """
    quality = config.signals.quality
    own = next((one for one in delivered if one.window == subject.window), None)
    if own is None:
        for name in (VOLUME, DUPLICATES, COMPLETENESS, FRESHNESS):
            yield subject.unknown(name, quality.role, "no delivery of this window was published")
        return
    yield _volume(config, subject, own, [one for one in delivered if one.window != subject.window])
    n_staged, n_due = max(own.n_staged, 1), own.n_expected or own.n_staged
    yield subject.above(
        DUPLICATES,
        quality.role,
        own.n_duplicate / n_staged,
        quality.max_duplicate_share,
        detail=f"{own.n_duplicate} of {own.n_staged} rows of the first delivery were there already",
    )
    share = min(own.n_rows / max(n_due, 1), 1.0)
    yield subject.known(
        COMPLETENESS,
        quality.role,
        share,
        threshold=quality.min_complete_share,
        breached=share < quality.min_complete_share,
        detail=f"{own.n_rows} rows published of {n_due} {'promised' if own.n_expected else 'delivered'}",
    )
    yield _freshness(config, subject, newest)


def _volume(config: ModelConfig, subject: Subject, own: Delivered, earlier: list[Delivered]) -> Signal:
    """Rows an hour, below or above what earlier windows let expect: on a logarithmic scale, and by chance at least."""
    quality, value = config.signals.quality, own.n_rows / _hours(own)
    rates = np.log([max(one.n_rows, 0.5) / _hours(one) for one in earlier])
    by_chance = (len(earlier) / max(sum(one.n_rows for one in earlier), 1)) ** 0.5
    limits = control_limits(rates.tolist(), quality.volume_sigmas, least_spread=by_chance)
    if limits is None:
        problem = f"{value:.4g} rows an hour; {len(earlier)} earlier windows, limits need {LEAST_EARLIER}"
        known = Estimate(value=value, problem=problem)
        undecided = subject.estimated(VOLUME, quality.role, known, threshold=0.0, is_least=True, detail=problem)
        return replace(undecided, threshold=None)
    low, high = np.exp(limits).tolist()
    bound = low if value < np.exp(np.mean(limits)) else high
    detail = f"{own.n_rows} rows, {value:.4g} an hour; {low:.4g} to {high:.4g} after {len(earlier)} earlier windows"
    return subject.known(VOLUME, quality.role, value, threshold=bound, breached=not low <= value <= high, detail=detail)


def _hours(one: Delivered) -> float:
    return (one.window.end - one.window.start).total_seconds() / 3600


def _freshness(config: ModelConfig, subject: Subject, newest: datetime | None) -> Signal:
    """How much of the window lies after its last event: what is still missing, as a rule, is its end."""
    quality, window = config.signals.quality, subject.window
    if newest is None:
        return subject.unknown(
            FRESHNESS, quality.role, "the window holds no served row", threshold=quality.max_quiet_share
        )
    share = (window.end - newest) / (window.end - window.start)
    quiet_h = (window.end - newest).total_seconds() / 3600
    detail = f"the last event was at {newest.isoformat()}, {quiet_h:.1f} h before its end"
    return subject.above(FRESHNESS, quality.role, share, quality.max_quiet_share, detail=detail)
