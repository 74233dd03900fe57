"""What a fitted scikit-learn pipeline does to the columns, as arrays and dictionaries: no pandas for each request.

A step that is not known here raises :class:`Unknown`, and the pipeline itself answers. What is known is asked of the
fitted step on made-up rows, or taken from its attributes; whether all of it is right is seen by comparing answers.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from perennial.config import ModelConfig
from perennial.registry.scoring import MISSING

Floats = NDArray[np.float64]
Columns = Sequence[Sequence[Any]]
"""One sequence of values a feature, in the order of ``model.yaml``; None for null."""
_NOBODY = "(no category is called so)"
_BOOLEANS = {True: "true", False: "false", None: MISSING}


class Unknown(Exception):
    """A step that is not known here; says which."""


@dataclass(frozen=True, slots=True)
class Imputed:
    """Nulls replaced by ``values``; then one column for each of ``indicated`` that says where a null was."""

    values: Floats
    indicated: NDArray[np.int64]

    def __call__(self, rows: Floats) -> Floats:
        """Of shape (n, number of columns) to (n, number of columns and of ``indicated``)."""
        missing = np.isnan(rows)
        filled = np.where(missing, self.values, rows)
        return np.hstack([filled, missing[:, self.indicated]]) if len(self.indicated) else filled


@dataclass(frozen=True, slots=True)
class Scaled:
    """Less ``mean``, divided by ``scale``."""

    mean: Floats
    scale: Floats

    def __call__(self, rows: Floats) -> Floats:
        """Of shape (n, number of columns) to the same."""
        scaled: Floats = (rows - self.mean) / self.scale
        return scaled


@dataclass(frozen=True, slots=True)
class NumberColumns:
    """The numbers at ``places`` among the features, through ``steps``."""

    places: tuple[int, ...]
    steps: tuple[Imputed | Scaled, ...]

    def __call__(self, columns: Columns) -> Floats:
        """Of n rows, shape (n, width)."""
        rows = np.array([columns[place] for place in self.places], dtype=np.float64).T  # None is NaN
        for step in self.steps:
            rows = step(rows)
        return rows


@dataclass(frozen=True, slots=True)
class Codes:
    """The category at ``place`` as the numbers that its encoder gives; ``otherwise`` for one it has not seen."""

    place: int
    is_bool: bool
    codes: Mapping[str, tuple[float, ...]]
    otherwise: tuple[float, ...]

    def __call__(self, columns: Columns) -> Floats:
        """Of n rows, shape (n, width)."""
        values = columns[self.place]
        names = (
            [_BOOLEANS[value] for value in values]
            if self.is_bool
            else [MISSING if value is None else value for value in values]
        )
        return np.array([self.codes.get(name, self.otherwise) for name in names], dtype=np.float64)


Block = NumberColumns | Codes


def blocks_of(config: ModelConfig, transformer: Any) -> tuple[Block, ...]:
    """The blocks of a fitted ColumnTransformer, in the order of its output. Raises Unknown."""
    from sklearn.compose import ColumnTransformer

    if type(transformer) is not ColumnTransformer or transformer.transformers_ is None:
        raise Unknown(f"its first step is a {type(transformer).__name__}")
    fitted_on = [str(name) for name in transformer.feature_names_in_]
    found: list[Block] = []
    for _, step, columns in transformer.transformers_:
        names = _names(columns, fitted_on)
        if not names or (isinstance(step, str) and step == "drop"):
            continue
        if all(name in config.numbers for name in names):
            found.append(NumberColumns(tuple(_place(config, name) for name in names), _steps(step)))
        elif all(name in config.categories for name in names):
            found.extend(_codes(config, step, names))
        else:
            raise Unknown(f"a step takes numbers and categories: {names[:5]}")
    return tuple(found)


def matrix(blocks: Sequence[Block], columns: Columns) -> Floats:
    """What the fitted ColumnTransformer makes of rows: shape (n, width)."""
    parts = [block(columns) for block in blocks]
    return parts[0] if len(parts) == 1 else np.hstack(parts)


def _place(config: ModelConfig, name: str) -> int:
    return list(config.features).index(name)


def _names(columns: Any, fitted_on: list[str]) -> list[str]:
    if isinstance(columns, str):
        return [columns]
    if isinstance(columns, slice):
        return fitted_on[columns]
    chosen = list(columns)
    if all(isinstance(item, (bool, np.bool_)) for item in chosen) and len(chosen) == len(fitted_on):
        return [name for name, taken in zip(fitted_on, chosen, strict=True) if taken]
    return [fitted_on[item] if isinstance(item, (int, np.integer)) else str(item) for item in chosen]


def _steps(step: Any) -> tuple[Imputed | Scaled, ...]:
    """What is done to numbers. Raises Unknown."""
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import FunctionTransformer, StandardScaler

    if step == "passthrough" or (type(step) is FunctionTransformer and step.func is None):
        return ()
    if type(step) is Pipeline:
        return tuple(part for _, inner in step.steps for part in _steps(inner))
    if type(step) is StandardScaler:
        width = step.n_features_in_
        mean = step.mean_ if step.with_mean else np.zeros(width)
        scale = step.scale_ if step.with_std else np.ones(width)
        return (Scaled(np.asarray(mean, np.float64), np.asarray(scale, np.float64)),)
    if type(step) is SimpleImputer and _is_nan(step.missing_values) and not np.isnan(step.statistics_).any():
        indicated = step.indicator_.features_ if step.add_indicator else []
        return (Imputed(np.asarray(step.statistics_, np.float64), np.asarray(indicated, np.int64)),)
    raise Unknown(f"numbers go through a {type(step).__name__}")


def _is_nan(value: Any) -> bool:
    return isinstance(value, float) and bool(np.isnan(value))


def _codes(config: ModelConfig, encoder: Any, names: list[str]) -> list[Codes]:
    """What an encoder makes of each category it knows, and of one that it does not. Raises Unknown."""
    import pandas as pd
    from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder

    if type(encoder) not in (OrdinalEncoder, OneHotEncoder) or encoder.handle_unknown == "error":
        raise Unknown(f"categories go through a {type(encoder).__name__} that refuses or is not known")
    known = [[str(name) for name in values] for values in encoder.categories_]
    if any(_NOBODY in values for values in known):
        raise Unknown("a category has a name that is taken")
    ones = type(encoder) is OneHotEncoder
    widths = [int(width) for width in encoder._n_features_outs] if ones else [1] * len(names)
    ends = np.cumsum(widths)
    found = []
    for number, name in enumerate(names):
        tried = [*known[number], _NOBODY]
        frame = pd.DataFrame(
            {
                other: pd.array(tried if other == name else [values[0]] * len(tried), dtype="str")
                for other, values in zip(names, known, strict=True)
            }
        )
        made = encoder.transform(frame)
        dense = made.toarray() if hasattr(made, "toarray") else np.asarray(made)
        parts = [tuple(map(float, row)) for row in dense[:, ends[number] - widths[number] : ends[number]]]
        is_bool = config.features[name].type == "bool"
        found.append(Codes(_place(config, name), is_bool, dict(zip(tried, parts, strict=True)), parts[-1]))
    return found
