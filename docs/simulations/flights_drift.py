"""Drift on the flights of 2013: false alarms where nothing changes, and which changes are seen; docs/statistics.md.

``OPENBLAS_NUM_THREADS=1 python docs/simulations/flights_drift.py FOLDER [--only alarms|previous|power|columns]``. The
days of the year are put in another order, each whole: the first 56 are the reference of a champion, of the others 13
windows of 14 days make half a year, each judged as the product judges it. The score is not among the columns: no model
is fitted.

Power: the same with one window, in whose rows something changes; ``columns`` is the power at 14 days over every feature
and every pair of numbers in turn, as columns differ more than changes do.
"""

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from demo.flights import FEATURES, load_flights
from perennial.config import ModelConfig, load_model
from perennial.contracts import Window
from perennial.evidence.profiles.keeping import layout_of
from perennial.monitoring.drift.judging import Judgement, judge
from perennial.monitoring.drift.signals import asked_of, nullable
from perennial.profiles.counting import count_rows, grid_of
from perennial.profiles.profile import Profile

MODEL = Path(__file__).parents[2] / "include" / "models" / "flight_delay"
N_REFERENCE, N_WINDOWS = 56, 13
START = datetime(2013, 1, 1, tzinfo=UTC)
Change = Callable[[pd.DataFrame], pd.DataFrame]


def shift(column: str, by: float) -> Change:
    """A column moved by so many of its standard deviations."""
    return lambda rows: rows.assign(**{column: rows[column] + by * SPREADS[column]})


def scale(column: str, by: float) -> Change:
    """A column in another unit, say."""
    return lambda rows: rows.assign(**{column: rows[column] * by})


def nulls(column: str, share: float) -> Change:
    """Values that went missing at random."""

    def lose(rows: pd.DataFrame) -> pd.DataFrame:
        lost = np.random.default_rng(len(rows)).random(len(rows)) < share
        return rows.assign(**{column: rows[column].mask(lost)})

    return lose


def swap(one: str, other: str) -> Change:
    """Two columns that changed places."""
    return lambda rows: rows.assign(**{one: rows[other], other: rows[one]})


def rename(column: str, before: str, after: str) -> Change:
    """A category that is called otherwise."""
    return lambda rows: rows.assign(**{column: rows[column].replace(before, after)})


SPREADS: dict[str, float] = {}
CHANGES: dict[str, list[tuple[str, Change]]] = {
    "miles to kilometres": [("distance_mi", scale("distance_mi", 1.609344))],
    "carrier renamed": [("carrier", rename("carrier", name, f"{name}2")) for name in ("UA", "US", "AA")],
    "nulls +5 points": [(name, nulls(name, 0.05)) for name in ("temp_f", "pressure_hpa", "plane_seats")],
    "columns swapped": [
        ("temp_f", swap("temp_f", "dewp_f")),
        ("scheduled_hour", swap("scheduled_hour", "scheduled_minute")),
        ("plane_age_y", swap("plane_age_y", "wind_speed_mph")),
    ],
    "scale 1.3": [
        (name, scale(name, 1.3)) for name in ("distance_mi", "scheduled_duration_min", "wind_speed_mph", "temp_f")
    ],
    "shift 0.3 sd, schedule": [
        (name, shift(name, 0.3)) for name in ("distance_mi", "scheduled_duration_min", "scheduled_hour", "plane_seats")
    ],
    "shift 0.3 sd, weather": [(name, shift(name, 0.3)) for name in ("temp_f", "dewp_f", "wind_speed_mph", "humid_pct")],
}


def profile_of(config: ModelConfig, rows: pd.DataFrame, grid: dict[str, np.ndarray]) -> Profile:
    """The profile of whole days, as publishing makes it."""
    columns = ["event_time", *FEATURES]
    return count_rows([pa.Table.from_pandas(rows[columns], preserve_index=False)], layout_of(config, grid))


def judged(config: ModelConfig, reference: Profile, window: Profile, alpha: float) -> list[Judgement]:
    """As the product judges the features of a window."""
    asked = asked_of(config, list(config.features))
    return list(judge(reference, window, asked, alpha=alpha, seed=config.signals.seed).values())


def taken(days: Profile, order: np.ndarray) -> Profile:
    """Days in another order: as blocks one after another."""
    return replace(days.among(order), blocks=np.arange(len(order)))


def false_alarms(
    config: ModelConfig, days: Profile, alpha: float, asked: argparse.Namespace, *, previous: bool
) -> None:
    """Half-years of shuffled days, and how many raise any alarm; beside it the fixed thresholds, and p, alone.

    Each window is compared with the reference, or with the window before it.
    """
    length = config.schedule.length(START).days
    rng, found, n_undecided = np.random.default_rng(2013), [], 0
    for _ in range(asked.repetitions):
        order = rng.permutation(len(days.blocks))
        year = np.zeros(3, bool)
        for number in range(N_WINDOWS):
            first = N_REFERENCE + number * length
            before = order[first - length : first] if previous else order[:N_REFERENCE]
            told = judged(config, taken(days, before), taken(days, order[first : first + length]), alpha)
            year |= (
                any(one.status == "breached" for one in told),
                any(one.value >= one.asked.threshold for one in told),
                any(one.chance.p <= alpha for one in told),
            )
            n_undecided += sum(one.status == "undecided" for one in told)
        found.append(year)
    what = "the window before" if previous else "the reference"
    sys.stdout.write(
        f"\n| drift against {what} | of {asked.repetitions} half-years raise any alarm | standard error |\n"
    )
    sys.stdout.write("|---|---|---|\n")
    for name, share in zip(("as it is judged", "distance alone", "p alone"), np.mean(found, axis=0), strict=True):
        error = (share * (1 - share) / asked.repetitions) ** 0.5
        sys.stdout.write(f"| {name} | {100 * share:.1f} % | {100 * error:.1f} |\n")
    each = n_undecided / asked.repetitions / N_WINDOWS
    sys.stdout.write(f"\n{each:.2f} of {len(told)} distances are undecided in a window.\n")
    sys.stdout.flush()


def power(
    config: ModelConfig, frame: pd.DataFrame, grid: dict[str, np.ndarray], alpha: float, asked: argparse.Namespace
) -> None:
    """How often each change is seen in the column that changed: in windows of 14 days, and in daily ones.

    Those are judged with the nine days before, of which the last 0, 4 or 9 changed too.
    """
    days, daily = profile_of(config, frame, grid), config.signals.false_alarms.share / 182 / config.n_alarm_tests
    sys.stdout.write(
        "\n| change | 14 d | and undecided | daily: first day | fifth day | tenth day |\n|---|---|---|---|---|---|\n"
    )
    for name, variants in CHANGES.items():
        changed = [(column, profile_of(config, change(frame), grid)) for column, change in variants]
        cells = []
        for length, n_changed, level, n_draws in (
            (14, 14, alpha, asked.draws), *((10, n, daily, asked.daily_draws) for n in (1, 5, 10))
        ):  # fmt: skip
            rng, seen = np.random.default_rng(7), []
            for number in range(n_draws):
                column, other = changed[number % len(changed)]
                order = rng.permutation(len(days.blocks))
                window = order[N_REFERENCE : N_REFERENCE + length]
                now = taken(other, window[-n_changed:])
                if n_changed < length:
                    now = joined(taken(days, window[:-n_changed]), now)
                told = judged(config, taken(days, order[:N_REFERENCE]), now, level)
                own = {one.status for one in told if one.asked.name == column}
                seen.append(("breached" in own, "breached" not in own and "undecided" in own))
            breached, undecided = np.mean(seen, axis=0)
            cells += [f"{breached:.2f}", f"{undecided:.2f}"] if level == alpha else [f"{breached:.2f}"]
        sys.stdout.write(f"| {name} | {' | '.join(cells)} |\n")
        sys.stdout.flush()


def everywhere(config: ModelConfig) -> dict[str, list[tuple[str, Change]]]:
    """Each change in every column that it can befall."""
    numbers = sorted(config.numbers)
    return {
        "nulls +5 points": [(name, nulls(name, 0.05)) for name in sorted(nullable(config))],
        "columns swapped": [(one, swap(one, other)) for one, other in combinations(numbers, 2)],
        "scale 1.3": [(name, scale(name, 1.3)) for name in numbers],
        "shift 0.3 sd": [(name, shift(name, 0.3)) for name in numbers],
    }


def power_everywhere(
    config: ModelConfig, frame: pd.DataFrame, grid: dict[str, np.ndarray], alpha: float, asked: argparse.Namespace
) -> None:
    """How often each change is seen in the column that changed, in windows of 14 days; the columns count alike."""
    days = profile_of(config, frame, grid)
    sys.stdout.write(
        "\n| change | columns or pairs | seen | always | never | never seen in |\n|---|---|---|---|---|---|\n"
    )
    for name, variants in everywhere(config).items():
        rng, found = np.random.default_rng(7), []
        for column, change in variants:
            other, seen = profile_of(config, change(frame), grid), []
            for _ in range(asked.column_draws):
                order = rng.permutation(len(days.blocks))
                now = taken(other, order[N_REFERENCE : N_REFERENCE + 14])
                told = judged(config, taken(days, order[:N_REFERENCE]), now, alpha)
                seen.append(any(one.status == "breached" and one.asked.name == column for one in told))
            found.append((float(np.mean(seen)), column))
        shares = np.array([share for share, _ in found])
        missed = ", ".join(dict.fromkeys(f"`{column}`" for share, column in found if share == 0))
        counts = f"{np.mean(shares == 1):.2f} | {np.mean(shares == 0):.2f}"
        sys.stdout.write(f"| {name} | {len(found)} | {shares.mean():.2f} | {counts} | {missed} |\n")
        sys.stdout.flush()


def joined(one: Profile, other: Profile) -> Profile:
    """The blocks of both."""
    from perennial.profiles.profile import merge

    grid = {name: column.edges for name, column in one.numbers.items()}
    return merge([one, replace(other, blocks=other.blocks + len(one.blocks))], grid)


def main() -> None:
    """Print the tables as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--repetitions", type=int, default=200)
    parser.add_argument("--draws", type=int, default=40)
    parser.add_argument("--daily-draws", type=int, default=12)
    parser.add_argument("--column-draws", type=int, default=5)
    parser.add_argument("--only", choices=["alarms", "previous", "power", "columns"])
    asked = parser.parse_args()
    config, frame = load_model(MODEL), load_flights(asked.folder)
    began = time.process_time()
    table = pa.Table.from_pandas(frame[["event_time", *FEATURES]], preserve_index=False)
    grid = grid_of(table, config.numbers)
    SPREADS.update({name: float(frame[name].std()) for name in config.numbers})
    alpha = config.alarm_level(Window(start=START, end=START + config.schedule.length(START)))
    days = profile_of(config, frame, grid)
    for only, previous in (("alarms", False), ("previous", True)):
        if asked.only in (None, only):
            false_alarms(config, days, alpha, asked, previous=previous)
    if asked.only in (None, "power"):
        power(config, frame, grid, alpha, asked)
    if asked.only in (None, "columns"):
        power_everywhere(config, frame, grid, alpha, asked)
    sys.stdout.write(f"\n{time.process_time() - began:.0f} CPU seconds.\n")


if __name__ == "__main__":
    main()
