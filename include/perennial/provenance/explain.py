"""Why a version answered what it did for a row: what each feature added to its mean answer for rows it learned from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from perennial.errors import IntegrityError, PermanentError
from perennial.evidence.deliveries.traced import TracedRow, features_of, trace

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from perennial.pipeline import Case

MOST_OTHERS = 200
"""So many rows of the training at most are walked from."""
ROUNDING = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What a feature added to the answer, with its standard error, in the unit of the answer.

    ``value`` is that of the explained row and ``usual`` the median or the most frequent one of the rows it is compared
    with, both as text.
    """

    feature: str
    value: str
    usual: str
    added: float
    error: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """``answer`` is the version's own, asked now: P(label = 1), P(``of_class``), or the value; ``logged`` what was
    answered then, None where that was another version or nothing; ``base`` the mean answer for ``n_others`` rows of its
    training. ``parts``, the largest first, add up to answer - base.
    """

    model: str
    version: str
    row: TracedRow
    of_class: str | None
    answer: float
    logged: float | None
    base: float
    parts: tuple[Part, ...]
    n_walks: int
    n_others: int


def explain(case: Case, prediction_id: str, *, version: str | None = None, n_pairs: int = 200) -> Explanation:
    """Shapley values of one published prediction's features, for the version that answered or another one.

    Corrected features count as they are known now. Raises PermanentError for an unknown prediction or version, or a
    version without rows of its training in a reference; IntegrityError when its files were changed or it answers
    otherwise when asked again; RegistryUnavailable.
    """
    from perennial.registry.reference import load_reference
    from perennial.registry.scoring import features_frame, score_frame, walker
    from perennial.statistics.shapley import shapley_of_rows

    config = case.config
    row = _row(case, prediction_id)
    asked = version or row.model_version
    model = _model(case, asked)
    reference = load_reference(case.registry, case.model, asked)
    if reference is None:
        raise PermanentError(f"{case.model} version {asked}: no reference was logged with it, nothing to compare with")
    explained = features_frame(config, features_of(config, prediction_id, row.role, store=case.store))
    others = _others(config.features, reference, config.training.seed)
    if not others.num_rows:
        raise PermanentError(f"{case.model} version {asked}: its reference holds no row that it was fitted on")
    compared = features_frame(config, others)
    named = score_frame(config, model, explained)[1]
    of_class = None if named is None else str(named[0])

    (found,) = shapley_of_rows(
        walker(config, model, explained, compared, named),
        n_rows=1,
        n_features=len(config.features),
        n_others=others.num_rows,
        n_pairs=n_pairs,
        rng=np.random.default_rng(config.training.seed),
    )
    if abs(found.missing) > ROUNDING * max(1.0, abs(found.answer)):
        raise IntegrityError(
            f"{case.model} version {asked}: the parts add up to {found.missing:.3g} less than the answer: it answers "
            "otherwise when it is asked the same again, so nothing explains it"
        )
    parts = _parts(explained, compared, found.values, found.errors)
    return Explanation(
        model=case.model,
        version=asked,
        row=row,
        of_class=of_class,
        answer=found.answer,
        logged=row.score if asked == row.model_version else None,
        base=found.base,
        parts=tuple(sorted(parts, key=lambda part: -abs(part.added))),
        n_walks=2 * n_pairs,
        n_others=others.num_rows,
    )


def _row(case: Case, prediction_id: str) -> TracedRow:
    """The newest version of the prediction: what was served, or else scored beside it."""
    rows, _ = trace(case.config, prediction_id, store=case.store)
    if not rows:
        raise PermanentError(f"{case.model}: no prediction {prediction_id!r} is published, there is nothing to explain")
    return next((row for row in rows if row.role == "champion"), rows[0])


def _model(case: Case, version: str) -> Any:
    from perennial.contracts.tags import DIGEST_TAG
    from perennial.registry.models import load_model
    from perennial.registry.versions import version_exists, version_tags

    if not version.isdecimal() or not version_exists(case.registry, case.model, version):
        raise PermanentError(
            f"{case.model}: MLflow holds no version {version!r}, it can not be asked why; --version N asks another one"
        )
    known = case.state().digest_of(version) or version_tags(case.registry, case.model, version).get(DIGEST_TAG)
    trusted = case.config.training.trusted_types
    return load_model(case.registry, case.model, version, trusted_types=trusted, expected_digest=known)


def _others(features: Any, reference: pa.Table, seed: int) -> pa.Table:
    """Some rows that the version was fitted on; a feature that was declared since is null there, and not asked for."""
    import pyarrow as pa
    import pyarrow.compute as pc

    train = reference.filter(pc.equal(reference["part"], "train"))
    for name in features:
        if name not in train.column_names:
            train = train.append_column(name, pa.nulls(train.num_rows))
    train = train.select(list(features))
    drawn = np.random.default_rng(seed).permutation(train.num_rows)[:MOST_OTHERS]
    return train.take(np.sort(drawn))


def _parts(explained: pd.DataFrame, compared: pd.DataFrame, values: Any, errors: Any) -> list[Part]:
    """One for every feature."""
    return [
        Part(feature=name, value=_text(explained[name].iloc[0]), usual=_text(_usual(compared[name])),
             added=float(added), error=float(error))
        for name, added, error in zip(explained.columns, values, errors, strict=True)
    ]  # fmt: skip


def _usual(column: pd.Series[Any]) -> Any:
    return column.median() if column.dtype.kind == "f" else column.mode().iloc[0]


def _text(value: Any) -> str:
    """A value as a person reads it.

    >>> _text(12.0), _text(0.1 + 0.2), _text(float("nan")), _text("JFK")
    ('12', '0.3', '(missing)', 'JFK')
    """
    if isinstance(value, str):
        return value
    return "(missing)" if np.isnan(value) else f"{value:.6g}"
