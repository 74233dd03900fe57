"""What a policy was worth: the quality of what was served, what it cost, and whether its rollbacks were right."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from statistics import fmean
from typing import Literal

import numpy as np

from perennial.contracts import Estimate, Window
from perennial.statistics.intervals import around
from perennial.trial.log import Places
from perennial.trial.releasing import Undone
from perennial.trial.running import Replayed

FOLLOWING = 3
"""Over so many windows after a rollback it is asked which version would have been better."""

Rightness = Literal["right", "wrong", "not to be told"]


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedRollback:
    """A rollback, and how much better the version that came back was than the one that went, on the windows after."""

    at: datetime
    gone: str
    back: str
    gain: Estimate
    rightness: Rightness


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One policy (or the mean of ``n_phases`` calendars) over the windows that all were judged on.

    ``quality`` is the mean over windows of the metric of ``signals.gain`` on what was served, ``pooled`` that over all
    rows at once, ``versus`` the paired gain over a baseline, by window; all in the unit of the metric, the gains
    positive for better. Retrains, fits and what they cost are those after the first champion.
    """

    policy: str
    quality: Estimate
    pooled: Estimate
    by_window: tuple[tuple[Window, Estimate], ...]
    versus: dict[str, Estimate]
    fits: float
    promotions: float
    refusals: float
    failures: float
    reviews: float
    rollbacks: tuple[JudgedRollback, ...] = ()
    probes: float = 0.0
    fit_cpu_s: float = 0.0
    probe_cpu_s: float = 0.0
    retrained_at: tuple[datetime, ...] = ()
    promoted_at: tuple[datetime, ...] = ()
    blind: float = 0.0
    detected_after_d: float | None = None
    n_phases: int = 1
    gain_per_retrain: float | None = field(default=None)


def mean_of(windows: Sequence[Estimate]) -> Estimate:
    """The mean over windows that share no block: their errors add in squares.

    >>> print(mean_of([Estimate(value=v, interval=around(v, 0.02, 900, 14, 0.95)) for v in (0.6, 0.7)]))
    0.65 (0.6209 to 0.6791)
    >>> mean_of([]).problem
    'no window was measured'
    """
    known = [window for window in windows if window.value is not None]
    if not known:
        return Estimate(problem="no window was measured")
    value = fmean(float(window.value or 0.0) for window in known)
    intervals = [window.interval for window in known if window.interval is not None]
    if len(intervals) < len(known):
        return Estimate(value=value, problem=f"{len(known) - len(intervals)} of {len(known)} windows have no interval")
    error = sum(found.standard_error**2 for found in intervals) ** 0.5 / len(known)
    df = sum(found.n_blocks - 1 for found in intervals)
    n_rows = sum(found.n_rows for found in intervals)
    return Estimate(value=value, interval=around(value, error, n_rows, df + 1, intervals[0].confidence))


def averaged(phases: Sequence[Estimate]) -> Estimate:
    """The mean of figures that share their noise: its error is at most the mean of theirs, which is what is said.

    >>> print(averaged([Estimate(value=v, interval=around(v, 0.02, 900, 14, 0.95)) for v in (0.6, 0.7)]))
    0.65 (0.6068 to 0.6932)
    """
    known = [phase for phase in phases if phase.value is not None]
    if not known:
        return Estimate(problem="no phase was measured")
    value = fmean(float(phase.value or 0.0) for phase in known)
    intervals = [phase.interval for phase in known if phase.interval is not None]
    if len(intervals) < len(known):
        return Estimate(value=value, problem="a phase has no interval")
    error, first = fmean(found.standard_error for found in intervals), intervals[0]
    return Estimate(value=value, interval=around(value, error, first.n_rows, first.n_blocks, first.confidence))


def judged_places(runs: Sequence[Replayed]) -> Places:
    """The rows that every policy served and whose label came at all."""
    log = runs[0].trial.log
    served = np.logical_and.reduce([run.served for run in runs])
    return np.flatnonzero(served & ~np.isnat(log.arrived))


def by_window(run: Replayed, places: Places) -> list[tuple[Window, Places]]:
    """The judged rows window by window, where there are any."""
    ends = [run.trial.log.bounds(window) for window in run.trial.windows]
    cuts = np.searchsorted(places, ends)
    parts = ((window, places[first:last]) for window, (first, last) in zip(run.trial.windows, cuts, strict=True))
    return [(window, inside) for window, inside in parts if len(inside)]


def gain_over(run: Replayed, other: Replayed, places: Places, metric: str) -> Estimate:
    """The mean over windows of how much better what one policy served was than what the other did."""
    return mean_of(
        [
            run.answers(inside).gain_over(other.answers(inside), run.trial.config, metric)
            for _, inside in by_window(run, places)
        ]
    )


def outcome_of(
    run: Replayed,
    places: Places,
    metric: str,
    *,
    versus: dict[str, Estimate],
    never: str,
    change: datetime | None,
) -> Outcome:
    """What came of one policy on the rows that all are judged on."""
    config, paid = run.trial.config, run.paid
    windows = [(window, run.answers(inside).estimate(config, metric)) for window, inside in by_window(run, places)]
    seen = [item.at for item in paid if change is not None and item.at > change]
    fitted = [item for item in paid if item.version is not None]
    gain = versus.get(never)
    return Outcome(
        policy=run.policy,
        quality=mean_of([found for _, found in windows]),
        pooled=run.answers(places).estimate(config, metric),
        by_window=tuple(windows),
        versus=versus,
        fits=len(fitted),
        promotions=sum(item.ended == "promoted" for item in paid),
        refusals=sum(item.ended == "refused" for item in paid),
        failures=sum(item.ended == "failed" for item in paid),
        reviews=sum(not item.automatic for item in paid),
        rollbacks=tuple(judged_rollback(run, undone, metric) for undone in run.undone),
        probes=len(run.probes_cpu_s),
        fit_cpu_s=sum(item.cpu_s for item in paid),
        probe_cpu_s=sum(run.probes_cpu_s),
        retrained_at=tuple(item.at for item in paid),
        promoted_at=tuple(item.at for item in paid if item.ended == "promoted"),
        blind=sum(item.action == "blind" for item in run.decided),
        detected_after_d=(seen[0] - change).total_seconds() / 86400 if seen and change is not None else None,
        gain_per_retrain=gain.value / len(fitted) if gain and gain.value is not None and fitted else None,
    )


def judged_rollback(run: Replayed, undone: Undone, metric: str) -> JudgedRollback:
    """Which of the two versions would have been better on the next windows, whoever served them."""
    trial = run.trial
    after = [window for window in trial.windows if window.start >= undone.at][:FOLLOWING]
    gains = []
    for window in after:
        places = trial.log.within(window)
        places = places[~np.isnat(trial.log.arrived[places])]
        if len(places):
            back, gone = trial.answers(undone.back, places), trial.answers(undone.gone, places)
            gains.append(back.gain_over(gone, trial.config, metric))
    gain = mean_of(gains)
    return JudgedRollback(at=undone.at, gone=undone.gone, back=undone.back, gain=gain, rightness=rightness_of(gain))


def rightness_of(gain: Estimate) -> Rightness:
    """Whether the version that came back was surely better (right), surely worse (wrong), or it can not be told.

    >>> [rightness_of(Estimate(value=v, interval=around(v, 0.02, 900, 14, 0.95))) for v in (0.1, -0.1, 0.01)]
    ['right', 'wrong', 'not to be told']
    """
    if gain.interval is None or gain.interval.low <= 0 <= gain.interval.high:
        return "not to be told"
    return "right" if gain.interval.low > 0 else "wrong"


def mean_outcome(name: str, phases: Sequence[Outcome]) -> Outcome:
    """The mean of the phases of one calendar."""

    def mean(attribute: str) -> float:
        return fmean(getattr(phase, attribute) for phase in phases)

    windows = [window for window, _ in phases[0].by_window]
    each = zip(*(phase.by_window for phase in phases), strict=True)
    per_retrain = [phase.gain_per_retrain for phase in phases if phase.gain_per_retrain is not None]
    delays = [phase.detected_after_d for phase in phases if phase.detected_after_d is not None]
    return Outcome(
        policy=name,
        quality=averaged([phase.quality for phase in phases]),
        pooled=averaged([phase.pooled for phase in phases]),
        by_window=tuple(
            (window, averaged([found for _, found in figures])) for window, figures in zip(windows, each, strict=True)
        ),
        versus={key: averaged([phase.versus[key] for phase in phases]) for key in phases[0].versus},
        fits=mean("fits"),
        promotions=mean("promotions"),
        refusals=mean("refusals"),
        failures=mean("failures"),
        reviews=mean("reviews"),
        rollbacks=tuple(rollback for phase in phases for rollback in phase.rollbacks),
        fit_cpu_s=mean("fit_cpu_s"),
        blind=mean("blind"),
        detected_after_d=fmean(delays) if delays else None,
        n_phases=len(phases),
        gain_per_retrain=fmean(per_retrain) if per_retrain else None,
    )
