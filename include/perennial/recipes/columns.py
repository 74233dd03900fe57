"""What becomes of the columns before a model sees them. None is lost, and no value that training has not seen fails."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from sklearn.compose import ColumnTransformer, make_column_selector
from sklearn.impute import MissingIndicator, SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, SplineTransformer, StandardScaler

RARE = 20
"""Categories with fewer training rows are one category, together."""
_KNOTS = 7
_DAY_S, _YEAR_D = 86_400, 365.2425
_OTHERS = make_column_selector(dtype_exclude="number")


def scaled(
    *, rare: int | float = RARE, cycles: Mapping[str, float] | None = None, times: Sequence[str] = ()
) -> ColumnTransformer:
    """For linear models: numbers imputed by their median, with a column that says so, and scaled; categories one-hot.

    A category with fewer than ``rare`` rows (a share below 1, a count from 1) counts as rare, and one that training has
    not seen as rare, too, or as none. ``cycles`` names numbers that begin anew, each with its period from 0 on (an hour
    of the day 24, a weekday 7): they also become periodic splines, so that 23 lies beside 0. ``times`` are those of
    :func:`dated`.

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
    columns = [("numbers", numbers, _numbers_but(times)), ("categories", categories, _OTHERS)]
    return ColumnTransformer([*columns, *splines, *dated(times)])


def encoded(*, rare: int | float = RARE, times: Sequence[str] = ()) -> ColumnTransformer:
    """For trees: numbers imputed by their median, with a column that says so; categories as numbers, rare ones as one,
    unseen ones as -1; ``times`` as :func:`dated` has them.

    >>> import pandas as pd
    >>> rows = pd.DataFrame({"size": [1.0, None], "town": ["a", "b"]})
    >>> encoded(rare=1).fit(rows).transform(pd.DataFrame({"size": [2.0], "town": ["c"]})).tolist()
    [[2.0, 0.0, -1.0]]
    """
    categories = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1, min_frequency=rare)
    columns = [("numbers", _imputed(), _numbers_but(times)), ("categories", categories, _OTHERS)]
    return ColumnTransformer([*columns, *dated(times)])


def dated(times: Sequence[str]) -> list[tuple[str, Any, list[str]]]:
    """What moments say: steps of a ColumnTransformer for numbers that are seconds since 1970, UTC.

    Each becomes 24 columns for the hour of the day, 7 for the weekday (from Thursday on, as 1970 began), a periodic
    spline over the year, and one that says whether it was missing. The number itself is left out: later rows lie beyond
    all that training has seen. For local hours, give seconds of local time.

    >>> import pandas as pd
    >>> rows = pd.DataFrame({"at": [0.0, 3600.0 * 25]})  # Thursday 0 o'clock, Friday 1 o'clock
    >>> made = ColumnTransformer(dated(["at"])).fit_transform(rows)
    >>> made[:, :24].argmax(axis=1).tolist(), made[:, 24:31].argmax(axis=1).tolist()
    ([0, 1], [0, 1])
    """
    return [
        step
        for name in times
        for step in (
            (f"hour_{name}", _steps(_DAY_S, 24), [name]),
            (f"weekday_{name}", _steps(7 * _DAY_S, 7), [name]),
            (f"year_{name}", make_pipeline(_imputed(tell=False), _periodic(_YEAR_D * _DAY_S)), [name]),
            (f"missing_{name}", MissingIndicator(features="all"), [name]),
        )
    ]


def _numbers_but(times: Sequence[str]) -> make_column_selector:
    """Chooses the numbers that are not ``times``."""
    named = "|".join(map(re.escape, times))
    return make_column_selector(pattern=rf"^(?!(?:{named})$)" if times else None, dtype_include="number")


def _steps(period: float, n_parts: int) -> Any:
    """One column for each of so many equal parts of a period, 1 within it and 0 outside."""
    knots = np.linspace(0, period, n_parts + 1).reshape(-1, 1)
    return make_pipeline(_imputed(tell=False), SplineTransformer(degree=0, knots=knots, extrapolation="periodic"))


def _imputed(*, tell: bool = True) -> SimpleImputer:
    """A column of nothing but nulls stays, as zeros."""
    return SimpleImputer(strategy="median", add_indicator=tell, keep_empty_features=True)


def _periodic(period: float) -> SplineTransformer:
    knots = np.linspace(0, period, _KNOTS).reshape(-1, 1)
    return SplineTransformer(knots=knots, extrapolation="periodic")
