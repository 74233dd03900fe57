"""Made-up rows that a model.yaml allows: to warm a version, and to compare two ways of asking it."""

from typing import Any

import numpy as np
import pyarrow as pa

from perennial.config import Feature, ModelConfig

ARROW = {"float": pa.float64(), "int": pa.int64(), "category": pa.string(), "bool": pa.bool_()}
_NULL_SHARE, _UNSEEN_SHARE = 0.1, 0.05
_LARGE = 1e15
_UNSEEN = "a category that nobody declared"


def sample(config: ModelConfig, n_rows: int, *, seed: int) -> list[list[Any]]:
    """One list of ``n_rows`` values a feature, in the order of ``model.yaml``: within their ranges and among their
    categories, some null where that is allowed, some unseen.

    >>> columns = sample(flights, 50, seed=0)
    >>> len(columns) == len(flights.features), min(columns[0]) >= 0, None in columns[8]
    (True, True, True)
    """
    rng = np.random.default_rng(seed)
    return [_values(spec, n_rows, rng) for spec in config.features.values()]


def _values(spec: Feature, n_rows: int, rng: np.random.Generator) -> list[Any]:
    values: list[Any]
    if spec.type == "bool":
        values = (rng.random(n_rows) < 1 / 2).tolist()
    elif spec.type == "category":
        values = rng.choice(spec.categories, n_rows).tolist()
        if spec.unseen == "allow":
            values = [
                _UNSEEN if is_unseen else value
                for is_unseen, value in zip(rng.random(n_rows) < _UNSEEN_SHARE, values, strict=True)
            ]
    else:
        low = max(-_LARGE, spec.min if spec.min is not None else min(0.0, (spec.max or 0.0) - 1.0))
        high = min(_LARGE, spec.max if spec.max is not None else max(1.0, low + 1.0))
        drawn = rng.uniform(low, high, n_rows)
        values = (
            np.floor(drawn).clip(np.ceil(low), np.floor(high)).astype(int).tolist()
            if spec.type == "int"
            else (drawn.tolist())
        )
    if spec.nullable:
        values = [
            None if is_null else value for is_null, value in zip(rng.random(n_rows) < _NULL_SHARE, values, strict=True)
        ]
    return values
