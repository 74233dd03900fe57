"""One block of a profile as bytes: a header in JSON, then counts and sums as they lie in memory, compressed."""

import json
import zlib
from collections.abc import Iterator

import numpy as np

from perennial.profiles.grid import Floats, Grid
from perennial.profiles.profile import Categories, Numbers, Profile, edges_name


def encode(profile: Profile) -> Iterator[tuple[int, int, bytes]]:
    """For each block its start (microseconds since 1970), its rows, and all that is kept of it.

    >>> empty = Profile(blocks=np.array([7]), n_rows=np.array([3.0]))
    >>> [(start, n_rows) for start, n_rows, _ in encode(empty)]
    [(7, 3)]
    """
    for at, (start, n_rows) in enumerate(zip(profile.blocks.tolist(), profile.n_rows.tolist(), strict=True)):
        header = {
            "numbers": {name: _scalars(column, at) for name, column in profile.numbers.items()},
            "categories": {name: _counted(column, at) for name, column in profile.categories.items()},
        }
        bins = [column.counts[at].astype("<i8").tobytes() for column in profile.numbers.values()]
        bins += [column.sums[at].astype("<f8").tobytes() for column in profile.numbers.values()]
        text = json.dumps(header, allow_nan=False).encode()
        yield start, int(n_rows), zlib.compress(b"\n".join([text, b"".join(bins)]), 1)


def decode(start: int, n_rows: int, kept: bytes, grid: Grid) -> Profile:
    """What :func:`encode` made bytes of, with the grid that it was counted on.

    >>> one = Profile(blocks=np.array([7]), n_rows=np.array([3.0]))
    >>> decode(*next(encode(one)), {}).n_rows.tolist()
    [3.0]
    """
    text, _, bins = zlib.decompress(kept).partition(b"\n")
    header = json.loads(text)
    edges = {name: grid[edges_name(name)] for name in header["numbers"]}
    n_bins, numbers, first = sum(len(one) + 1 for one in edges.values()), {}, 0
    counts = np.frombuffer(bins, "<i8", count=n_bins).astype(np.float64)
    sums = np.frombuffer(bins, "<f8", offset=8 * n_bins, count=n_bins).astype(np.float64)
    for name, scalars in header["numbers"].items():
        taken = slice(first, first := first + len(edges[name]) + 1)
        numbers[name] = _numbers(edges[name], counts[taken], sums[taken], scalars)
    categories = {name: _categories(*values) for name, values in header["categories"].items()}
    return Profile(blocks=np.array([start]), n_rows=np.array([float(n_rows)]), numbers=numbers, categories=categories)


def _scalars(column: Numbers, at: int) -> list[float | None]:
    figures = (column.squares, column.n_nulls, column.n_infinite, column.low, column.high)
    return [float(one[at]) if np.isfinite(one[at]) else None for one in figures]


def _numbers(edges: Floats, counts: Floats, sums: Floats, scalars: list[float | None]) -> Numbers:
    squares, n_nulls, n_infinite, low, high = (np.array([np.nan if one is None else one]) for one in scalars)
    return Numbers(
        edges=edges,
        counts=counts[None, :],
        sums=sums[None, :],
        squares=squares,
        n_nulls=n_nulls,
        n_infinite=n_infinite,
        low=low,
        high=high,
    )


def _counted(column: Categories, at: int) -> list[object]:
    there = np.flatnonzero(column.counts[at])
    counts = {column.values[value]: int(column.counts[at, value]) for value in there}
    return [int(column.n_nulls[at]), int(column.n_other[at]), counts]


def _categories(n_nulls: int, n_other: int, counts: dict[str, int]) -> Categories:
    return Categories(
        values=tuple(counts),
        counts=np.array([list(counts.values())], np.float64).reshape(1, len(counts)),
        n_nulls=np.array([float(n_nulls)]),
        n_other=np.array([float(n_other)]),
    )
