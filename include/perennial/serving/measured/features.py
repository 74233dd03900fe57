"""The values that were answered, by feature, for Prometheus: numbers as histograms, categories and nulls by count.

A request only leaves its values here; they are counted together, once a second and whenever somebody asks. They wait in
one flat list: a tuple a row that waited would be one for Python's garbage collector to look at. Of several processes
each leaves its counts in a file, from which whichever is asked adds them up.
"""

import contextlib
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from perennial.config import Feature, NumberFeature

Rows = Sequence[Sequence[Any]]
OTHER = "other"
_MOST_CATEGORIES = 200
_FEW_NUMBERS = 12
_NEAR = (0.001, 0.01)
_AROUND_ZERO = (*(-(10.0**step) for step in (9, 6, 3, 0)), 0.0, *(10.0**step for step in range(-3, 10)))
_ENCODER = msgspec.json.Encoder()


def edges_of(spec: NumberFeature) -> tuple[float, ...]:
    """The ascending edges of a number's buckets, each of which ends with its edge: by the range of ``model.yaml``.

    Tenths of the range, with its lower end, a thousandth and a hundredth above it, since amounts crowd there; of few
    whole numbers each one; powers of ten where an end is open.

    >>> edges_of(flights.features["precip_in"])
    (0.0, 0.01, 0.1, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0)
    >>> edges_of(NumberFeature(type="int", min=1, max=3)), edges_of(NumberFeature(type="float", min=100))[:3]
    ((1.0, 2.0, 3.0), (100.0, 1000.0, 10000.0))
    """
    low, high = spec.min, spec.max
    if low is None or high is None:
        inside = [edge for edge in _AROUND_ZERO if (low is None or edge > low) and (high is None or edge < high)]
        return tuple(sorted({*inside, *(end for end in (low, high) if end is not None)}))
    if spec.type == "int" and high - low < _FEW_NUMBERS:
        return tuple(float(number) for number in range(int(np.ceil(low)), int(np.floor(high)) + 1))
    shares = (*_NEAR, *(step / 10 for step in range(1, 10)))
    rounded = (float(f"{low * (1 - share) + high * share:.6g}") for share in shares)
    return tuple(sorted({low, high, *(edge for edge in rounded if low < edge < high)}))


@dataclass(slots=True)
class FeatureCounts:
    """By feature: rows by bucket (shape (number of edges + 1,), not added up) and the sum of a number, rows by category
    (true and false of a bool), rows without a value."""

    buckets: dict[str, list[int]] = field(default_factory=dict)
    sums: dict[str, float] = field(default_factory=dict)
    categories: dict[str, dict[str, int]] = field(default_factory=dict)
    nulls: dict[str, int] = field(default_factory=dict)

    def add(self, other: "FeatureCounts") -> None:
        """Count what ``other`` counted, too. Raises ValueError for other buckets."""
        for name, counts in other.buckets.items():
            mine = self.buckets.get(name, [0] * len(counts))
            self.buckets[name] = [one + two for one, two in zip(mine, counts, strict=True)]
            self.sums[name] = self.sums.get(name, 0.0) + other.sums[name]
        for name, found in other.categories.items():
            self.categories[name] = dict(Counter(self.categories.get(name, {})) + Counter(found))
        for name, n_rows in other.nulls.items():
            self.nulls[name] = self.nulls.get(name, 0) + n_rows


@dataclass(frozen=True, slots=True)
class FeatureGrid:
    """What is counted of each feature, in their order: the edges of a number, the known names of a category."""

    edges: dict[str, tuple[float, ...]]
    names: dict[str, frozenset[str]]
    features: tuple[str, ...]

    @classmethod
    def of(cls, features: Mapping[str, Feature]) -> "FeatureGrid":
        """That of a model's features. A category knows the first 200 that ``model.yaml`` declares."""
        edges = {name: edges_of(spec) for name, spec in features.items() if isinstance(spec, NumberFeature)}
        names = {
            name: frozenset(spec.categories[:_MOST_CATEGORIES] if spec.type == "category" else ("true", "false"))
            for name, spec in features.items()
            if not isinstance(spec, NumberFeature)
        }
        return cls(edges, names, tuple(features))

    def counts(self, columns: Sequence[Sequence[Any]]) -> FeatureCounts:
        """What the values of some rows are, one sequence a feature, in their order. Pure.

        >>> grid = FeatureGrid.of({name: flights.features[name] for name in ("precip_in", "origin")})
        >>> found = grid.counts([(0.0, 0.05, None), ("JFK", "JFK", "LGA")])
        >>> found.buckets["precip_in"][:4], found.sums["precip_in"], found.categories["origin"], found.nulls
        ([1, 0, 1, 0], 0.05, {'JFK': 2, 'LGA': 1}, {'precip_in': 1})
        """
        found = FeatureCounts()
        for name, values in zip(self.features, columns, strict=True):
            if name in self.edges:
                numbers = np.array(values, dtype=np.float64)  # None is NaN
                numbers = numbers[~np.isnan(numbers)]
                places = np.searchsorted(self.edges[name], numbers, side="left")
                found.buckets[name] = np.bincount(places, minlength=len(self.edges[name]) + 1).tolist()
                found.sums[name] = float(numbers.sum())
                n_nulls = len(values) - len(numbers)
            else:
                by_value = Counter(values)
                n_nulls = by_value.pop(None, 0)
                found.categories[name] = self._named(name, by_value)
            if n_nulls:
                found.nulls[name] = n_nulls
        return found

    def _named(self, name: str, by_value: Mapping[Any, int]) -> dict[str, int]:
        named: Counter[str] = Counter()
        for value, n_rows in by_value.items():
            word = value if isinstance(value, str) else str(value).lower()
            named[word if word in self.names[name] else OTHER] += n_rows
        return dict(named)


class Features(Collector):
    """Those of one process that answers; with a ``folder``, of all that share it. All of it is the event loop's: a
    thread that counts beside it holds requests up for longer, while both wait for one interpreter."""

    def __init__(self, features: Mapping[str, Feature], folder: Path | None = None) -> None:
        self._grid, self._mine, self._folder = FeatureGrid.of(features), FeatureCounts(), folder
        self._file = f"features_{os.getpid()}_{os.urandom(3).hex()}.json"
        self._nullable = tuple(name for name, spec in features.items() if spec.nullable)
        self._width, self._waiting = len(features), list[Any]()

    def add(self, rows: Rows) -> None:
        """Have the rows of a request counted later, their values in the order of the features."""
        for row in rows:
            self._waiting.extend(row)

    def count(self) -> None:
        """Count what waits, and leave it where other processes find it."""
        if not self._waiting:
            return
        values, self._waiting = self._waiting, []
        self._mine.add(self._grid.counts([values[place :: self._width] for place in range(self._width)]))
        if self._folder is not None:
            whole = self._folder / self._file
            with contextlib.suppress(OSError):  # a full disk: after the next rows it is tried again
                whole.with_suffix(".part").write_bytes(_ENCODER.encode(self._mine))
                whole.with_suffix(".part").rename(whole)

    def collect(self) -> Iterator[CounterMetricFamily | HistogramMetricFamily]:
        """What Prometheus reads, of all processes."""
        self.count()
        found = self._all()
        values = HistogramMetricFamily("perennial_feature_value", "Answered values of numbers", labels=["feature"])
        for name, edges in self._grid.edges.items():
            totals = np.cumsum(found.buckets.get(name, [0] * (len(edges) + 1))).tolist()
            buckets = list(zip([*map(floatToGoString, edges), "+Inf"], totals, strict=True))
            values.add_metric([name], buckets, found.sums.get(name, 0.0))
        yield values
        categories = CounterMetricFamily(
            "perennial_feature_category_rows", "Answered rows, by category", labels=["feature", "category"]
        )
        for name, counts in found.categories.items():
            for category, n_rows in counts.items():
                categories.add_metric([name, category], n_rows)
        yield categories
        nulls = CounterMetricFamily("perennial_feature_null_rows", "Answered rows without a value", labels=["feature"])
        for name in self._nullable:
            nulls.add_metric([name], found.nulls.get(name, 0))
        yield nulls

    def _all(self) -> FeatureCounts:
        found = FeatureCounts()
        found.add(self._mine)
        for path in sorted(self._folder.glob("features_*.json")) if self._folder is not None else ():
            if path.name != self._file:
                with contextlib.suppress(OSError, msgspec.DecodeError):
                    found.add(msgspec.json.decode(path.read_bytes(), type=FeatureCounts))
        return found
