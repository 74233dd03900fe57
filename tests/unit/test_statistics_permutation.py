"""Distances against SciPy, and the pooled permutation of blocks against its definition."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from scipy import stats
from scipy.spatial import distance as scipy_distance

from perennial.statistics.drift.distances import METHODS, distance
from perennial.statistics.drift.permutation import BlockCounts, DriftTest, permute_blocks

AT = np.array([-3.0, 0.0, 1.0, 2.5, 40.0])
COUNTS = arrays(np.int64, 5, elements=st.integers(0, 50)).filter(lambda counts: bool(counts.sum()))
EVERY = tuple(METHODS)


def rng(seed: int = 4) -> np.random.Generator:
    return np.random.default_rng(seed)


@settings(max_examples=40)
@given(COUNTS, COUNTS)
def test_distances_are_those_of_scipy(window: NDArray[np.int64], reference: NDArray[np.int64]) -> None:
    def ours(method: str) -> float:
        return float(distance(method, window, reference, AT))  # type: ignore[arg-type]

    rows = [np.repeat(AT, side) for side in (window, reference)]
    assert ours("jensen_shannon") == pytest.approx(scipy_distance.jensenshannon(window, reference), abs=1e-7)
    assert ours("ks") == pytest.approx(stats.ks_2samp(*rows, method="exact").statistic, abs=1e-9)
    spread = rows[1].std()
    if spread > 0:
        assert ours("wasserstein") == pytest.approx(stats.wasserstein_distance(*rows) / spread, abs=1e-9)
    shares = [side / side.sum() for side in (window, reference)]
    both = (shares[0] + shares[1] > 0).nonzero()[0]
    halves = stats.chi2_contingency(np.stack(shares)[:, both], correction=False).statistic if len(both) > 1 else 0.0
    assert ours("chi_squared") == pytest.approx(np.sqrt(halves / 2), abs=1e-9)
    assert ours("l_infinity") == pytest.approx(scipy_distance.chebyshev(*shares), abs=1e-12)


@given(COUNTS, COUNTS)
def test_distances_are_zero_for_equal_shares_and_within_their_range(
    window: NDArray[np.int64], reference: NDArray[np.int64]
) -> None:
    highest = {"jensen_shannon": np.log(2) ** 0.5, "psi": np.inf, "kl": np.inf, "wasserstein": np.inf}
    for method in EVERY:
        assert distance(method, window, 3 * window, AT) == pytest.approx(0, abs=1e-7)
        found = float(distance(method, window, reference, AT))
        assert 0 <= found <= highest.get(method, 1) + 1e-9


def test_a_constant_reference_and_another_window_lie_apart() -> None:
    reference, window = np.array([0, 9, 0, 0, 0]), np.array([0, 0, 9, 0, 0])
    assert all(distance(method, window, reference, AT) > 0.5 for method in EVERY)
    assert distance("wasserstein", reference, reference, AT) == 0


def test_a_side_that_counts_nothing_has_no_distance() -> None:
    nothing, something = np.zeros(5), np.ones(5)
    for method in EVERY:
        assert np.isnan(distance(method, nothing, something, AT))
        assert np.isnan(distance(method, something, nothing, AT))
    with pytest.raises(ValueError, match="give at"):
        distance("wasserstein", something, something)


def drawn(n_columns: int, n_blocks: int, *, seed: int, by_block: float = 0.4) -> list[BlockCounts]:
    """Columns whose distribution moves from block to block, with no change between window and reference."""
    chance = rng(seed)
    columns = []
    for number in range(n_columns):
        moved = np.exp(by_block * chance.normal(size=(n_blocks, 1)) * np.linspace(-1, 1, 5))
        counts = chance.poisson(20 * moved)
        methods = ("jensen_shannon", "psi", "wasserstein", "ks") if number % 2 else ("chi_squared", "l_infinity")
        columns.append(BlockCounts(column=f"c{number}", counts=counts, methods=methods, at=AT))
    return columns


def permuted(columns: list[BlockCounts], in_window: NDArray[np.bool_], n_permutations: int = 400) -> DriftTest:
    return permute_blocks(columns, in_window, rng=rng(), n_permutations=n_permutations)


def test_where_blocks_can_be_parted_in_few_ways_p_is_exact() -> None:
    """Ten blocks, two of them the window, 45 ways: each computed here by hand, one distance after another."""
    (column,) = drawn(1, 10, seed=1)
    found = permuted([column], np.arange(10) < 2)
    scores = {}
    for method in column.methods:
        windows = [list(ours) for ours in combinations(range(10), 2)]
        sides = [
            (column.counts[ours].sum(axis=0), np.delete(column.counts, ours, axis=0).sum(axis=0)) for ours in windows
        ]
        logs = np.log([float(distance(method, *side)) + 0.05 for side in sides])
        scores[method] = (logs - logs.mean()) / (logs.std() + 0.03)
    largest = np.max(list(scores.values()), axis=0)
    assert (found.n_permutations, found.least_p) == (45, 1 / 45)
    for one in found.found:
        assert one.z == pytest.approx(scores[one.method][0])
        assert one.p == pytest.approx((largest >= scores[one.method][0] - 1e-9).mean())
    assert found.p == min(one.p for one in found.found if one.p is not None)


def test_a_window_of_one_block_can_reach_one_in_as_many_blocks() -> None:
    columns = drawn(3, 121, seed=2)
    found = permuted(columns, np.arange(121) == 7, n_permutations=2000)
    assert (found.n_permutations, found.least_p) == (121, 1 / 121)


def test_with_nothing_changed_p_is_as_often_small_as_it_says() -> None:
    """Blocks differ by far more than rows would: taken for independent rows, every window would alarm."""
    smallest = []
    for seed in range(300):
        found = permuted(drawn(4, 30, seed=100 + seed), np.arange(30) < 8, n_permutations=99)
        smallest.append(found.p or 0)
    assert 0.02 <= np.mean(np.array(smallest) <= 0.05) <= 0.08
    assert 0.42 <= np.mean(np.array(smallest) <= 0.5) <= 0.58


def test_a_change_of_one_column_is_found_and_named() -> None:
    columns, in_window = drawn(6, 60, seed=3), np.arange(60) < 14
    counts = columns[4].counts.copy()
    counts[in_window, -1] += 60
    columns[4] = BlockCounts(column="c4", counts=counts, methods=columns[4].methods, at=AT)
    found = permuted(columns, in_window)
    small = {one.column for one in found.found if one.p is not None and one.p <= 0.05}
    assert small == {"c4"}
    changed = next(one for one in found.found if one.column == "c4")
    assert changed.distance is not None
    assert changed.distance > changed.quantiles[-1] > changed.quantiles[0]


def test_more_nulls_are_found() -> None:
    n_rows, in_window = np.full(40, 100), np.arange(40) < 10
    n_nulls = rng().binomial(n_rows, np.where(in_window, 0.15, 0.02))
    found = permuted([BlockCounts.of_nulls("temp", n_nulls, n_rows)], in_window)
    assert found.p == pytest.approx(1 / 401)
    assert found.found[0].distance == pytest.approx(0.13, abs=0.03)


def test_columns_and_units_do_not_change_the_answer() -> None:
    columns, in_window = drawn(5, 40, seed=6), np.arange(40) < 9
    straight = permuted(columns, in_window)
    assert set(permuted(columns[::-1], in_window).found) == set(straight.found)
    metric = [BlockCounts(column=c.column, counts=c.counts, methods=c.methods, at=AT * 1.609 + 32) for c in columns]
    assert permuted(metric, in_window).p == straight.p


def test_the_same_seed_gives_the_same_answer() -> None:
    columns, in_window = drawn(2, 40, seed=7), np.arange(40) < 9
    assert permuted(columns, in_window) == permuted(columns, in_window)


def test_a_column_without_a_value_in_the_window_has_no_distance_and_hides_no_other() -> None:
    columns, in_window = drawn(2, 40, seed=8), np.arange(40) < 9
    gone = BlockCounts(column="gone", counts=columns[0].counts * ~in_window[:, None], methods=("ks",))
    alone, beside = permuted(columns, in_window), permuted([*columns, gone], in_window)
    assert (beside.found[-1].distance, beside.found[-1].p) == (None, None)
    assert [one.z for one in beside.found[:-1]] == [one.z for one in alone.found]
    assert permuted([gone], in_window).p is None
    assert permuted([], in_window).p is None


def test_wrong_arguments_are_refused() -> None:
    columns = drawn(2, 10, seed=9)
    for in_window in (np.zeros(10, bool), np.ones(10, bool)):
        with pytest.raises(ValueError, match="both sides need one"):
            permuted(columns, in_window)
    with pytest.raises(ValueError, match="not 11 blocks: c0, c1"):
        permuted(columns, np.arange(11) < 3)
