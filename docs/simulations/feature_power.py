"""How often nulls and swapped columns are seen, and by which signal: the second table of docs/signals.md on changes.

``OPENBLAS_NUM_THREADS=1 python docs/simulations/feature_power.py FOLDER``: as the power of ``flights_drift.py``, the
days of the flights of 2013 in another order, 56 of them the reference, the next 14, or the next one alone, a window in
all of whose rows something changed. Beside drift stand the signals of a row alone: ``quality/null_rate``,
``flag/null_rate`` and ``flag/unit``, of the columns that changed. A window of one day is not asked for its drift: that
is judged with the days before it.
"""

import argparse
import sys
import time
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from flights_drift import MODEL, N_REFERENCE, START, Change, judged, nulls, profile_of, swap, taken
from half_years import of_features

from demo.flights import FEATURES, load_flights
from perennial.config import ModelConfig, load_model
from perennial.contracts import Subject, Window
from perennial.profiles.counting import grid_of

LENGTHS = (14, 1)
KINDS = ("drift", "quality/null_rate", "flag/null_rate", "flag/unit")
LOST = ("plane_seats", "temp_f", "pressure_hpa")
SWAPPED = (
    ("scheduled_hour", "scheduled_minute"),
    ("plane_age_y", "wind_speed_mph"),
    ("temp_f", "dewp_f"),
    ("distance_mi", "scheduled_duration_min"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A change, and the columns in which it has to be seen."""

    name: str
    columns: tuple[str, ...]
    change: Change


CHANGES = (
    *(Asked(name=f"nothing ({name})", columns=(name,), change=lambda rows: rows) for name in LOST),
    *(
        Asked(name=f"nulls +{points} points ({name})", columns=(name,), change=nulls(name, points / 100))
        for points in (5, 10, 20, 30)
        for name in LOST
    ),
    *(
        Asked(name=f"{one} and {other} swapped", columns=(one, other), change=swap(one, other))
        for one, other in SWAPPED
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Days:
    """The flights day by day, as they were: their frame, the number of each row's day, and where each day begins."""

    frame: pd.DataFrame
    starts: np.ndarray

    def rows(self, frame: pd.DataFrame, days: np.ndarray, columns: tuple[str, ...]) -> pa.Table:
        """The rows of some days, in this order, at times of days from the start of the year on."""
        places = np.concatenate([np.arange(self.starts[day], self.starts[day + 1]) for day in days])
        n_rows = [self.starts[day + 1] - self.starts[day] for day in days]
        rows = frame.iloc[places]
        of_day = rows["event_time"] - rows["event_time"].dt.floor("D")
        moved = pd.Timestamp(START) + of_day + pd.to_timedelta(np.repeat(np.arange(len(days)), n_rows), unit="D")
        values = {name: pa.array(rows[name].to_numpy(), pa.float64(), from_pandas=True) for name in columns}
        return pa.table({**values, "event_time": pa.Array.from_pandas(moved, type=pa.timestamp("us", "UTC"))})


def days_of(frame: pd.DataFrame) -> Days:
    """The days of a year, in its order."""
    day = frame["event_time"].dt.floor("D").astype("int64").to_numpy()
    return Days(frame=frame, starts=np.append(np.flatnonzero(np.diff(day, prepend=-1)), len(day)))


def seen_by_rows(config: ModelConfig, rows: pa.Table, reference: pa.Table, length: int) -> set[str]:
    """Which kinds of signals of a row alone are breached in a window."""
    window = Window(start=START, end=START + timedelta(days=length))
    found = of_features(config, Subject.of_run(config.model, window, "1"), rows, reference)
    return {f"{signal.family}/{signal.name.split('/')[1]}" for signal in found if signal.status == "breached"}


def shares_of(config: ModelConfig, days: Days, asked: Asked, profiles: tuple, draws: int) -> dict[int, list[float]]:
    """For each length of a window: how often each kind saw the change, and how often any did."""
    plain, grid = profiles
    changed = asked.change(days.frame)
    profile = profile_of(config, changed, grid)
    alpha = config.alarm_level(Window(start=START, end=START + config.schedule.length(START)))
    own = config.model_copy(update={"features": {name: config.features[name] for name in asked.columns}})
    rng, found = np.random.default_rng(7), {length: [] for length in LENGTHS}
    for _ in range(draws):
        order = rng.permutation(len(days.starts) - 1)
        reference = days.rows(days.frame, order[:N_REFERENCE], asked.columns)
        for length in LENGTHS:
            now = order[N_REFERENCE : N_REFERENCE + length]
            seen = seen_by_rows(own, days.rows(changed, now, asked.columns), reference, length)
            if length == LENGTHS[0]:
                told = judged(config, taken(plain, order[:N_REFERENCE]), taken(profile, now), alpha)
                seen |= {"drift" for one in told if one.status == "breached" and one.asked.name in asked.columns}
            found[length].append([kind in seen for kind in KINDS] + [bool(seen)])
    return {length: np.mean(each, axis=0).tolist() for length, each in found.items()}


def main() -> None:
    """Print the table as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--draws", type=int, default=40)
    asked = parser.parse_args()
    config, frame, began = load_model(MODEL), load_flights(asked.folder), time.process_time()
    grid = grid_of(pa.Table.from_pandas(frame[["event_time", *FEATURES]], preserve_index=False), config.numbers)
    days, plain = days_of(frame), profile_of(config, frame, grid)
    headings = [
        *(f"14 d: `{kind}`" for kind in KINDS),
        "14 d: any",
        *(f"1 d: `{kind}`" for kind in KINDS[1:]),
        "1 d: any",
    ]
    sys.stdout.write(f"| change | {' | '.join(headings)} |\n|{'---|' * (len(headings) + 1)}\n")
    for one in CHANGES:
        found = shares_of(config, days, one, (plain, grid), asked.draws)
        cells = [*found[14], *found[1][1:]]
        sys.stdout.write(f"| {one.name} | {' | '.join(f'{share:.2f}' for share in cells)} |\n")
        sys.stdout.flush()
    sys.stdout.write(f"\n{time.process_time() - began:.0f} CPU seconds.\n")


if __name__ == "__main__":
    main()
