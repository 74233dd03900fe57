"""One monitor run of a trial: what the steps of the case measure and decide, on rows in memory.

Drift, quality and the flags of features are not measured: no signal of theirs may retrain in a policy that is tried.
Nothing is halted either, for what lies in the log was published.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

import numpy as np
import pyarrow as pa

from perennial.bake.measuring import Scores, bake_signals
from perennial.bake.settlement import bake_so_far
from perennial.config import ModelConfig
from perennial.contracts import Decision, Signal, SignalName, Subject, Window
from perennial.decision.blindness import newest_waited_for, tells, why_blind
from perennial.decision.facts import Facts
from perennial.decision.prospects import Refusal, refusal_in
from perennial.decision.sequence import last_windows
from perennial.errors import PermanentError
from perennial.evidence.answers import answers_in
from perennial.evidence.labelled import not_enough
from perennial.evidence.lateness import Lateness, LatenessSeen, looked_at
from perennial.evidence.maturity import COVERAGE, Coverage, ended_and_earlier, is_over, measurable
from perennial.evidence.stretches import Labelled, news_since, rows_of_a_retrain
from perennial.monitoring.label_flags import FlagBasis, label_flags
from perennial.monitoring.performance import coverage_signal, holdout_answers, performance_signals, plan
from perennial.training.evaluate import sample_sizes
from perennial.training.probe import gain_signal, most_probe_rows, probe_stretch, summed, to_probe, too_few_to_probe
from perennial.training.rows import pick
from perennial.trial.state import PLACE, Trial
from perennial.trial.taught import training_places

Rule = Callable[[ModelConfig, Facts], Decision]
"""Decides about a window: :func:`perennial.decision.policy.decide`, or a baseline in its place."""


def monitor(trial: Trial, window: Window, rule: Rule) -> Decision:
    """Measure, settle the bake and decide, as of the end of ``window``, whose rows are served already."""
    trial.keep(_performance(trial, window))
    trial.keep(_gain(trial, window))
    _bake(trial, window)
    return rule(trial.config, _facts(trial, window))


def _run(trial: Trial, window: Window) -> Subject:
    return Subject.of_run(trial.config.model, window, trial.state.champion)


def _performance(trial: Trial, window: Window) -> list[Signal]:
    config, state, run = trial.config, trial.state, _run(trial, window)
    ended, earlier = ended_and_earlier(config, trial.coverages, run.as_of)
    labels = trial.labels(window, version=state.champion, ended=ended, earlier=earlier)
    planned = plan(config, window, labels, state=state)
    found = [coverage_signal(config, replace(run, window=known.window), known) for known in planned.coverage]
    if state.champion is None:
        return found
    config = trial.deciding
    for coverage in planned.of_champion:
        reference = _reference(trial, state.champion)
        subject = replace(run, window=coverage.window)
        judged, rows = trial.judged(
            coverage,
            version=state.champion,
            as_of=run.as_of,
            excluded=state.excluded,
            features=config.categories if config.signals.flags.lost_class else (),
        )
        found += performance_signals(config, subject, judged, rows, holdout=holdout_answers(config, reference))
        beside = FlagBasis(reference=reference, lateness=_lateness(trial, subject))
        found += label_flags(config, subject, rows, beside=beside, why=not_enough(config, judged, rows))
    return found


def _reference(trial: Trial, version: str) -> pa.Table:
    """What is kept of what a version was fitted and judged on: a sample of both, with its scores for the latter."""
    if version not in trial.references:
        config, made = trial.config, trial.versions[version]
        trained_on, holdout, seed = trial.trained_on[version], made.holdout, config.signals.seed
        n_train, n_holdout = sample_sizes(len(trained_on), len(holdout), config.signals.sample_rows)
        trained_on = trained_on[pick(len(trained_on), n_train, seed)]
        holdout = holdout[pick(len(holdout), n_holdout, seed)]
        scores, predicted = made.fit.at(holdout)
        of_holdout = trial.answered(holdout, scores, predicted, features=config.categories)
        of_train = trial.answered(trained_on, np.full(len(trained_on), np.nan), None, features=config.categories)
        no_scores = pa.nulls(len(trained_on), pa.float64())
        of_train = of_train.set_column(of_train.schema.get_field_index("score"), "score", no_scores)
        parts = pa.array(["train"] * len(trained_on) + ["holdout"] * len(holdout))
        trial.references[version] = pa.concat_tables([of_train, of_holdout]).append_column("part", parts)
    return trial.references[version]


def _lateness(trial: Trial, subject: Subject) -> LatenessSeen | None:
    config, log, excluded = trial.config, trial.log, trial.state.excluded
    if config.signals.flags.lateness is None:
        return None
    each = []
    for stretch, as_of in looked_at(config, subject.window, as_of=subject.as_of):
        known = log.known(log.within(stretch, excluded=excluded), as_of)
        hours = (log.arrived[known] - log.times[known]) / np.timedelta64(1, "h")
        few = len(known) < config.signals.min_labelled_rows
        median, q90 = (0.0, 0.0) if few else np.quantile(hours, [0.5, 0.9])
        each.append(None if few else Lateness(n_labels=len(known), median_h=float(median), q90_h=float(q90)))
    return LatenessSeen(now=each[0], earlier=tuple(found for found in each[1:] if found is not None))


def _gain(trial: Trial, window: Window) -> list[Signal]:
    config, state, run = trial.config, trial.state, _run(trial, window)
    since = state.champion_since
    if config.signals.gain.probe == "none" or state.champion is None or since is None:
        return []
    before = trial.measured_since(state.champion, [SignalName.gain_in_window(config.gain_metric.name)], since)
    ended = frozenset(signal.window for signal in before)
    labels = trial.labels(window, version=state.champion, ended=ended, since=since)
    found = [_gain_in(trial, run, coverage) for coverage in to_probe(config, labels, before)]
    return [*found, summed(config, run, [*before, *found], state=state)] if found else []


def _gain_in(trial: Trial, run: Subject, coverage: Coverage) -> Signal:
    config, state, subject = trial.deciding, trial.state, replace(run, window=coverage.window)
    name, price = SignalName.gain_in_window(config.gain_metric.name), config.price
    judged, rows = trial.judged(coverage, version=str(run.version), as_of=run.as_of, excluded=state.excluded)
    if (why := not_enough(config, judged, rows)) or rows is None:
        return subject.unknown(name, "watch", why or "no rows", threshold=price)
    most, stretch = most_probe_rows(config), probe_stretch(config, judged.window)
    train = training_places(config, trial.log, stretch, as_of=run.as_of, excluded=state.excluded, capped=most is None)
    train = trial.log.drawn(train, most)
    if few := too_few_to_probe(config, len(train), judged.window):
        return subject.unknown(name, "watch", few, threshold=price)
    places = rows[PLACE].to_numpy()
    asked = slice(int(places.min()), int(places.max()) + 1)
    try:
        probe = trial.fits.probe(config, train, asked)
    except PermanentError as error:
        return subject.unknown(name, "watch", f"the probe could not be fitted: {error}", threshold=price)
    trial.probes.append(probe.cpu_s)
    answered = answers_in(config, trial.answered(places, *probe.at(places)))
    return gain_signal(config, subject, answers_in(config, rows), answered, n_train=len(train))


def _bake(trial: Trial, window: Window) -> None:
    config, state, run = trial.deciding, trial.state, _run(trial, window)
    since = state.champion_since
    if state.champion is None or since is None or not state.in_bake:
        return
    stable_at = state.threshold_of(state.fallback, trial.config.label.decision_threshold)
    names = [SignalName.bake(config.bake.metric), SignalName.bake_vs_stable(config.bake.metric)]
    known = trial.measured_since(state.champion, names[:1], since)
    ended = frozenset(signal.window for signal in known if is_over(config, signal, run.as_of))
    labels = trial.labels(window, version=state.champion, ended=ended, since=since)

    def answer(version: str, rows: pa.Table) -> Scores:
        return trial.versions[version].fit.at(np.asarray(rows[PLACE]))

    for coverage in measurable(config, labels):
        judged, rows = trial.judged(coverage, version=state.champion, as_of=run.as_of, excluded=state.excluded)
        subject = replace(run, window=coverage.window)
        trial.keep(
            bake_signals(
                config, subject, judged, rows, stable=state.fallback, stable_threshold=stable_at, answer=answer
            )
        )
    _, end = bake_so_far(config, state, trial.measured_since(state.champion, names, since), at=run.as_of)
    if end is not None:
        trial.write(end)


def _facts(trial: Trial, window: Window) -> Facts:
    config, state, as_of = trial.config, trial.state, window.end
    excluded = state.excluded
    ended, _ = ended_and_earlier(config, trial.coverages, as_of)
    recent = trial.published(ended_by=as_of, ended_after=as_of - config.label.max_wait)
    waiting = tuple(past for past in recent if past not in ended)
    counted = last_windows(
        window, config.policy.breaches.n, every=config.schedule.every, waiting=waiting, excluded=excluded
    )
    oldest = min((place.start for place in counted), default=window.start)
    measured_now = as_of - config.label.max_wait - 2 * (window.end - window.start)
    after = min(oldest - timedelta.resolution, measured_now)
    return Facts(
        window=window,
        state=state,
        champion_alias=state.champion,
        batch_ids=(window.key,),
        blind=_blind(trial, window),
        signals=tuple(
            signal
            for (of, _, version), signal in trial.signals.items()
            if state.champion is not None and version == state.champion and of.start > after
        ),
        waiting=waiting,
        rows=rows_of_a_retrain(
            config,
            as_of,
            state,
            count=lambda stretch: trial.count(stretch, as_of=as_of, excluded=excluded),
            choice=lambda: trial.choice(as_of, excluded=excluded),
        ),
        refusal=_refusal(trial, as_of),
    )


def _refusal(trial: Trial, as_of: datetime) -> Refusal | None:
    found, excluded = refusal_in(trial.config, trial.history), trial.state.excluded
    if found is None:
        return None

    def count(stretch: Window, moment: datetime) -> Labelled:
        return trial.count(stretch, as_of=moment, excluded=excluded)

    return replace(found, n_news=news_since(found.holdout, found.as_of, as_of, count=count))


def _blind(trial: Trial, window: Window) -> str | None:
    config, state = trial.config, trial.state
    since = state.champion_since if state.champion else None
    published = trial.published(
        ended_by=window.end - config.label.max_wait, ended_after=config.serves_by(since) if since else None
    )
    waited = newest_waited_for(published, since=since, excluded=state.excluded)
    if waited is None:
        return None
    of_performance = [SignalName.performance(metric) for metric in config.signals.performance]
    names = of_performance if state.champion else [COVERAGE]
    signals = trial.measured_since(state.champion, names, waited.start)
    if tells(signals, excluded=state.excluded):
        return None
    coverage = trial.coverage(waited, as_of=window.end, version=state.champion)
    return why_blind(config, coverage, signals, champion=state.champion, as_of=window.end)
