"""The probation of a new champion: its own bound, and the last stable version on the same rows."""

from collections.abc import Iterator

import pyarrow as pa

from perennial.config import ModelConfig
from perennial.contracts import ReleaseState, Role, Signal, Window
from perennial.errors import TransientError
from perennial.metrics import compute, loss
from perennial.monitoring.labelled import census, metrics_of, not_enough
from perennial.monitoring.maturity import Coverage
from perennial.monitoring.signals import Subject
from perennial.registry import Registry, load_model, score

ROLE: Role = "alert"
"""A bake is settled by its own rule, not by the retrain policy."""


def in_bake(state: ReleaseState, window: Window) -> bool:
    """Whether the window counts for the probation of the present champion: it lies wholly after the promotion. Pure."""
    return state.in_bake and state.champion_since is not None and window.start >= state.champion_since


def bake_signals(
    config: ModelConfig,
    subject: Subject,
    coverage: Coverage,
    rows: pa.Table | None,
    *,
    state: ReleaseState,
    registry: Registry,
) -> Iterator[Signal]:
    """``bake/<metric>`` and, once another version is stable, ``bake/<metric>_vs_stable``; nothing outside of a bake.

    ``rows`` hold the features too, or are None for a window that never matured. The order of the
    rows never matters. Raises RegistryUnavailable.
    """
    if not in_bake(state, subject.window):
        return
    metric, bound = config.bake.metric, config.bake.bound
    name = f"bake/{metric}"
    why = not_enough(config, coverage, rows)
    value = None if why or rows is None else metrics_of(config, rows).get(metric)
    missing = why or f"{metric} can not be computed: {census(rows)}"
    if value is None:
        yield subject.unknown(name, ROLE, missing, threshold=bound)
    else:
        breached = loss(config, metric, value, bound) > 0
        detail = f"{coverage.n_by_champion_labelled} labelled rows"
        yield subject.known(name, ROLE, value, threshold=bound, breached=breached, detail=detail)
    stable = next((version for version in reversed(state.stable) if version != state.champion), None)
    if stable is None:
        return
    if value is None or rows is None:
        yield subject.unknown(f"{name}_vs_stable", ROLE, missing, threshold=config.bake.max_deficit)
    else:
        trusted = state.fits.get(stable)
        digest = trusted.artifact_digest if trusted else None
        yield versus_stable(config, subject, rows, value=value, stable=stable, digest=digest, registry=registry)


def versus_stable(
    config: ModelConfig,
    subject: Subject,
    rows: pa.Table,
    *,
    value: float,
    stable: str,
    digest: str | None = None,
    registry: Registry,
) -> Signal:
    """How much worse the champion's ``value`` is than what the ``stable`` version reaches on the same rows.

    A stable version that can not be loaded, has other files than ``digest`` or does not answer makes the signal
    unknown; only an outage is raised (RegistryUnavailable), for trying again helps there.
    """
    metric, most = config.bake.metric, config.bake.max_deficit
    name = f"bake/{metric}_vs_stable"
    try:
        model = load_model(
            registry, config.model, stable, trusted_types=config.training.trusted_types, expected_digest=digest
        )
        scores, predicted = score(config, model, rows)
    except TransientError:
        raise
    except Exception as error:
        why = f"stable version {stable} could not score the rows: {type(error).__name__}: {error}"
        return subject.unknown(name, ROLE, why, threshold=most)
    labels = rows["label"].to_numpy()
    theirs = compute(config.task, labels=labels, scores=scores, predicted=predicted, classes=config.label.classes)
    if metric not in theirs:
        why = f"{metric} of stable version {stable} can not be computed: {census(rows)}"
        return subject.unknown(name, ROLE, why, threshold=most)
    detail = f"{value:.4f} against {theirs[metric]:.4f} of stable version {stable} on {rows.num_rows} rows"
    return subject.above(name, ROLE, loss(config, metric, value, theirs[metric]), most, detail=detail)
