"""Ridge regression on imputed, scaled numbers and one-hot categories."""

from sklearn.base import BaseEstimator
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler


def build(*, seed: int, alpha: float = 1.0) -> BaseEstimator:
    """An unfitted regressor. ``alpha`` is the L2 penalty."""
    numbers = make_pipeline(SimpleImputer(strategy="median"), StandardScaler())
    return make_pipeline(
        make_column_transformer(
            (numbers, make_column_selector(dtype_include="number")),
            (OneHotEncoder(handle_unknown="ignore"), make_column_selector(dtype_exclude="number")),
        ),
        Ridge(alpha=alpha, random_state=seed),
    )
