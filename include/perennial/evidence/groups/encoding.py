"""Rows as a tree takes them: numbers as they are, categories in the order of their mean target."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from perennial.config import ModelConfig

Numbers = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Encoding:
    """The ``columns`` in their order, and the code of each known value of those that are categories."""

    columns: tuple[str, ...]
    codes: dict[str, dict[str, int]]

    def of(self, rows: pa.Table) -> Numbers:
        """The rows as a matrix of shape (n, columns); NaN for nulls, unknown values and missing columns."""
        return np.column_stack([self._column(rows, name) for name in self.columns])

    def _column(self, rows: pa.Table, name: str) -> Numbers:
        if name not in rows.column_names:
            return np.full(rows.num_rows, np.nan)
        if name not in self.codes:
            return np.asarray(rows[name].cast(pa.float64()).to_numpy(zero_copy_only=False), dtype=np.float64)
        values = rows[name].cast(pa.string()).combine_chunks().dictionary_encode()
        known: list[float] = [self.codes[name].get(value, np.nan) for value in values.dictionary.to_pylist()]
        places = values.indices.fill_null(len(known)).to_numpy(zero_copy_only=False)
        code_of: Numbers = np.array([*known, np.nan], dtype=np.float64)
        coded: Numbers = code_of[places]
        return coded


def learn_encoding(config: ModelConfig, rows: pa.Table, target: Numbers, *, columns: tuple[str, ...]) -> Encoding:
    """The encoding of ``columns`` of ``rows``; a category's values in the order of their mean ``target``, shape (n,).

    W. Fisher, JASA 53 (1958): for a squared error the best split of a category is one in that order.

    >>> rows = pa.table({"origin": ["JFK", "LGA", "JFK", None]})
    >>> encoding = learn_encoding(flights, rows, np.array([3.0, 1.0, 3.0, 9.0]), columns=("origin",))
    >>> encoding.of(pa.table({"origin": ["LGA", "JFK", "SEA"]})).ravel().tolist()
    [0.0, 1.0, nan]
    """
    codes = {}
    for name in columns:
        if name in config.categories and name in rows.column_names:
            values = rows[name].cast(pa.string()).combine_chunks().dictionary_encode()
            places = values.indices.to_numpy(zero_copy_only=False)
            known = np.isfinite(places.astype(np.float64))
            of_value = places[known].astype(np.intp)
            sums, sizes = np.bincount(of_value, weights=target[known]), np.maximum(np.bincount(of_value), 1)
            order = np.argsort(sums / sizes, kind="stable")
            names = values.dictionary.to_pylist()
            codes[name] = {names[place]: code for code, place in enumerate(order)}
    return Encoding(columns, codes)
