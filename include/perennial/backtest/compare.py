"""Policies side by side on one log, always beside the baselines, and what the noise that was seen asks for."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import median

from perennial.backtest.outcome import Outcome, averaged, gain_over, judged_places, mean_outcome, outcome_of
from perennial.backtest.policies import (
    ALWAYS,
    NEVER,
    OWN,
    UNGATED,
    at_windows,
    calendar_name,
    never,
    phases,
    refuse_unmeasured,
    ungated,
)
from perennial.backtest.proposal import KeyProposal, Noise, propose
from perennial.config import ModelConfig
from perennial.contracts import Signal, SignalName, Window
from perennial.errors import ConfigError
from perennial.training.fitting.recipe import digest_of_all
from perennial.trial.fits import Fits
from perennial.trial.log import Log, Places
from perennial.trial.releasing import People
from perennial.trial.running import Progress, Replayed, Tried, replay

YEAR = timedelta(days=365)


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """The outcome of every policy and baseline, in the order in which they are shown, and the proposal.

    ``judged_from`` and ``judged_to`` bound the rows that all are judged on: served by a champion under each of them,
    and labelled in the end.
    """

    model: str
    metric: str
    more_is_better: bool
    windows: tuple[Window, ...]
    n_rows: int
    judged_from: datetime
    judged_to: datetime
    people: People
    change: datetime | None
    config_digest: str
    recipe_digest: str
    log_digest: str
    outcomes: tuple[Outcome, ...]
    proposal: tuple[KeyProposal, ...]


def compare(
    config: ModelConfig,
    log: Log,
    windows: tuple[Window, ...],
    policies: Sequence[Tried],
    *,
    fits: Fits,
    progress: Progress,
    people: People = "approve",
    change: datetime | None = None,
) -> Comparison:
    """Replay the model's own policy and the others, the baselines, and a calendar with as many retrains as each.

    Baselines pay for no probe. Raises ConfigError for a policy that can not be tried, and when no window was served by
    a champion under every policy.
    """
    tried = (Tried(name=OWN, config=config), *policies)
    refuse_unmeasured(tried)
    if twice := {one.name for one in tried if sum(one.name == other.name for other in tried) > 1}:
        raise ConfigError(f"two policies are called {', '.join(sorted(twice))}: rename a file")

    def run(one: Tried) -> Replayed:
        return replay(one, log, windows, fits=fits, people=people, progress=progress)

    bare = without_probe(config)
    runs = [run(one) for one in tried]
    base = {
        NEVER: run(never(bare)),
        ALWAYS: run(at_windows(bare, windows, name=ALWAYS)),
        UNGATED: run(at_windows(ungated(bare), windows, name=UNGATED)),
    }
    calendars = _calendars(bare, windows, runs, base[NEVER], run)
    every = [*runs, *base.values(), *(phase for each in calendars.values() for phase in each)]
    places = judged_places(every)
    if not len(places):
        raise ConfigError(
            f"{config.model}: no labelled row was served by a champion under every policy, so there is nothing to "
            f"compare{_why_none(every)}"
        )
    outcomes = _outcomes(runs, base, calendars, places, metric=config.gain_metric_name, change=change)
    return Comparison(
        model=config.model,
        metric=config.gain_metric_name,
        more_is_better=config.gain_metric.more_is_better,
        windows=windows,
        n_rows=len(places),
        judged_from=_event(log, places[0]),
        judged_to=_event(log, places[-1]),
        people=people,
        change=change,
        config_digest=config.digest,
        recipe_digest=digest_of_all(fits.recipes),
        log_digest=log.digest,
        outcomes=outcomes,
        proposal=propose(config, noise_of(config, windows, runs, (*runs, *base.values()))),
    )


def _why_none(runs: Sequence[Replayed]) -> str:
    """How the last candidate ended under the policies under which nobody ever served, and what to do; empty when each
    had a champion."""
    idle: dict[str, list[str]] = {}
    for run in runs:
        if run.served.any():
            continue
        ended = (
            f"{len(run.retrains)} candidates, the last {run.retrains[-1].ended}: {run.retrains[-1].reason}"
            if run.retrains
            else f"no candidate in {len(run.decided)} windows: {'; '.join(run.decided[-1].reasons)}"
        )
        idle.setdefault(ended, []).append(run.policy)
    ends = "".join(f"; {' and '.join(policies)}: {ended}" for ended, policies in idle.items())
    return ends and f"{ends}. What to do: features that tell more of the label, more rows, or another `signoff`"


def without_probe(config: ModelConfig) -> ModelConfig:
    """The configuration of a baseline, which asks nobody what a retrain would gain.

    >>> without_probe(flights).signals.gain.probe
    'none'
    """
    gain = config.signals.gain.model_copy(update={"probe": "none"})
    return config.model_copy(update={"signals": config.signals.model_copy(update={"gain": gain})})


def _event(log: Log, place: int) -> datetime:
    found: datetime = log.rows["event_time"][int(place)].as_py()
    return found


def _calendars(
    config: ModelConfig,
    windows: tuple[Window, ...],
    runs: Sequence[Replayed],
    bare: Replayed,
    run: Callable[[Tried], Replayed],
) -> dict[int, list[Replayed]]:
    """By period: all phases of the calendars that retrain as often as one of the policies."""
    began = [item.at for item in bare.retrains if item.ended == "promoted"]
    if not began:
        return {}
    found: dict[int, list[Replayed]] = {}
    for one in runs:
        each = phases(config, windows, len(one.paid), began[0])
        if each and len(each) not in found:
            found[len(each)] = [run(phase) for phase in each]
    return found


def _outcomes(
    runs: Sequence[Replayed],
    base: dict[str, Replayed],
    calendars: dict[int, list[Replayed]],
    places: Places,
    *,
    metric: str,
    change: datetime | None,
) -> tuple[Outcome, ...]:
    def judged(run: Replayed, period: int | None = None) -> Outcome:
        versus = {
            name: gain_over(run, other, places, metric)
            for name, other in base.items()
            if other is not run and name != UNGATED
        }
        if period is not None:
            each = [gain_over(run, phase, places, metric) for phase in calendars[period]]
            versus[calendar_name(period)] = averaged(each)
        return outcome_of(run, places, metric, versus=versus, never=NEVER, change=change)

    def period_of(run: Replayed) -> int | None:
        return _nearest(calendars, len(run.paid)) if run.paid and calendars else None

    return (
        *(judged(run, period_of(run)) for run in runs),
        *(judged(run) for run in base.values()),
        *(mean_outcome(calendar_name(period), [judged(phase) for phase in each]) for period, each in calendars.items()),
    )


def _nearest(calendars: dict[int, list[Replayed]], n_retrains: int) -> int:
    """The period whose phases retrain about as often."""
    return min(calendars, key=lambda period: abs(sum(len(run.paid) for run in calendars[period]) / period - n_retrains))


def noise_of(
    config: ModelConfig, windows: tuple[Window, ...], runs: Sequence[Replayed], all_runs: Sequence[Replayed]
) -> Noise:
    """The standard errors that the replays of the policies measured, each window and candidate once.

    What new versions lost is taken from the baselines too.
    """
    name = str(SignalName.gain_in_window(config.gain_metric.name))
    deficit = str(SignalName.bake_vs_stable(config.bake.metric))
    signals = [signal for run in runs for signal in run.signals if signal.interval is not None]
    gains = [signal for signal in signals if signal.name == name]
    by_window = {gain.window: gain.value or 0.0 for run in runs for gain in _first_of_each(run, name)}
    errors = {
        (run.trial.versions[item.version].fit.first, item.at): item.standard_error
        for run in runs
        for item in run.paid
        if item.version is not None and item.standard_error is not None
    }
    intervals = [signal.interval for signal in gains if signal.interval is not None]
    length = windows[0].end - windows[0].start
    return Noise(
        gain_errors=tuple(interval.standard_error for interval in intervals),
        fresh_gains=tuple(by_window.values()),
        gate_errors=tuple(errors.values()),
        bake_errors=tuple(
            signal.interval.standard_error for signal in signals if signal.name == deficit and signal.interval
        ),
        n_blocks=round(median(interval.n_blocks for interval in intervals)) if intervals else 10,
        windows_a_year=YEAR / length,
        fresh_losses={metric: _fresh_losses(all_runs, metric) for metric in config.signals.performance},
    )


def _fresh_losses(runs: Sequence[Replayed], metric: str) -> tuple[float, ...]:
    """The lower ends of what versions lost in their first window, those of one fit once."""
    name = str(SignalName.performance_loss(metric))
    found = {
        (signal.window, run.trial.versions[str(signal.version)].fit.first): signal.interval.low
        for run in runs
        for signal in _first_of_each(run, name)
        if signal.interval is not None
    }
    return tuple(found.values())


def _first_of_each(run: Replayed, name: str) -> list[Signal]:
    """The signal of a name in the first measured window of each version."""
    found: dict[str | None, Signal] = {}
    for signal in sorted(run.signals, key=lambda signal: signal.window.start):
        if signal.name == name and signal.interval is not None:
            found.setdefault(signal.version, signal)
    return list(found.values())
