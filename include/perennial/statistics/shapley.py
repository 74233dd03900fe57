"""What each feature of a row added to an answer: Shapley values, estimated by walks from other rows to this one.

A walk begins at some row and takes over the features of the explained one, one after the other in a random order; what
the answer moves by when a feature is taken over is that feature's part of the walk, and its mean over walks estimates
the Shapley value of the feature, for whatever model (E. Štrumbelj and I. Kononenko, Knowledge and Information Systems
41, 2014). Each order is walked backwards too, which makes the error smaller (R. Mitchell, J. Cooper, E. Frank and
G. Holmes, Journal of Machine Learning Research 23, 2022). The parts of a walk add up to its whole way by construction.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ask = Callable[[NDArray[np.int64], NDArray[np.bool_]], NDArray[np.float64]]
"""Answers of shape (n,) for rows of a number (n,) whose features (n, d) are taken over, where true."""

AskOfRows = Callable[[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]], NDArray[np.float64]]
"""The same, with the number of the explained row, of shape (n,), before the others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """``base`` is the mean answer for the rows that walks began at, ``answer`` that for the explained row; ``values``
    and their standard ``errors`` have shape (d,), in the unit of the answers; the errors count those rows as drawn from
    many. ``missing`` is what the values do not add
    up to: none but that of rounding, unless the model answers otherwise when it is asked again.
    """

    base: float
    answer: float
    values: NDArray[np.float64]
    errors: NDArray[np.float64]

    @property
    def missing(self) -> float:
        """answer - base - the sum of the values."""
        return float(self.answer - self.base - self.values.sum())


def shapley(ask: Ask, *, n_features: int, n_others: int, n_pairs: int, rng: np.random.Generator) -> Parts:
    """``n_pairs`` (at least 2) walks and as many backwards, from ``n_others`` rows in turn; asks for
    2 ``n_pairs`` (d + 1) rows at once.

    >>> others, row = np.array([[0.0, 0.0], [2.0, 0.0]]), np.array([3.0, 5.0])
    >>> def ask(numbers, taken):
    ...     return np.where(taken, row, others[numbers]) @ np.array([1.0, 10.0])
    >>> found = shapley(ask, n_features=2, n_others=2, n_pairs=8, rng=np.random.default_rng(1))
    >>> found.base, found.answer, found.values.tolist(), found.missing
    (1.0, 53.0, [2.0, 50.0], 0.0)
    """

    def of_row(_: NDArray[np.int64], numbers: NDArray[np.int64], taken: NDArray[np.bool_]) -> NDArray[np.float64]:
        return ask(numbers, taken)

    given = {"n_features": n_features, "n_others": n_others, "n_pairs": n_pairs}
    return shapley_of_rows(of_row, n_rows=1, **given, rng=rng)[0]


def shapley_of_rows(
    ask: AskOfRows, *, n_rows: int, n_features: int, n_others: int, n_pairs: int, rng: np.random.Generator
) -> tuple[Parts, ...]:
    """:func:`shapley` of each of ``n_rows`` (at least 1), with one question about all of them.

    >>> others, rows = np.array([[0.0, 0.0], [2.0, 0.0]]), np.array([[3.0, 5.0], [1.0, 0.0]])
    >>> def ask(explained, numbers, taken):
    ...     return np.where(taken, rows[explained], others[numbers]) @ np.array([1.0, 10.0])
    >>> rng = np.random.default_rng(1)
    >>> [one.values.tolist() for one in shapley_of_rows(ask, n_rows=2, n_features=2, n_others=2, n_pairs=8, rng=rng)]
    [[2.0, 50.0], [0.0, 0.0]]
    """
    n_walks = 2 * n_pairs * n_rows
    forth = rng.permuted(np.tile(np.arange(n_features), (n_pairs * n_rows, 1)), axis=1)
    orders = np.stack([forth, forth[:, ::-1]], axis=1).reshape(n_walks, n_features)
    place = np.argsort(orders, axis=1)  # of each feature in its walk
    taken = place[:, None, :] < np.arange(n_features + 1)[None, :, None]
    numbers = np.tile(np.repeat(np.arange(n_pairs) % n_others, 2 * (n_features + 1)), n_rows)
    explained = np.repeat(np.arange(n_rows), 2 * n_pairs * (n_features + 1))
    answers = ask(explained, numbers, taken.reshape(-1, n_features)).reshape(n_walks, n_features + 1)
    steps = np.take_along_axis(np.diff(answers, axis=1), place, axis=1)
    pairs = steps.reshape(n_rows, n_pairs, 2, n_features).mean(axis=2)
    walked = answers.reshape(n_rows, 2 * n_pairs, n_features + 1)
    return tuple(
        Parts(
            base=float(walked[row, :, 0].mean()),
            answer=float(walked[row, 0, -1]),
            values=pairs[row].mean(axis=0),
            errors=pairs[row].std(axis=0, ddof=1) / np.sqrt(n_pairs),
        )
        for row in range(n_rows)
    )
