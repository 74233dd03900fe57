"""The walks estimate what the definition says, and their errors say how well."""

from itertools import combinations
from math import comb

import numpy as np
import pytest
from numpy.typing import NDArray

from perennial.statistics.shapley import Ask, shapley

ROW = np.array([1.0, -2.0, 3.0, 0.5])
OTHERS = np.random.default_rng(5).normal(size=(7, 4))


def answers(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """With two features that only count together, one that saturates, and one that counts for nothing."""
    return rows[:, 0] * rows[:, 1] + np.tanh(2 * rows[:, 2])


def asking(rows: NDArray[np.float64]) -> Ask:
    return lambda numbers, taken: answers(np.where(taken, ROW, rows[numbers]))


def by_definition(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """L. Shapley (1953): the mean, over all sets of other features, of what a feature adds to them."""
    d = len(ROW)

    def worth(known: tuple[int, ...]) -> float:
        taken = np.isin(np.arange(d), known)
        return float(answers(np.where(taken, ROW, rows)).mean())

    return np.array(
        [
            sum(
                (worth((*known, j)) - worth(known)) / (d * comb(d - 1, size))
                for size in range(d)
                for known in combinations([k for k in range(d) if k != j], size)
            )
            for j in range(d)
        ]
    )


def test_the_estimates_lie_about_the_values_of_the_definition() -> None:
    found = shapley(asking(OTHERS), n_features=4, n_others=7, n_pairs=7 * 300, rng=np.random.default_rng(0))
    exact = by_definition(OTHERS)
    assert found.base == pytest.approx(answers(OTHERS).mean())
    assert found.answer == pytest.approx(answers(ROW[None])[0])
    assert abs(found.missing) < 1e-12
    assert np.all(np.abs(found.values - exact) <= 4 * found.errors + 1e-12)
    assert np.all(found.errors[:3] < 0.05)
    assert found.values[3] == found.errors[3] == 0.0


def test_errors_are_those_that_other_rows_to_compare_with_would_make() -> None:
    def once(seed: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        rows = np.random.default_rng(seed).normal(size=(70, 4))
        found = shapley(asking(rows), n_features=4, n_others=70, n_pairs=70, rng=np.random.default_rng(seed))
        return found.values[:3], found.errors[:3]

    values, errors = (np.array(one) for one in zip(*map(once, range(300)), strict=True))
    assert np.allclose(values.std(axis=0), errors.mean(axis=0), rtol=0.15)


def test_one_row_to_compare_with_and_an_order_of_its_own_for_each_walk() -> None:
    """With one row in place of many the part of each feature still is its mean over both orders."""

    def ask(numbers: NDArray[np.int64], taken: NDArray[np.bool_]) -> NDArray[np.float64]:
        return np.where(taken.all(axis=1), 1.0, 0.0)  # only all of them together

    found = shapley(ask, n_features=2, n_others=1, n_pairs=50, rng=np.random.default_rng(0))
    assert found.values.tolist() == [0.5, 0.5]
    assert found.errors.tolist() == [0.0, 0.0]


def test_a_model_that_answers_otherwise_the_second_time_is_found_out() -> None:
    rng = np.random.default_rng(1)

    def ask(numbers: NDArray[np.int64], taken: NDArray[np.bool_]) -> NDArray[np.float64]:
        return rng.normal(size=len(numbers))

    assert abs(shapley(ask, n_features=3, n_others=7, n_pairs=20, rng=np.random.default_rng(0)).missing) > 1e-3
