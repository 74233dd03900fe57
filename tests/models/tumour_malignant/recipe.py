"""Histogram gradient boosting over encoded categories, as one Pipeline."""

from sklearn.base import BaseEstimator
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OrdinalEncoder

CATEGORIES = ["clinic", "screened"]


def build(*, seed: int, max_iter: int = 100) -> BaseEstimator:
    """An unfitted classifier. ``max_iter`` is the number of trees."""
    encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    return make_pipeline(
        make_column_transformer((encoder, CATEGORIES), ("passthrough", make_column_selector(dtype_include="number"))),
        HistGradientBoostingClassifier(
            max_iter=max_iter, categorical_features=list(range(len(CATEGORIES))), random_state=seed
        ),
    )
