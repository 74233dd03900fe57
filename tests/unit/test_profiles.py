"""Laws of profiles: merged in any order they say what the rows say, within what a grid can."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perennial.profiles.coding import decode, encode
from perennial.profiles.counting import ProfileLayout, count_rows, grid_of
from perennial.profiles.grid import decode_grid, edges_of, encode_grid, grid_id
from perennial.profiles.profile import MOST_VALUES, Profile, merge
from perennial.statistics.drift.distances import distance

DAY_US = 86_400_000_000
NUMBERS = ("smooth", "heavy", "discrete", "score")


def rows_of(n_rows: int, seed: int, *, n_days: int = 9) -> pa.Table:
    rng = np.random.default_rng(seed)
    smooth = rng.normal(size=n_rows)
    smooth[rng.random(n_rows) < 0.1] = np.nan
    return pa.table(
        {
            "event_time": pa.array(rng.integers(0, n_days * DAY_US, n_rows), pa.timestamp("us", "UTC")),
            "smooth": smooth,
            "heavy": np.where(rng.random(n_rows) < 0.8, 0.0, rng.lognormal(0, 2, n_rows)),
            "discrete": rng.integers(0, 24, n_rows),
            "word": pa.array(rng.choice(["a", "b", "c"], n_rows), mask=rng.random(n_rows) < 0.2),
            "score": rng.random(n_rows),
            "model_version": rng.choice(["1", "2"], n_rows, p=[0.9, 0.1]),
        }
    )


def layout(grid: dict[str, Any]) -> ProfileLayout:
    return ProfileLayout(block_us=DAY_US, numbers=NUMBERS[:-1], categories=["word"], grid=grid)


ROWS = rows_of(4000, 1)
GRID = grid_of(rows_of(3000, 2), NUMBERS)
WHOLE = count_rows([ROWS], layout(GRID))


def assert_alike(one: Profile, other: Profile) -> None:
    assert one.blocks.tolist() == other.blocks.tolist()
    assert one.n_rows.tolist() == other.n_rows.tolist()
    assert set(one.numbers) == set(other.numbers) == {"smooth", "heavy", "discrete", "score:1", "score:2"}
    for name, column in one.numbers.items():
        assert column.counts.tolist() == other.numbers[name].counts.tolist()
        for part in ("sums", "squares", "n_nulls", "n_infinite", "low", "high"):
            np.testing.assert_allclose(getattr(column, part), getattr(other.numbers[name], part), rtol=1e-9)
    assert one.categories["word"].values == other.categories["word"].values
    for part in ("counts", "n_nulls", "n_other"):
        assert getattr(one.categories["word"], part).tolist() == getattr(other.categories["word"], part).tolist()


@settings(deadline=None, max_examples=15)
@given(st.integers(1, 12), st.integers(0, 2**32 - 1))
def test_merged_in_any_order_the_parts_are_the_whole(n_parts: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    shuffled = ROWS.take(pa.array(rng.permutation(ROWS.num_rows)))
    cuts = np.sort(rng.integers(0, ROWS.num_rows, n_parts - 1)).tolist()
    parts = [
        count_rows([shuffled.slice(start, end - start)], layout(GRID))
        for start, end in zip([0, *cuts], [*cuts, ROWS.num_rows], strict=True)
    ]
    rng.shuffle(parts)  # type: ignore[arg-type]
    half = len(parts) // 2
    assert_alike(merge(parts, GRID), WHOLE)
    assert_alike(merge([merge(parts[:half], GRID), merge(parts[half:], GRID)], GRID), WHOLE)


def test_each_block_counts_its_own_rows() -> None:
    days = ROWS["event_time"].cast(pa.int64()).to_numpy() // DAY_US
    assert WHOLE.blocks.tolist() == [day * DAY_US for day in range(9)]
    for at in range(9):
        values = ROWS["heavy"].to_numpy()[days == at]
        column = WHOLE.numbers["heavy"]
        expected = np.bincount(np.searchsorted(GRID["heavy"], values, side="right"), minlength=len(GRID["heavy"]) + 1)
        assert column.counts[at].tolist() == expected.tolist()
        assert column.sums[at].sum() == pytest.approx(values.sum())
    smooth = ROWS["smooth"].to_numpy()
    assert WHOLE.numbers["smooth"].n_nulls.sum() == np.isnan(smooth).sum()


def test_infinite_values_are_counted_apart() -> None:
    at = pa.array([0] * 5, pa.timestamp("us", "UTC"))
    rows = pa.table({"event_time": at, "smooth": [np.inf, -np.inf, np.nan, 0.5, None]})
    column = count_rows([rows], layout(GRID)).numbers["smooth"]
    assert (column.n_infinite[0], column.n_nulls[0], column.counts.sum(), column.sums.sum()) == (2, 2, 1, 0.5)


def test_the_bytes_of_a_block_are_the_block() -> None:
    assert_alike(merge([decode(*kept, GRID) for kept in encode(WHOLE)], GRID), WHOLE)
    again = decode_grid(encode_grid(GRID))
    assert grid_id(again) == grid_id(GRID)
    assert all(np.array_equal(again[name], edges) for name, edges in GRID.items())


def test_every_frequent_value_has_a_bin_of_its_own() -> None:
    edges = edges_of(np.concatenate([np.zeros(900), np.linspace(1, 2, 100)]))
    counts = np.bincount(np.searchsorted(edges, [0.0, np.nextafter(0, 1), -1e-300], side="right"))
    assert sorted(counts[counts > 0].tolist()) == [1, 1, 1]
    assert len(edges_of(np.arange(24.0).repeat(10))) == 2 * 24
    assert len(edges_of(np.array([np.nan, np.inf]))) == 0


def shares(values: np.ndarray[Any, Any], edges: Any) -> Any:
    return np.bincount(np.searchsorted(edges, values, side="right"), minlength=len(edges) + 1)


@pytest.mark.parametrize("name", NUMBERS[:-1])
def test_on_another_grid_the_distances_keep_within_the_stated_error(name: str) -> None:
    """0.1 of PSI, 0.01 of Kolmogorov-Smirnov: docs/statistics.md, Profiles."""
    other = {"heavy": 1.5, "discrete": 1.0, "smooth": 1.2}[name]
    season = rows_of(20_000, 3)
    moved = season.set_column(
        season.schema.get_field_index(name), name, pa.array(season[name].to_numpy() * other + (name == "smooth"))
    )
    made_of_another = grid_of(moved, NUMBERS)
    regridded = merge([count_rows([season], layout(made_of_another))], GRID).numbers[name].counts.sum(axis=0)
    exact = count_rows([season], layout(GRID)).numbers[name].counts.sum(axis=0)
    reference = WHOLE.numbers[name].counts.sum(axis=0)
    assert regridded.sum() == pytest.approx(exact.sum())
    assert distance("ks", regridded, reference) == pytest.approx(distance("ks", exact, reference), abs=0.01)
    tenths = np.unique(np.searchsorted(np.cumsum(reference) / reference.sum(), np.arange(1, 10) / 10) + 1)
    starts = np.concatenate([[0], tenths[tenths < len(reference)]])
    coarse = [np.add.reduceat(one, starts) for one in (regridded, exact, reference)]
    assert distance("psi", coarse[0], coarse[2]) == pytest.approx(distance("psi", coarse[1], coarse[2]), abs=0.1)


def test_bins_that_say_nothing_lose_their_block_instead_of_guessing() -> None:
    empty = {**GRID, "smooth": np.empty(0)}
    merged = merge([count_rows([ROWS], layout(empty)), WHOLE], GRID).numbers["smooth"]
    assert merged.counts.tolist() == WHOLE.numbers["smooth"].counts.tolist()
    assert merged.n_nulls.tolist() == WHOLE.numbers["smooth"].n_nulls.tolist()


def test_a_category_of_too_many_values_is_bounded_and_loses_no_row() -> None:
    ids = [f"id{i % 1500}" for i in range(6000)]
    times = pa.array([0] * 6000, pa.timestamp("us", "UTC"))
    found = count_rows([pa.table({"event_time": times, "word": ids})], layout(GRID)).categories["word"]
    assert len(found.values) == MOST_VALUES
    assert found.n_values.tolist() == [6000]
    assert found.n_other.tolist() == [2000]


def test_no_value_is_too_large_to_be_counted() -> None:
    times = pa.array([0] * 3, pa.timestamp("us", "UTC"))
    rows = pa.table({"event_time": times, "discrete": [2**53 + 1, 2**62 + 1, None], "word": ["x" * 10**6] * 3})
    found = count_rows([rows], layout({"discrete": np.array([0.0])}))
    assert found.numbers["discrete"].counts.tolist() == [[0, 2]]
    assert found.categories["word"].values == ("x" * 200,)


def test_a_version_that_is_noise_stays_bounded() -> None:
    times = pa.array([0] * 100, pa.timestamp("us", "UTC"))
    versions = [f"v{i}" for i in range(100)]
    found = count_rows(
        [pa.table({"event_time": times, "score": np.arange(100) / 100, "model_version": versions})], layout(GRID)
    )
    assert len(found.numbers) == 8
