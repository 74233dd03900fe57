"""Every value that would have to be guessed, from the history itself, each with its reason."""

import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from perennial.errors import ConfigError
from perennial.onboarding.history import PastRows
from perennial.onboarding.roles import Roles
from perennial.statistics.drift.distances import Method, distance

LENGTHS = tuple(timedelta(hours=hours) for hours in (1, 6, 24, 7 * 24, 14 * 24, 28 * 24))
BLOCKS = tuple(timedelta(minutes=minutes) for minutes in (24 * 60, 6 * 60, 60, 10))
MIN_WINDOWS, WANTED_ROWS, WANTED_BLOCKS, MIN_BLOCKS = 8, 1000, 60, 10
CUT_BLOCKS = 2
"""A stretch cuts through the blocks at its ends, which may then have no row of both classes."""
DRIFT_FLOOR, DRIFT_WINDOWS, MIN_DRIFT_ROWS = 0.1, 13, 30
METRIC = {"binary": "roc_auc", "multiclass": "accuracy", "regression": "rmse"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """How long windows, blocks and stretches are. Windows lie so that one ends at ``end``, just after the last row and
    label; the first row lies in the first one, which begins at ``start``."""

    start: datetime
    end: datetime
    every: timedelta
    block: timedelta
    train: timedelta
    holdout: timedelta
    delay: timedelta
    n_windows: int
    labelled_a_window: float

    def labelled(self, stretch: timedelta) -> int:
        """About how many labelled rows a stretch holds."""
        return int(self.labelled_a_window * (stretch / self.every))

    @property
    def first_training(self) -> datetime:
        """The end of the first window by which a first training has all that it needs."""
        return self.start + self.every * math.ceil((self.train + self.holdout + self.delay) / self.every)


def times_of(history: PastRows) -> Times:
    """Windows, blocks and stretches for this history. Raises ConfigError where it is too short for any."""
    span = history.last - history.first
    lateness = _lateness(history)
    fitting = [length for length in LENGTHS if span >= MIN_WINDOWS * length]
    if not fitting:
        raise ConfigError(
            f"the history spans {span}, from {history.first.isoformat()}: {MIN_WINDOWS} windows of an hour are "
            "the least"
        )
    if not history.n_labelled:
        raise ConfigError("no row has a label: nothing can be learnt, nor judged")
    per_s = history.n_labelled / span.total_seconds()
    every = next((one for one in fitting if per_s * one.total_seconds() >= WANTED_ROWS), fitting[-1])
    block = next((one for one in BLOCKS if one <= every and span >= WANTED_BLOCKS * one), BLOCKS[-1])
    holdout = every * max(1, math.ceil((MIN_BLOCKS + CUT_BLOCKS) * block / every))
    rest = span - lateness - holdout
    train = max(every, every * min(math.ceil(3 * holdout / every), int(0.5 * (rest / every))))
    if rest < train:
        raise ConfigError(
            f"the history spans {span}: too little for a training of {train} beside a holdout of {holdout}"
        )
    end = _ceiled(max(history.last, pc.max(history.labels[history.names["labelled_at"]]).as_py()), block)
    return Times(
        start=end - every * math.ceil((end - history.first) / every),
        end=end,
        every=every,
        block=block,
        train=train,
        holdout=holdout,
        delay=lateness,
        n_windows=int(span / every),
        labelled_a_window=per_s * every.total_seconds(),
    )


def drift_of(history: PastRows, roles: Roles, times: Times) -> dict[str, float]:
    """How far neighbouring windows of the history lie apart where nothing is known to have changed.

    For numbers (``wasserstein``, in standard deviations) and for categories (``jensen_shannon``): the 95 % quantile of
    each column's distances, and of those the lower quartile: one threshold holds for all columns, and chance is kept
    out by the permutation of blocks. 0 without such columns, and where fewer than two windows have ``MIN_DRIFT_ROWS``.
    """
    since = _numpy(history.predictions[history.names["time"]]) - np.datetime64(times.start.replace(tzinfo=None), "us")
    window = (since // np.timedelta64(times.every)).astype(int)
    numbers, sizes = np.unique(window, return_counts=True)
    newest = numbers[sizes >= max(MIN_DRIFT_ROWS, np.median(sizes) / 2)][-DRIFT_WINDOWS:]  # the last may be half full
    found: dict[str, list[float]] = {"wasserstein": [], "jensen_shannon": []}
    features = roles.features if len(newest) > 1 else ()
    timed = roles.time.clean.is_valid()
    for feature in features:
        is_number = feature.kind in ("int", "float")
        values = feature.clean.filter(timed).to_pandas()
        codes, at = _binned(values, is_number=is_number)
        counts = np.stack([np.bincount(codes[(window == one) & (codes >= 0)], minlength=at.size) for one in newest])
        method: Method = "wasserstein" if is_number else "jensen_shannon"
        apart = distance(method, counts[1:], counts[:-1], at)
        if np.isfinite(apart).any():
            found[method].append(float(np.nanquantile(apart, 0.95)))
    return {method: float(np.quantile(columns, 0.25)) if columns else 0.0 for method, columns in found.items()}


def rounded_up(value: float, digits: int = 2) -> float:
    """The next number above with so many significant digits.

    >>> rounded_up(0.01234), rounded_up(1234.0), rounded_up(0.0)
    (0.013, 1300.0, 0.0)
    """
    if value <= 0:
        return 0.0
    unit = 10.0 ** (math.floor(math.log10(value)) - digits + 1)
    return float(f"{math.ceil(round(value / unit, 9)) * unit:.{digits}g}")


def _ceiled(moment: datetime, unit: timedelta) -> datetime:
    """The first multiple of ``unit`` since 1970 after a moment.

    >>> _ceiled(datetime(2024, 1, 31, 6, tzinfo=UTC), timedelta(days=1)).isoformat()
    '2024-02-01T00:00:00+00:00'
    """
    origin = datetime(1970, 1, 1, tzinfo=UTC)
    return origin + ((moment - origin) // unit + 1) * unit


def _binned(values: "pd.Series[Any]", *, is_number: bool) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """The bin of each value (-1 for none), and what stands for each bin."""
    if not is_number:
        codes, known = pd.factorize(values)
        return codes, np.zeros(max(1, len(known)))
    numbers = values.to_numpy(dtype=float, na_value=np.nan)
    low, high = np.nanquantile(numbers, [0.001, 0.999])
    edges = np.linspace(low, high if high > low else low + 1, 201)
    codes = np.clip(np.searchsorted(edges, numbers, side="right") - 1, 0, 199)
    codes[~np.isfinite(numbers)] = -1
    return codes, (edges[1:] + edges[:-1]) / 2


def _lateness(history: PastRows) -> timedelta:
    """How late nine of ten labels are at most, in whole hours, one at least."""
    names = history.names
    events = history.predictions.select([names["id"], names["time"]])
    both = history.labels.join(events, keys=names["id"], join_type="inner")
    if not both.num_rows:
        raise ConfigError("no row with a time has a label: nothing can be learnt, nor judged")
    late = (_numpy(both[names["labelled_at"]]) - _numpy(both[names["time"]])) / np.timedelta64(1, "h")
    return timedelta(hours=max(1, math.ceil(float(np.quantile(late, 0.9)))))


def _numpy(moments: pa.ChunkedArray) -> NDArray[np.datetime64]:
    values: NDArray[np.datetime64] = moments.cast(pa.timestamp("us")).to_numpy().astype("datetime64[us]")
    return values
