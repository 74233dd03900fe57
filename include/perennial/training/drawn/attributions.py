"""What the features add to the answers for some rows: Shapley values by walks, for whatever recipe.

SHAP's own explainer of trees is silently wrong for histogram gradient boosting with native categories
(docs/decisions/0025); walks ask the model itself, and add up by construction.
"""

import logging
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from perennial.config import ModelConfig
from perennial.errors import IntegrityError
from perennial.registry.scoring import features_frame, score_frame, walker
from perennial.statistics.shapley import shapley_of_rows
from perennial.training.rows import pick

MOST_ROWS, MOST_OTHERS, N_PAIRS = 60, 100, 10
"""At most 2 * MOST_ROWS * N_PAIRS * (number of features + 1) rows are asked for."""
ROUNDING = 1e-6
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Attributions:
    """``parts`` of shape (n, d), in the unit of the answers: a feature's Shapley value in each row of ``features``.

    ``error`` is the mean standard error of one part.
    """

    features: pd.DataFrame
    parts: NDArray[np.float64]
    error: float

    @property
    def heaviest(self) -> list[str]:
        """The features by their mean absolute part, the heaviest first."""
        weight = np.abs(self.parts).mean(axis=0)
        return [str(self.features.columns[place]) for place in np.argsort(-weight, kind="stable")]


def attributions(config: ModelConfig, model: Any, rows: pa.Table, others: pa.Table) -> Attributions | None:
    """Of at most ``MOST_ROWS`` of ``rows``, beside at most ``MOST_OTHERS`` of ``others``; the seed is the training's.

    Both hold the features as in the store. Of a multiclass model the answer is P(the class it answers for the row).
    None without rows on either side, and, with a word in the log, where the model does not answer for a mixture of
    rows, or answers otherwise when it is asked the same again: what is only drawn keeps no candidate back.
    """
    try:
        return _attributions(config, model, rows, others)
    except IntegrityError as error:
        _log.warning("%s: no attributions: %s", config.model, error)
        return None


def _attributions(config: ModelConfig, model: Any, rows: pa.Table, others: pa.Table) -> Attributions | None:
    seed = config.training.seed
    explained, compared = (
        features_frame(config, table.take(pa.array(pick(table.num_rows, most, seed))))
        for table, most in ((rows, MOST_ROWS), (others, MOST_OTHERS))
    )
    if explained.empty or compared.empty:
        return None
    named = score_frame(config, model, explained)[1]
    found = shapley_of_rows(
        walker(config, model, explained, compared, named),
        n_rows=len(explained),
        n_features=explained.shape[1],
        n_others=len(compared),
        n_pairs=N_PAIRS,
        rng=np.random.default_rng(seed),
    )
    missing = max((abs(one.missing) / max(1.0, abs(one.answer)) for one in found), default=0.0)
    if missing > ROUNDING:
        raise IntegrityError(f"answers differ when they are asked for again, by up to {missing:.3g}")
    parts = np.stack([one.values for one in found])
    return Attributions(features=explained, parts=parts, error=float(np.mean([one.errors for one in found])))
