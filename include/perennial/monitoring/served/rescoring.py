"""``skew/...``: whether what was served is what the registered version answers. Pure but for the asking."""

from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from perennial.config import ModelConfig
from perennial.contracts import Signal, SignalName, Subject
from perennial.errors import TransientError, first_of
from perennial.evidence.answers import NO_BLOCKS, blocks_in, demands_of
from perennial.registry import score
from perennial.statistics.intervals import mean

Answer: TypeAlias = Callable[[pa.Table], tuple[NDArray[np.float64], NDArray[Any] | None]]
"""What a version answers for rows, as :func:`perennial.registry.score`."""
SCORE, SCHEMA = SignalName("skew", "score"), SignalName("skew", "schema")


def skew_signals(config: ModelConfig, subject: Subject, rows: pa.Table, *, model: Any | str) -> Iterator[Signal]:
    """``skew/score``: the share of rows with another answer logged than the version's; ``skew/schema``: features apart.

    ``rows`` are those of :func:`perennial.evidence.samples.read_scored`, of which ``signals.skew.rows`` are scored
    again; ``model`` is the registered estimator, or why it can not be had. Raises TransientError.

    >>> [one.status for one in skew_signals(flights, subject, pa.table({"score": [0.5]}), model="gone")]
    ['unknown', 'unknown']
    """
    asked = config.signals.skew
    if isinstance(model, str):
        yield subject.unknown(SCORE, asked.role, model, threshold=asked.max_share)
        yield subject.unknown(SCHEMA, asked.role, model, threshold=0.0)
        return
    yield skew_of_scores(config, subject, rows, answer=lambda table: score(config, model, table))
    yield _schema(config, subject, [str(name) for name in getattr(model, "feature_names_in_", config.features)])


def skew_of_scores(config: ModelConfig, subject: Subject, rows: pa.Table, *, answer: Answer) -> Signal:
    """The share of rows whose score differs by more than ``tolerance`` (of itself above 1), or whose class does."""
    asked = config.signals.skew
    sample = some_of(config, rows, asked.rows)
    blocks = blocks_in(config, sample)
    if not sample.num_rows or blocks is None:
        why = NO_BLOCKS if sample.num_rows else "the window holds no row that the champion served"
        return subject.unknown(SCORE, asked.role, why, threshold=asked.max_share)
    try:
        scores, predicted = answer(sample)
    except TransientError:
        raise
    except Exception as error:
        why = f"version {subject.version} could not score the rows: {type(error).__name__}: {error}"
        return subject.unknown(SCORE, asked.role, why, threshold=asked.max_share)
    logged = sample["score"].to_numpy(zero_copy_only=False).astype(np.float64)
    gaps = np.abs(logged - scores) / np.maximum(1.0, np.abs(scores))
    apart = ~(gaps <= asked.tolerance)  # a logged score that is missing is another one too
    if predicted is not None:
        apart |= sample["predicted"].to_numpy(zero_copy_only=False).astype(str) != predicted.astype(str)
    found = mean(apart.astype(np.float64), blocks, demands=demands_of(config))
    detail = (
        f"{int(apart.sum())} of {len(apart)} rows scored again are apart, by {np.nanmax(gaps, initial=0.0):.3g} at most"
    )
    return subject.estimated(SCORE, asked.role, found, threshold=asked.max_share, is_least=False, detail=detail)


def some_of(config: ModelConfig, rows: pa.Table, most: int) -> pa.Table:
    """At most so many of the rows, from all over them, and the same ones again for the same rows in the same order."""
    if rows.num_rows <= most:
        return rows
    places = np.random.default_rng(config.signals.seed).choice(rows.num_rows, size=most, replace=False)
    return rows.take(pa.array(np.sort(places)))


def _schema(config: ModelConfig, subject: Subject, fitted_on: list[str]) -> Signal:
    """How many features the version was fitted without, lacks, or was fitted on in another order than model.yaml's.

    The order matters to whoever serves rows without names.
    """
    declared = list(config.features)
    shared = [name for name in declared if name in fitted_on]
    gone = [name for name in fitted_on if name not in declared]
    new = [name for name in declared if name not in fitted_on]
    known = [name for name in fitted_on if name in declared]
    moved = [name for name, other in zip(shared, known, strict=True) if name != other]
    parts = {"no longer declared": gone, "not fitted on": new, "in another place": moved}
    differences = "; ".join(f"{what}: {first_of(names)}" for what, names in parts.items() if names)
    n_apart = float(len(gone) + len(new) + len(moved))
    return subject.above(
        SCHEMA,
        config.signals.skew.role,
        n_apart,
        0.0,
        detail=differences or f"{len(shared)} features, as they were fitted on",
    )
