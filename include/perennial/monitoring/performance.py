"""The champion against the labels of every window that became mature: first a plan, then one reading after another."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import pyarrow as pa
import pyarrow.compute as pc

from perennial.config import CAUSED, ModelConfig
from perennial.config.training.threshold import deciding_by
from perennial.contracts import Estimate, ReleaseState, Signal, SignalName, Subject, Window
from perennial.evidence.answers import Answers, answers_in
from perennial.evidence.deliveries.operations import count_caused
from perennial.evidence.labelled import census, not_enough, read_judged
from perennial.evidence.lateness import read_lateness
from perennial.evidence.maturity import (
    COVERAGE,
    Coverage,
    LabelsIn,
    count_unmatched,
    main_version,
    maturity,
    measurable,
    read_coverage,
    read_ended,
    read_labels_in,
)
from perennial.monitoring.judged.earlier import read_earlier
from perennial.monitoring.judged.signals import families, judged_signals
from perennial.monitoring.label_flags import FlagBasis, label_flags
from perennial.monitoring.reference import fetch_reference
from perennial.registry import Registry
from perennial.statistics.intervals import difference
from perennial.store import Store
from perennial.store.signals import save

SERVED = SignalName("served_by_champion")
UNMATCHED = SignalName("labels", "unmatched")
CAUSED_SHARE = SignalName("labels", "caused")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What one run has to say: each window stands under everything that is to be measured of it, oldest first."""

    served: Coverage | None
    coverage: tuple[Coverage, ...]
    of_champion: tuple[Coverage, ...]
    of_others: tuple[Coverage, ...]


def plan(config: ModelConfig, window: Window, labels: LabelsIn, *, state: ReleaseState) -> Plan:
    """What the run of ``window`` measures, given what was known of the labels. Pure.

    The label coverage of a window is said when labels are due or when it ends; its performance when it ends, of the
    champion where that served, else of the version that did. Whether the champion is what serves is asked of the run's
    own window, when it began with the champion already promoted.

    >>> own = Coverage(window=day(1), n_rows=8, n_labelled=8, n_by_champion=8, n_by_champion_labelled=8)
    >>> labels = LabelsIn(as_of=day(1).end, covered=(own,), ended=frozenset(), due=None)
    >>> plan(flights, day(1), labels, state=ReleaseState(model="flight_delay", champion="3")).of_champion == (own,)
    True
    """
    since = state.champion_since
    own = next((coverage for coverage in labels.covered if coverage.window == window), None)
    of_champion = measurable(config, labels)
    return Plan(
        served=own if since is not None and window.start >= since else None,
        coverage=tuple(
            coverage
            for coverage in labels.covered
            if coverage.window == labels.due or maturity(config, coverage, labels.as_of) != "waiting"
        ),
        of_champion=of_champion,
        of_others=tuple(coverage for coverage in labels.news() if coverage.n_rows and not coverage.n_by_champion),
    )


def measure_performance(
    config: ModelConfig, window: Window, *, store: Store, registry: Registry, state: ReleaseState
) -> tuple[Signal, ...]:
    """Signals of every window that became mature, or overdue, by the end of ``window``; kept, all or none of them.

    A window is measured by the first run that finds it so, on the rows that the present champion scored, and once more
    when it is ``label.max_wait`` old, if labels came in since: the later figures count. A window that it scored no row
    of is measured for the version that did, under that version's name: nothing is decided on it as long as another is
    champion. Every run also gives ``label_coverage`` of the newest window whose labels are due, ``labels/unmatched``,
    and ``served_by_champion`` of its own window. Raises StoreUnavailable, RegistryUnavailable.
    """
    run = Subject.of_run(config.model, window, state.champion)
    ended, earlier = read_ended(config, run.as_of, store=store)
    labels = read_labels_in(config, window, champion=state.champion, ended=ended, earlier=earlier, store=store)
    planned = plan(config, window, labels, state=state)
    found = [unmatched_signal(config, run, *count_unmatched(config, window, store=store))]
    if CAUSED in config.operational:
        found.append(caused_signal(config, run, *count_caused(config, window, store=store)))
    if planned.served:
        found.append(served_signal(config, run, planned.served))
    found += [coverage_signal(config, replace(run, window=coverage.window), coverage) for coverage in planned.coverage]
    known = fetch_reference(registry, config.model, str(state.champion)) if planned.of_champion else (None, "")
    for coverage in planned.of_champion:
        subject = replace(run, window=coverage.window)
        found += _of_version(config, subject, coverage, known, measured=tuple(found), state=state, store=store)
    for coverage in planned.of_others:
        subject = replace(run, window=coverage.window)
        found += _of_the_version_that_served(config, subject, state=state, store=store, registry=registry)
    return save(store, found)


def _of_version(
    config: ModelConfig,
    subject: Subject,
    coverage: Coverage,
    known: tuple[pa.Table | None, str],
    *,
    measured: tuple[Signal, ...] = (),
    state: ReleaseState,
    store: Store,
) -> Iterator[Signal]:
    """All that labels say of the version that the subject names: performance, flags, and what else is switched on.

    ``known`` is its reference, or why that is gone; ``measured`` what this run measured of earlier windows.
    """
    reference, gone = known
    config = deciding_by(config, state.threshold_of(subject.version, config.label.decision_threshold))
    judged, rows = read_judged(
        config,
        coverage,
        version=subject.version,
        as_of=subject.as_of,
        excluded=state.excluded,
        with_features=config.signals.flags.lost_class or bool(families(config)),
        store=store,
    )
    yield from performance_signals(config, subject, judged, rows, holdout=holdout_answers(config, reference))
    lateness = None
    if rows is not None and config.signals.flags.lateness is not None:
        lateness = read_lateness(config, subject.window, as_of=subject.as_of, excluded=state.excluded, store=store)
    beside = FlagBasis(reference=reference, gone=gone, lateness=lateness)
    why = not_enough(config, judged, rows)
    yield from label_flags(config, subject, rows, beside=beside, why=why)
    earlier = read_earlier(config, subject, measured=measured, excluded=state.excluded, store=store)
    yield from judged_signals(config, subject, rows, reference=reference, gone=gone, earlier=earlier, why=why)


def _of_the_version_that_served(
    config: ModelConfig, subject: Subject, *, state: ReleaseState, store: Store, registry: Registry
) -> tuple[Signal, ...]:
    """What a mature window that the champion did not serve says about the version that scored most of it.

    What can not be known of a version from before the registry (its holdout) is left out, and so is a window that never
    matured.
    """
    version = main_version(config, subject.window, store=store)
    coverage = read_coverage(config, subject.window, as_of=subject.as_of, champion=version, store=store)
    unregistered = (None, f"version {version} is none of the registry")
    known = fetch_reference(registry, config.model, version) if version.isdecimal() else unregistered
    measured = _of_version(config, replace(subject, version=version), coverage, known, state=state, store=store)
    return tuple(signal for signal in measured if signal.status != "unknown")


def served_signal(config: ModelConfig, subject: Subject, coverage: Coverage) -> Signal:
    """``served_by_champion``: the share of a window's served rows that the champion scored. Pure.

    Too small a share means that the serving system runs, or reports, another version: no row of the champion is ever
    measured then, and its bake never ends.

    >>> coverage = Coverage(window=day(1), n_rows=8, n_labelled=0, n_by_champion=2, n_by_champion_labelled=0)
    >>> served_signal(flights, subject, coverage).status
    'breached'
    """
    least = config.signals.min_served_share
    if not coverage.n_rows:
        return subject.unknown(SERVED, "alert", "the window holds no served prediction", threshold=least)
    share = coverage.n_by_champion / coverage.n_rows
    detail = f"{coverage.n_by_champion} of {coverage.n_rows} predictions carry the model version {subject.version}"
    return subject.known(SERVED, "alert", share, threshold=least, breached=share < least, detail=detail)


def coverage_signal(config: ModelConfig, subject: Subject, coverage: Coverage) -> Signal:
    """``label_coverage``: the share of predictions with a label, of the champion's where it served. Pure.

    It pages someone once it is overdue.

    >>> coverage = Coverage(window=day(1), n_rows=0, n_labelled=0, n_by_champion=0, n_by_champion_labelled=0)
    >>> coverage_signal(flights, subject, coverage).status
    'unknown'
    """
    least = config.label.mature_share
    found = maturity(config, coverage, subject.as_of)
    if found == "empty":
        return subject.unknown(COVERAGE, "watch", "the window holds no served prediction", threshold=least)
    until = coverage.window.end + config.label.max_wait
    ends = {
        "overdue": f"; waited for until {until.isoformat()}, it will not be measured",
        "waiting": f"; waiting until {until.isoformat()}",
    }
    return subject.known(
        COVERAGE,
        "alert" if found == "overdue" else "watch",
        coverage.share,
        threshold=least,
        breached=found != "mature",
        detail=f"{coverage.n_judged_labelled} of {coverage.n_judged} predictions have a label{ends.get(found, '')}",
    )


def unmatched_signal(config: ModelConfig, subject: Subject, n_labels: int, n_unmatched: int) -> Signal:
    """``labels/unmatched``: the share of the labels that this run delivered for which there is no prediction. Pure.

    >>> unmatched_signal(flights, subject, 8, 6).status, unmatched_signal(flights, subject, 0, 0).status
    ('breached', 'unknown')
    """
    most = config.signals.max_unmatched_labels
    if not n_labels:
        return subject.unknown(UNMATCHED, "watch", "no labels were delivered", threshold=most)
    detail = f"{n_unmatched} of {n_labels} delivered labels have no prediction"
    return subject.above(UNMATCHED, "watch", n_unmatched / n_labels, most, detail=detail)


def caused_signal(config: ModelConfig, subject: Subject, n_rows: int, n_caused: int) -> Signal:
    """``labels/caused``: the share of a window's served rows whose label the model caused, which nothing counts. Pure.

    >>> caused_signal(flights, subject, 8, 6).status, caused_signal(flights, subject, 0, 0).status
    ('breached', 'unknown')
    """
    most = config.signals.max_caused_share
    if not n_rows:
        return subject.unknown(CAUSED_SHARE, "alert", "the window holds no served prediction", threshold=most)
    detail = f"{n_caused} of {n_rows} served rows are marked: their labels neither teach nor judge"
    return subject.above(CAUSED_SHARE, "alert", n_caused / n_rows, most, detail=detail)


def holdout_answers(config: ModelConfig, reference: pa.Table | None) -> Answers | None:
    """What a version answered for its own holdout; None when its reference is gone.

    ``reference`` has the columns of :func:`perennial.registry.reference.load_reference`.

    >>> rows = pa.table({"label": [0.0, 1.0], "score": [0.2, 0.7], "part": ["holdout", "holdout"]})
    >>> holdout_answers(flights, rows).metrics(flights)["roc_auc"]
    1.0
    """
    if reference is None:
        return None
    return answers_in(config, reference.filter(pc.equal(reference["part"], "holdout")))


def performance_signals(
    config: ModelConfig,
    subject: Subject,
    coverage: Coverage,
    rows: pa.Table | None,
    *,
    holdout: Answers | None,
) -> Iterator[Signal]:
    """``performance/<metric>`` against its bound and ``performance/<metric>_loss`` against the champion's holdout.

    ``coverage`` and ``rows`` are what :func:`perennial.evidence.labelled.read_judged` gave; ``holdout`` is None when
    the reference is gone. Pure; the order of the rows never matters.

    >>> coverage = Coverage(window=day(1), n_rows=8, n_labelled=2, n_by_champion=8, n_by_champion_labelled=2)
    >>> [signal.name for signal in performance_signals(flights, subject, coverage, None, holdout=None)]
    ['performance/roc_auc', 'performance/roc_auc_loss', 'performance/accuracy']
    """
    why = not_enough(config, coverage, rows)
    answers = None if why or rows is None else answers_in(config, rows)
    for name, wanted in config.signals.performance.items():
        metric = config.metric(name)
        missing = why or f"{name} can not be computed: {census(rows)}"
        found = answers.estimate(config, name) if answers is not None else Estimate(problem=missing)
        signal = SignalName.performance(name)
        if found.value is None:
            found = Estimate(problem=missing)
        yield subject.estimated(signal, wanted.role, found, threshold=wanted.bound, is_least=metric.more_is_better)
        if wanted.max_loss is not None:
            yield _loss(config, subject, name, found, holdout, missing=missing)


def _loss(
    config: ModelConfig, subject: Subject, name: str, now: Estimate, holdout: Answers | None, *, missing: str
) -> Signal:
    """How much worse the champion does than on its own holdout, which lies in another season."""
    wanted, metric = config.signals.performance[name], config.metric(name)
    most, signal = wanted.max_loss or 0.0, SignalName.performance_loss(name)
    before = holdout.estimate(config, name) if holdout is not None else Estimate(problem="gone")
    if now.value is None or before.value is None:
        why = missing if now.value is None else f"the {name} of version {subject.version} on its holdout is gone"
        return subject.unknown(signal, wanted.role, why, threshold=most)
    loss = difference(before, now) if metric.more_is_better else difference(now, before)
    detail = f"{now.value:.4f} now, {before.value:.4f} on its holdout; {loss.basis}"
    return subject.estimated(signal, wanted.role, loss, threshold=most, is_least=False, detail=detail)
