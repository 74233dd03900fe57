"""The windows of a bake: the champion against its bound, and against the last stable version on the same rows."""

from collections.abc import Iterator
from dataclasses import replace

import pyarrow as pa

from perennial.config import ModelConfig
from perennial.contracts import ReleaseState, Signal, SignalName, SignalRole, Subject, Window
from perennial.errors import TransientError
from perennial.evidence.answers import Answers, answers_in
from perennial.evidence.labelled import census, not_enough, read_labelled
from perennial.evidence.maturity import Coverage, is_over, measurable, read_labels_in
from perennial.registry import Registry, load_model, score
from perennial.store import Store
from perennial.store.signals import measured_since, save

ROLE: SignalRole = "alert"
"""A bake is settled by its own rule, not by the retrain policy."""


def measure_bake(
    config: ModelConfig, window: Window, *, store: Store, registry: Registry, state: ReleaseState
) -> tuple[Signal, ...]:
    """The bake's signals of every window of it that became mature, or overdue, by the end of ``window``; kept.

    A window is measured by the first run that finds it so, and once more when it is ``label.max_wait`` old. Empty
    outside of a bake. Raises StoreUnavailable, RegistryUnavailable.
    """
    since = state.champion_since
    if state.champion is None or since is None or not state.in_bake:
        return ()
    run = Subject.of_run(config.model, window, state.champion)
    name = SignalName.bake(config.bake.metric)
    known = measured_since(store, config.model, version=state.champion, names=[name], start=since, by=run.as_of)
    before = [signal for signal in known if signal.as_of < run.as_of]
    ended = frozenset(signal.window for signal in before if is_over(config, signal, run.as_of))
    labels = read_labels_in(config, window, champion=state.champion, since=since, ended=ended, store=store)
    found: list[Signal] = []
    for coverage in measurable(config, labels):
        rows = read_labelled(config, coverage, version=state.champion, as_of=run.as_of, with_features=True, store=store)
        subject = replace(run, window=coverage.window)
        found += bake_signals(config, subject, coverage, rows, state=state, registry=registry)
    return save(store, found)


def bake_signals(
    config: ModelConfig,
    subject: Subject,
    coverage: Coverage,
    rows: pa.Table | None,
    *,
    state: ReleaseState,
    registry: Registry,
) -> Iterator[Signal]:
    """``bake/<metric>`` and, once another version is stable, ``bake/<metric>_vs_stable``.

    ``rows`` has the columns of :func:`perennial.evidence.labelled.read_labelled`, with features, or is None for a
    window that never matured. The order of the rows never matters. Raises RegistryUnavailable.
    """
    bake, metric = config.bake, config.metric(config.bake.metric)
    why = not_enough(config, coverage, rows)
    value = None if why or rows is None else answers_in(config, rows).metrics(config).get(metric.name)
    missing = why or f"{metric.name} can not be computed: {census(rows)}"
    name = SignalName.bake(metric.name)
    if value is None:
        yield subject.unknown(name, ROLE, missing, threshold=bake.bound)
    else:
        detail = f"{coverage.n_by_champion_labelled} labelled rows"
        breached = metric.loss(value, bake.bound) > 0
        yield subject.known(name, ROLE, value, threshold=bake.bound, breached=breached, detail=detail)
    if (stable := state.fallback) is None:
        return
    if value is None or rows is None:
        yield subject.unknown(SignalName.bake_vs_stable(metric.name), ROLE, missing, threshold=bake.max_deficit)
    else:
        yield versus_stable(config, subject, rows, value=value, stable=stable, state=state, registry=registry)


def versus_stable(
    config: ModelConfig,
    subject: Subject,
    rows: pa.Table,
    *,
    value: float,
    stable: str,
    state: ReleaseState,
    registry: Registry,
) -> Signal:
    """How much worse the champion's ``value`` is than what the ``stable`` version reaches on the same rows.

    ``rows`` holds the features with their types in the store and ``label`` (double, text for multiclass). A stable
    version that can not be loaded, has other files than it was promoted with or does not answer makes the signal
    unknown; only an outage is raised (RegistryUnavailable), for trying again helps there.
    """
    metric, most = config.metric(config.bake.metric), config.bake.max_deficit
    name = SignalName.bake_vs_stable(metric.name)
    try:
        model = load_model(
            registry,
            config.model,
            stable,
            trusted_types=config.training.trusted_types,
            expected_digest=state.digest_of(stable),
        )
        scores, predicted = score(config, model, rows)
    except TransientError:
        raise
    except Exception as error:
        why = f"stable version {stable} could not score the rows: {type(error).__name__}: {error}"
        return subject.unknown(name, ROLE, why, threshold=most)
    theirs = Answers(labels=rows["label"].to_numpy(), scores=scores, predicted=predicted).metrics(config)
    if metric.name not in theirs:
        why = f"{metric.name} of stable version {stable} can not be computed: {census(rows)}"
        return subject.unknown(name, ROLE, why, threshold=most)
    reached = theirs[metric.name]
    detail = f"{value:.4f} against {reached:.4f} of stable version {stable} on {rows.num_rows} rows"
    return subject.above(name, ROLE, metric.loss(value, reached), most, detail=detail)
