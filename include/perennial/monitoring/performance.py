"""The champion against the labels of every window that became mature, and on probation against the last stable one."""

from collections.abc import Iterator
from dataclasses import replace

import pyarrow as pa
import pyarrow.compute as pc

from perennial.config import ModelConfig
from perennial.contracts import ReleaseState, Signal, Window
from perennial.metrics import loss
from perennial.monitoring.bake import bake_signals, in_bake
from perennial.monitoring.labelled import census, metrics_of, not_enough, read_labelled
from perennial.monitoring.maturity import (
    Coverage,
    coverage_signal,
    main_version,
    maturity,
    newest_expected,
    read_coverage,
    recent_windows,
    settled_windows,
    unmatched_signal,
)
from perennial.monitoring.reference import fetch_reference
from perennial.monitoring.signals import Subject, save, subject_of
from perennial.registry import Registry
from perennial.store import Store

SERVED = "served_by_champion"
MIN_SERVED_SHARE = 0.5
"""Less, and most of what is served is not what was promoted."""


def measure_performance(
    config: ModelConfig, window: Window, *, store: Store, registry: Registry, state: ReleaseState
) -> tuple[Signal, ...]:
    """Signals of every window that became mature, or overdue, by the end of ``window``; kept, all or none of them.

    A window is measured by the first run that finds it so, on the rows that the present champion scored. A window that
    it scored no row of is measured for the version that did, under that version's name: nothing is decided on it as
    long as another is champion. Every run also gives ``label_coverage`` of the newest window whose labels are due,
    ``labels/unmatched``, and ``served_by_champion`` of its own window. Raises StoreUnavailable, RegistryUnavailable.
    """
    subject = subject_of(config, window, state.champion)
    windows = recent_windows(config, window, store=store)
    settled = settled_windows(config, subject.as_of, store=store)
    due = newest_expected(config, windows, subject.as_of)
    covered = [
        read_coverage(config, past, as_of=subject.as_of, champion=state.champion, store=store)
        for past in windows
        if past not in settled or past == due
    ]
    found = [unmatched_signal(config, subject, store=store)]
    found += [served_signal(subject, coverage) for coverage in covered if _should_serve(state, coverage, window)]
    holdout: dict[str, float] | None = None
    ripe = [
        coverage for coverage in covered if coverage.window not in settled and _measurable(config, coverage, subject)
    ]
    if ripe and any(wanted.max_loss is not None for wanted in config.signals.performance.values()):
        reference, _ = fetch_reference(registry, config.model, str(state.champion))
        holdout = holdout_metrics(config, reference)
    for coverage in covered:
        about = replace(subject, window=coverage.window)
        if coverage.window == due or maturity(config, coverage, subject.as_of) != "waiting":
            found.append(coverage_signal(config, about, coverage))
        if coverage in ripe:
            baking = in_bake(state, coverage.window)
            rows = read_labelled(config, about, coverage, with_features=baking, store=store)
            found += performance_signals(config, about, coverage, rows, holdout=holdout)
            found += bake_signals(config, about, coverage, rows, state=state, registry=registry)
        elif coverage.window not in settled and coverage.n_rows:
            found += _of_the_version_that_served(config, about, store=store, registry=registry)
    return save(store, found)


def _should_serve(state: ReleaseState, coverage: Coverage, window: Window) -> bool:
    """The run's own window, when it began with the present champion already promoted."""
    return coverage.window == window and state.champion_since is not None and window.start >= state.champion_since


def served_signal(subject: Subject, coverage: Coverage) -> Signal:
    """``served_by_champion``: the share of a window's served rows that the champion scored. Pure.

    Too small a share means that the serving system runs, or reports, another version: no row of the champion is ever
    measured then, and its bake never ends.
    """
    if not coverage.n_rows:
        return subject.unknown(SERVED, "alert", "the window holds no served prediction", threshold=MIN_SERVED_SHARE)
    share = coverage.n_by_champion / coverage.n_rows
    detail = f"{coverage.n_by_champion} of {coverage.n_rows} predictions carry the model version {subject.version}"
    return subject.known(
        SERVED, "alert", share, threshold=MIN_SERVED_SHARE, breached=share < MIN_SERVED_SHARE, detail=detail
    )


def _of_the_version_that_served(
    config: ModelConfig, about: Subject, *, store: Store, registry: Registry
) -> tuple[Signal, ...]:
    """What a mature window that the champion did not serve says about the version that scored most of it.

    What can not be known of a version from before the registry (its holdout) is left out.
    """
    version = main_version(config, about.window, store=store)
    then = replace(about, version=version)
    coverage = read_coverage(config, about.window, as_of=about.as_of, champion=version, store=store)
    if maturity(config, coverage, about.as_of) != "mature":
        return ()
    rows = read_labelled(config, then, coverage, with_features=False, store=store)
    reference = fetch_reference(registry, config.model, version)[0] if version.isdecimal() else None
    measured = performance_signals(config, then, coverage, rows, holdout=holdout_metrics(config, reference))
    return tuple(signal for signal in measured if signal.status != "unknown")


def _measurable(config: ModelConfig, coverage: Coverage, subject: Subject) -> bool:
    """Served by the present champion, at least in part, and either mature or given up."""
    return coverage.n_by_champion > 0 and maturity(config, coverage, subject.as_of) in ("mature", "overdue")


def holdout_metrics(config: ModelConfig, reference: pa.Table | None) -> dict[str, float] | None:
    """What the champion reached on its own holdout; None when its reference is gone."""
    if reference is None:
        return None
    return metrics_of(config, reference.filter(pc.equal(reference["part"], "holdout")))


def performance_signals(
    config: ModelConfig,
    subject: Subject,
    coverage: Coverage,
    rows: pa.Table | None,
    *,
    holdout: dict[str, float] | None,
) -> Iterator[Signal]:
    """``performance/<metric>`` against its bound and ``performance/<metric>_loss`` against the champion's holdout.

    ``rows`` is None for a window that never matured; ``holdout`` is None when the reference is gone. Pure; the order of
    the rows never matters.
    """
    why = not_enough(config, coverage, rows)
    measured = {} if why or rows is None else metrics_of(config, rows)
    for metric, wanted in config.signals.performance.items():
        name, value = f"performance/{metric}", measured.get(metric)
        missing = why or f"{metric} can not be computed: {census(rows)}"
        if value is None:
            yield subject.unknown(name, wanted.role, missing, threshold=wanted.bound)
        else:
            breached = loss(config, metric, value, wanted.bound) > 0
            detail = f"{coverage.n_by_champion_labelled} labelled rows"
            yield subject.known(name, wanted.role, value, threshold=wanted.bound, breached=breached, detail=detail)
        if wanted.max_loss is None:
            continue
        before = (holdout or {}).get(metric)
        if value is None or before is None:
            missing = missing if value is None else f"the {metric} of version {subject.version} on its holdout is gone"
            yield subject.unknown(f"{name}_loss", wanted.role, missing, threshold=wanted.max_loss)
        else:
            worse = loss(config, metric, value, before)
            detail = f"{value:.4f} now, {before:.4f} on its holdout"
            yield subject.above(f"{name}_loss", wanted.role, worse, wanted.max_loss, detail=detail)
