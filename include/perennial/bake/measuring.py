"""The windows of a bake: the champion against its bound, and against the last stable version on the same rows."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, TypeAlias

import pyarrow as pa

from perennial.config import ModelConfig
from perennial.config.training.threshold import deciding_by
from perennial.contracts import Estimate, ReleaseState, Signal, SignalName, SignalRole, Subject, Window
from perennial.errors import RegistryRefused, TransientError
from perennial.evidence.answers import Answers, answers_in
from perennial.evidence.labelled import census, not_enough, read_judged
from perennial.evidence.maturity import Coverage, is_over, measurable, read_labels_in
from perennial.registry import Registry, load_model, score
from perennial.store import Store
from perennial.store.signals import measured_since, save

Scores: TypeAlias = tuple[Any, Any]
"""What a version answers for rows: scores and predicted classes, as :func:`perennial.registry.score`."""
ROLE: SignalRole = "alert"
"""A bake is settled by its own rule, not by the retrain policy."""


def measure_bake(
    config: ModelConfig, window: Window, *, store: Store, registry: Registry, state: ReleaseState
) -> tuple[Signal, ...]:
    """The bake's signals of every window of it that became mature, or overdue, by the end of ``window``; kept.

    A window is measured by the first run that finds it so, and once more when it is ``label.max_wait`` old. Empty
    outside of a bake. Raises StoreUnavailable, RegistryUnavailable.
    """
    since, stable_at = state.champion_since, state.threshold_of(state.fallback, config.label.decision_threshold)
    config = deciding_by(config, state.threshold_of(state.champion, config.label.decision_threshold))
    if state.champion is None or since is None or not state.in_bake:
        return ()
    run = Subject.of_run(config.model, window, state.champion)
    name = SignalName.bake(config.bake.metric)
    known = measured_since(store, config.model, version=state.champion, names=[name], start=since, by=run.as_of)
    before = [signal for signal in known if signal.as_of < run.as_of]
    ended = frozenset(signal.window for signal in before if is_over(config, signal, run.as_of))
    labels = read_labels_in(config, window, champion=state.champion, since=since, ended=ended, store=store)

    def answers_of(version: str, asked: pa.Table) -> Scores:
        model = load_model(
            registry,
            config.model,
            version,
            trusted_types=config.training.trusted_types,
            expected_digest=state.digest_of(version),
        )
        return score(config, model, asked)

    found: list[Signal] = []
    for coverage in measurable(config, labels):
        judged, rows = read_judged(
            config, coverage, version=state.champion, as_of=run.as_of, excluded=state.excluded, with_features=True,
            store=store,
        )  # fmt: skip
        subject = replace(run, window=coverage.window)
        found += bake_signals(
            config, subject, judged, rows, stable=state.fallback, stable_threshold=stable_at, answer=answers_of
        )
    return save(store, found)


def bake_signals(
    config: ModelConfig,
    subject: Subject,
    coverage: Coverage,
    rows: pa.Table | None,
    *,
    stable: str | None,
    stable_threshold: float | None = None,
    answer: Callable[[str, pa.Table], Scores],
) -> Iterator[Signal]:
    """``bake/<metric>`` and, once another version is stable, ``bake/<metric>_vs_stable``.

    ``coverage`` and ``rows`` are what :func:`perennial.evidence.labelled.read_judged` gave, with features. ``answer``
    scores rows by the ``stable`` version, which predicts the positive class from ``stable_threshold`` on; None for the
    one in ``config``, by which the champion does. Where the stable one surely breaks the bound on these rows too, the
    labels or the world are to blame: the window is no evidence against the champion, and both signals are unknown. The
    order of the rows never matters. Raises the TransientError of ``answer``.
    """
    bake, metric = config.bake, config.metric(config.bake.metric)
    name, paired = SignalName.bake(metric.name), SignalName.bake_vs_stable(metric.name)
    why = not_enough(config, coverage, rows)
    missing = why or f"{metric.name} can not be computed: {census(rows)}"
    own = None if why or rows is None else answers_in(config, rows)
    found = own.estimate(config, metric.name) if own is not None else Estimate(problem=missing)
    theirs: Answers | str | None = None
    if found.value is None or rows is None or own is None:
        found, theirs = Estimate(problem=missing), missing if stable is not None else None
    elif stable is not None:
        with_threshold = replace(own, threshold=stable_threshold)
        theirs = _answers_of_stable(with_threshold, rows, stable=stable, answer=answer)
    if isinstance(theirs, Answers) and (blame := _breaks_too(config, theirs, str(stable))):
        found, theirs = Estimate(problem=blame), blame
    yield subject.estimated(name, ROLE, found, threshold=bake.bound, is_least=metric.more_is_better)
    if isinstance(theirs, str):
        yield subject.unknown(paired, ROLE, theirs, threshold=bake.max_deficit)
    elif theirs is not None and own is not None:
        yield versus_stable(config, subject, own=own, theirs=theirs, stable=str(stable), missing=census(rows))


def _answers_of_stable(
    own: Answers, rows: pa.Table, *, stable: str, answer: Callable[[str, pa.Table], Scores]
) -> Answers | str:
    """What the stable version answers for the champion's rows, or why it does not.

    One that can not be loaded, has other files than it was promoted with or does not answer is a reason; only what says
    nothing of it is raised: an outage (TransientError), and a refused login (RegistryRefused).
    """
    try:
        scores, predicted = answer(stable, rows)
    except (TransientError, RegistryRefused):
        raise
    except Exception as error:
        return f"stable version {stable} could not score the rows: {type(error).__name__}: {error}"
    return replace(own, scores=scores, predicted=predicted)


def _breaks_too(config: ModelConfig, theirs: Answers, stable: str) -> str | None:
    """Why rows say nothing about a champion: the version that is trusted surely breaks the bound on them as well."""
    metric = config.metric(config.bake.metric)
    reached = theirs.estimate(config, metric.name)
    if reached.standing(config.bake.bound, is_least=metric.more_is_better) != "breached":
        return None
    return (
        f"stable version {stable} breaks the bound {config.bake.bound:g} on these rows too, with {metric.name} "
        f"{reached}: their labels or the world changed, which is no evidence against the champion"
    )


def versus_stable(
    config: ModelConfig, subject: Subject, *, own: Answers, theirs: Answers, stable: str, missing: str
) -> Signal:
    """How much worse the ``own`` answers are than ``theirs``, those of the stable version for the same rows. Pure."""
    metric, most = config.metric(config.bake.metric), config.bake.max_deficit
    name = SignalName.bake_vs_stable(metric.name)
    deficit = theirs.gain_over(own, config, metric.name)
    if deficit.value is None:
        why = f"{metric.name} of stable version {stable} can not be computed: {missing}"
        return subject.unknown(name, ROLE, why, threshold=most)
    mine, reached = (side.metrics(config)[metric.name] for side in (own, theirs))
    detail = f"{mine:.4f} against {reached:.4f} of stable version {stable} on the same rows; {deficit.basis}"
    return subject.estimated(name, ROLE, deficit, threshold=most, is_least=False, detail=detail)
