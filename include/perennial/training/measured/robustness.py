"""How a candidate answers for rows that differ in what should matter little."""

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from perennial.config import ModelConfig
from perennial.config.inputs import NumberFeature
from perennial.contracts import Robustness
from perennial.errors import IntegrityError
from perennial.registry.scoring import MISSING, features_frame, score_frame

QUANTILE = 0.99
N_STEPS = 5
ROUNDING = 1e-9
Answer = tuple[NDArray[np.float64], NDArray[np.str_] | None]


def robustness(config: ModelConfig, model: Any, rows: pa.Table) -> Robustness:
    """Every expectation that is declared, on ``rows`` with the features; chance is that of ``training.seed``.

    Raises IntegrityError for a model that can not answer for the rows as they are.
    """
    asked, frame = config.signoff.robustness, features_frame(config, rows)
    rng, whole = np.random.default_rng(config.training.seed), score_frame(config, model, frame)

    def moves(other: pd.DataFrame) -> NDArray[np.float64]:
        return _moves(whole, score_frame(config, model, other))

    changed = None
    if asked.measurement_error:
        changed = float(np.quantile(moves(_off(config, frame, rng)), QUANTILE))
    shuffled = {name: frame[name].to_numpy()[rng.permutation(len(frame))] for name in asked.invariant}
    return Robustness(
        n_rows=len(frame),
        changed=changed,
        missing=_missing(config, model, frame) if asked.missing else "",
        violations={name: _violations(config, model, frame, name) for name in asked.monotone},
        moved={name: float(moves(frame.assign(**{name: values})).max()) for name, values in shuffled.items()},
    )


def _moves(before: Answer, after: Answer) -> NDArray[np.float64]:
    apart = np.abs(after[0] - before[0])
    return apart if before[1] is None or after[1] is None else np.where(before[1] == after[1], apart, 1.0)


def _off(config: ModelConfig, frame: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """The rows with numbers off by up to their measurement error, within the limits of the feature."""
    moved = {}
    for name, error in config.signoff.robustness.measurement_error.items():
        feature = config.features[name]
        low, high = (feature.min, feature.max) if isinstance(feature, NumberFeature) else (None, None)
        values = frame[name].to_numpy() + rng.uniform(-error, error, len(frame))
        moved[name] = np.clip(values, -np.inf if low is None else low, np.inf if high is None else high)
    return frame.assign(**moved)


def _missing(config: ModelConfig, model: Any, frame: pd.DataFrame) -> str:
    """What happened when each optional feature, and all together, were missing; empty when all were answered."""
    empty = {
        name: np.nan if name in config.numbers else MISSING
        for name, feature in config.features.items()
        if feature.nullable
    }
    tries = [*({name: value} for name, value in empty.items()), *([empty] if len(empty) > 1 else [])]
    for absent in tries:
        named = next(iter(absent)) if len(absent) == 1 else "all optional features"
        texts = {
            name: pd.array([value] * len(frame), dtype="str") for name, value in absent.items() if value is MISSING
        }
        try:
            score_frame(config, model, frame.assign(**{**absent, **texts}))
        except IntegrityError as error:
            return f"without {named}: {error}"[:300]
    return ""


def _violations(config: ModelConfig, model: Any, frame: pd.DataFrame, name: str) -> float:
    """The share of rows whose score goes against the declared direction as the feature rises over its quantiles."""
    steps = np.unique(np.nanquantile(frame[name].to_numpy(), np.linspace(0.05, 0.95, N_STEPS)))
    scores = np.array([score_frame(config, model, frame.assign(**{name: step}))[0] for step in steps])
    rises = np.diff(scores, axis=0) * (1 if config.signoff.robustness.monotone[name] == "increasing" else -1)
    return float((rises < -ROUNDING).any(axis=0).mean()) if len(steps) > 1 else 0.0
