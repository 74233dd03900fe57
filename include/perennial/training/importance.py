"""What a model uses: permutation importance (Breiman 2001, Random Forests, section 10) on a bounded sample."""

import numpy as np
import pyarrow as pa
from joblib import parallel_config
from sklearn.inspection import permutation_importance

from perennial.config import ModelConfig
from perennial.registry.scoring import features_frame
from perennial.training.rows import labels_of

MOST_ROWS = 5_000
REPEATS = 3
THREADS = 2
_SCORING = {"binary": "roc_auc", "multiclass": "accuracy", "regression": "r2"}


def feature_importance(config: ModelConfig, model: object, rows: pa.Table) -> dict[str, float] | None:
    """The loss of AUC, accuracy or R2 when one feature is shuffled, as a share of the sum over all features.

    ``rows`` holds the features with their types in the store and ``label`` (double, text for multiclass). Losses below
    zero count as zero. When no shuffle costs anything, every feature has the same share: nothing is known to matter
    less. None when the rows can not tell: fewer than two, or labels of one value only.

    >>> feature_importance(flights, None, pa.table({"label": [1.0, 1.0]}))
    """
    labels = labels_of(config, rows)
    if len(np.unique(labels)) < 2:  # noqa: PLR2004 - no spread, no score
        return None
    # the same answers by any number of threads: each feature is shuffled by a seed of its own
    with parallel_config("threading", n_jobs=THREADS):
        found = permutation_importance(
            model,
            features_frame(config, rows),
            labels,
            scoring=_SCORING[config.task],
            n_repeats=REPEATS,
            random_state=config.training.seed,
        )
    losses = np.clip(np.nan_to_num(found.importances_mean, nan=0.0), 0.0, None)
    total = losses.sum()
    shares = losses / total if total > 0 else np.full(len(losses), 1 / len(losses))
    return {name: float(share) for name, share in zip(config.features, shares, strict=True)}
