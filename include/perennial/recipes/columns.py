"""What becomes of the columns before a model sees them. None is lost, and no value that training has not seen fails."""

from collections.abc import Mapping

import numpy as np
from sklearn.compose import ColumnTransformer, make_column_selector
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, SplineTransformer, StandardScaler

RARE = 20
"""Categories with fewer training rows are one category, together."""
_KNOTS = 7
_NUMBERS, _OTHERS = make_column_selector(dtype_include="number"), make_column_selector(dtype_exclude="number")


def scaled(*, rare: int | float = RARE, cycles: Mapping[str, float] | None = None) -> ColumnTransformer:
    """For linear models: numbers imputed by their median, with a column that says so, and scaled; categories one-hot.

    A category with fewer than ``rare`` rows (a share below 1, a count from 1) counts as rare, and one that training has
    not seen as rare, too, or as none. ``cycles`` names numbers that begin anew, each with its period from 0 on (an hour
    of the day 24, a weekday 7): they also become periodic splines, so that 23 lies beside 0.

    >>> import pandas as pd
    >>> rows = pd.DataFrame({"hour": [0.0, 23.0, None], "town": ["a", "b", "a"]})
    >>> scaled(rare=1, cycles={"hour": 24}).fit_transform(rows).shape
    (3, 10)
    """
    numbers = make_pipeline(_imputed(), StandardScaler())
    categories = OneHotEncoder(handle_unknown="infrequent_if_exist", min_frequency=rare, sparse_output=False)
    splines = [
        (f"cycle_{name}", make_pipeline(_imputed(tell=False), _periodic(period)), [name])
        for name, period in (cycles or {}).items()
    ]
    return ColumnTransformer([("numbers", numbers, _NUMBERS), ("categories", categories, _OTHERS), *splines])


def encoded(*, rare: int | float = RARE) -> ColumnTransformer:
    """For trees: numbers imputed by their median, with a column that says so; categories as numbers, rare ones as one,
    unseen ones as -1.

    >>> import pandas as pd
    >>> rows = pd.DataFrame({"size": [1.0, None], "town": ["a", "b"]})
    >>> encoded(rare=1).fit(rows).transform(pd.DataFrame({"size": [2.0], "town": ["c"]})).tolist()
    [[2.0, 0.0, -1.0]]
    """
    categories = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1, min_frequency=rare)
    return ColumnTransformer([("numbers", _imputed(), _NUMBERS), ("categories", categories, _OTHERS)])


def _imputed(*, tell: bool = True) -> SimpleImputer:
    """A column of nothing but nulls stays, as zeros."""
    return SimpleImputer(strategy="median", add_indicator=tell, keep_empty_features=True)


def _periodic(period: float) -> SplineTransformer:
    knots = np.linspace(0, period, _KNOTS).reshape(-1, 1)
    return SplineTransformer(knots=knots, extrapolation="periodic")
