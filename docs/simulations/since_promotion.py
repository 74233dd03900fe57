"""How often labels are said to follow the scores no more where they do: the table of docs/signals.md, `concept`.

``python docs/simulations/since_promotion.py --repetitions 600`` draws champions of which nothing changes: the mean
excess loss of 14 blocks of a holdout, and of 182 blocks after it, which are looked at after every window. Printed is
the share of the half-years in which ``concept/excess`` ever lay above zero, at the level asked for.

``--flights FOLDER`` adds half-years of the flights of 2013 whose days are shuffled: the recipe of ``flight_delay``
fitted on 42 of them, its holdout of 14, then 13 windows of 14 days, measured as the product measures them with every
fourth flight; the share of those in which ``concept/residuals`` or ``concept/excess`` was ever breached, with a bound
of zero in the place of its own, so that chance alone decides.
"""

import argparse
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from demo.flights import load_flights
from perennial.config import ModelConfig, load_model
from perennial.contracts import Signal, Subject, Window
from perennial.monitoring.estimates.expectation import Expectation, learn
from perennial.monitoring.estimates.lasting import lasting_signals
from perennial.registry import features_frame, score
from perennial.statistics.sequential import NOTHING, seen_of, shift_since
from perennial.training.fitting.recipe import build_estimator

MODEL = Path(__file__).parents[2] / "include" / "models" / "flight_delay"
N_HOLDOUT, N_AFTER = 14, 182
Draw = Callable[[np.random.Generator, int], np.ndarray]


def carried_over(rng: np.random.Generator, n: int) -> np.ndarray:
    """Blocks that keep three tenths of what the one before had, which no test of independent blocks may meet."""
    drawn = rng.normal(size=n)
    for place in range(1, n):
        drawn[place] += 0.3 * drawn[place - 1]
    return drawn


BLOCKS: dict[str, Draw] = {
    "normal": lambda rng, n: rng.normal(size=n),
    "skewed (exponential)": lambda rng, n: rng.exponential(size=n),
    "very skewed (lognormal, sigma 1)": lambda rng, n: np.exp(rng.normal(size=n)),
    "long tails (t, 3 degrees of freedom)": lambda rng, n: rng.standard_t(3, size=n),
    "each keeps 0.3 of the one before": carried_over,
}


def ever(draw: Draw, every: int, *, alpha: float, effect: float, rng: np.random.Generator) -> bool:
    """Whether one half-year is said to have changed, looked at after ``every`` so many blocks."""
    drawn = draw(rng, N_HOLDOUT + N_AFTER)
    before, now = seen_of(drawn[:N_HOLDOUT]), NOTHING
    for start in range(N_HOLDOUT, len(drawn), every):
        now = now.plus(seen_of(drawn[start : start + every]))
        found = shift_since(before, now, alpha=alpha, effect=effect, n_rows=1)
        if found.interval is not None and found.interval.low > 0:
            return True
    return False


def synthetic(repetitions: int, seed: int) -> None:
    """The table of drawn blocks, line by line."""
    columns = [(alpha, every) for alpha in (0.05, 0.01) for every in (1, 14)]
    headings = [f"stated {alpha:.0%}, looked at every {every} d" for alpha, every in columns]
    sys.stdout.write(f"| blocks | {' | '.join(headings)} |\n|{'---|' * (len(columns) + 1)}\n")
    for name, draw in BLOCKS.items():
        rng = np.random.default_rng(seed)
        shares = [
            np.mean([ever(draw, every, alpha=alpha, effect=1.0, rng=rng) for _ in range(repetitions)])
            for alpha, every in columns
        ]
        sys.stdout.write(f"| {name} | {' | '.join(f'{share:.1%}' for share in shares)} |\n")
        sys.stdout.flush()


def by_day(config: ModelConfig, folder: Path) -> list[pa.Table]:
    """The labelled flights of each day, every fourth of them, as the store holds them; times from midnight."""
    frame = load_flights(folder)
    frame = frame[frame["late"].notna()].iloc[::4].sort_values("event_time", kind="stable")
    columns = {
        name: pa.array(
            frame[name].astype(object).where(frame[name].notna(), None),
            pa.float64() if name in config.numbers else pa.string(),
        )
        for name in config.features
    }
    day = frame["event_time"].dt.floor("D")
    seconds = (frame["event_time"] - day).dt.total_seconds()
    table = pa.table({**columns, "of_day": pa.array(seconds), "label": pa.array(frame["late"], pa.float64())})
    starts = np.flatnonzero(np.diff(day.astype("int64").to_numpy(), prepend=-1))
    ends = [*starts[1:], table.num_rows]
    return [table.slice(start, end - start) for start, end in zip(starts, ends, strict=True)]


def placed(days: list[pa.Table], first: pd.Timestamp) -> pa.Table:
    """Days one after the other from ``first`` on."""
    found = []
    for place, day in enumerate(days):
        times = first + pd.Timedelta(days=place) + pd.to_timedelta(day["of_day"].to_numpy(), unit="s")
        moments = pa.array(times.as_unit("us"), pa.timestamp("us", "UTC"))
        found.append(day.append_column("event_time", moments))
    return pa.concat_tables(found)


def scored(config: ModelConfig, days: list[pa.Table], trained_on: np.ndarray) -> list[pa.Table]:
    """All other days with the scores of the recipe fitted on some."""
    train = pa.concat_tables([days[place] for place in trained_on])
    model = build_estimator(MODEL / "recipe.py", seed=0, params=config.training.params)
    model.fit(features_frame(config, train), train["label"].to_numpy().astype(int))
    others = [day for place, day in enumerate(days) if place not in set(trained_on.tolist())]
    scores, _ = score(config, model, pa.concat_tables(others))
    ends = np.cumsum([day.num_rows for day in others])
    return [
        day.append_column("score", pa.array(own)).append_column("predicted", pa.nulls(day.num_rows, pa.string()))
        for day, own in zip(others, np.split(scores, ends[:-1]), strict=True)
    ]


def half_year(config: ModelConfig, days: list[pa.Table]) -> list[Signal]:
    """What the product says of the 13 windows after a holdout of 14 days."""
    first = pd.Timestamp("2013-01-01", tz="UTC")
    holdout = placed(days[:N_HOLDOUT], first)
    known: Expectation | str = learn(config, holdout.append_column("part", pa.array(["holdout"] * holdout.num_rows)))
    found: list[Signal] = []
    for start in range(N_HOLDOUT, N_HOLDOUT + N_AFTER, 14):
        begin = first + pd.Timedelta(days=start)
        window = Window(start=begin.to_pydatetime(), end=begin.to_pydatetime() + timedelta(days=14))
        rows = placed(days[start : start + 14], begin)
        subject = Subject.of_run(config.model, window, "1")
        earlier = [signal for signal in found if signal.name == "concept/excess_in_window"]
        found += lasting_signals(config, subject, rows, known=known, earlier=earlier)
    return found


def flights(folder: Path, repetitions: int, seed: int) -> None:
    """The table of shuffled half-years."""
    plain = load_model(MODEL)
    concept = plain.signals.concept.model_copy(update={"max_residual_error": 0.0, "max_excess": 0.0})
    config = plain.model_copy(update={"signals": plain.signals.model_copy(update={"concept": concept})})
    days, rng = by_day(config, folder), np.random.default_rng(seed)
    breached: dict[str, int] = {"concept/residuals": 0, "concept/excess": 0, "either": 0}
    others: list[pa.Table] = []
    for number in range(repetitions):
        if number % 10 == 0:
            told = ["of_day", "label", "score", "predicted"]  # and no features, which nothing here asks for
            others = [day.select(told) for day in scored(config, days, rng.choice(len(days), size=42, replace=False))]
        found = half_year(config, [others[place] for place in rng.permutation(len(others))[: N_HOLDOUT + N_AFTER]])
        names = {signal.name for signal in found if signal.status == "breached"}
        breached["either"] += bool(names)
        for name in names:
            breached[name] += 1
    sys.stdout.write("\n| shuffled flights | stated | breached in | error |\n|---|---|---|---|\n")
    half = config.signals.false_alarms.share / 2
    stated = {"concept/residuals": half, "concept/excess": config.alarm_level_of_champion, "either": 2 * half}
    for name, n in breached.items():
        share = n / repetitions
        error = (share * (1 - share) / repetitions) ** 0.5
        sys.stdout.write(f"| {name}, {repetitions} half-years | {stated[name]:.1%} | {share:.1%} | {error:.1%} |\n")


def main() -> None:
    """Print the tables as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=600)
    parser.add_argument("--seed", type=int, default=20130101)
    parser.add_argument("--flights", type=Path, help="where the flights are kept once they are prepared")
    parser.add_argument("--half-years", type=int, default=150)
    asked = parser.parse_args()
    synthetic(asked.repetitions, asked.seed)
    if asked.flights:
        flights(asked.flights, asked.half_years, asked.seed)


if __name__ == "__main__":
    main()
