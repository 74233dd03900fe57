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
from perennial.registry.scoring import features_frame, score_frame, walker
from perennial.statistics.shapley import shapley
from perennial.training.rows import pick

MOST_ROWS, MOST_OTHERS, N_PAIRS = 100, 100, 10
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
    None without rows on either side, or where the model answers otherwise when it is asked the same again. Raises
    IntegrityError as the scoring.
    """
    seed = config.training.seed
    explained, compared = (
        features_frame(config, table.take(pa.array(pick(table.num_rows, most, seed))))
        for table, most in ((rows, MOST_ROWS), (others, MOST_OTHERS))
    )
    if explained.empty or compared.empty:
        return None
    named = score_frame(config, model, explained)[1]
    rng = np.random.default_rng(seed)
    found = [
        shapley(
            walker(config, model, explained.iloc[[place]], compared, None if named is None else str(named[place])),
            n_features=explained.shape[1],
            n_others=len(compared),
            n_pairs=N_PAIRS,
            rng=rng,
        )
        for place in range(len(explained))
    ]
    if unstable := [one.missing for one in found if abs(one.missing) > ROUNDING * max(1.0, abs(one.answer))]:
        _log.warning(
            "%s: no attributions: %d answers differ when they are asked for again, by up to %.3g",
            config.model,
            len(unstable),
            max(map(abs, unstable)),
        )
        return None
    parts = np.stack([one.values for one in found])
    return Attributions(features=explained, parts=parts, error=float(np.mean([one.errors for one in found])))
