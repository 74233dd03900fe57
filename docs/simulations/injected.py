"""Which signal sees which injected change first, and after how many windows: the table of docs/signals.md.

``python docs/simulations/injected.py FOLDER``: days of the flights of 2013 in another order, every fourth flight. The
recipe of ``flight_delay`` is fitted on 42 of them and judged on 14; two windows of 14 days follow as they were, then
six in which something changed, all labels in. A signal has seen a change in the first of those in which it is breached
and is not in the same window unchanged. The gain adds up from the change on. Drift is that of the features; skew and
attribution are left out.
"""

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from statistics import median

import numpy as np
import pandas as pd
import pyarrow as pa
from flights_drift import SPREADS, judged, nulls, profile_of, rename, scale, shift, swap
from flights_policies import flipped
from half_years import FIRST, of_window
from since_promotion import MODEL, N_HOLDOUT, by_day, placed

from perennial.config import ModelConfig, load_model
from perennial.contracts import ReleaseState, Signal, Subject, Window
from perennial.evidence.answers import answers_in
from perennial.profiles.counting import grid_of
from perennial.registry import features_frame, score
from perennial.training.fitting.process import as_probe
from perennial.training.fitting.recipe import build_estimator
from perennial.training.probe import gain_signal, summed

N_TRAIN, N_BEFORE, N_CHANGED, LENGTH = 42, 2, 6, 14
CHANGED_AT = FIRST + pd.Timedelta(days=N_HOLDOUT + N_BEFORE * LENGTH)
Change = Callable[[pd.DataFrame], pd.DataFrame]


def late_of(column: str, value: str) -> Change:
    """Late and on time swapped in a slice."""
    return lambda rows: flipped(rows, rows[column] == value)


def gradual(rows: pd.DataFrame) -> pd.DataFrame:
    """The flights from Newark, a twelfth more of their days every week."""
    since = (rows["event_time"] - CHANGED_AT).dt.days.to_numpy()
    chance = np.random.default_rng(7).random(since.max() + 1)[since]
    return flipped(rows, (rows["origin"] == "EWR") & (chance < (since // 7 + 1) / 12))


CHANGES: dict[str, Change] = {
    "flip of 5 % (carrier 9E)": late_of("carrier", "9E"),
    "flip of 16 % (carrier EV)": late_of("carrier", "EV"),
    "gradual flip (EWR)": gradual,
    "mean shift, 0.3 sd (distance_mi)": shift("distance_mi", 0.3),
    "scale 1.3 (temp_f)": scale("temp_f", 1.3),
    "category renamed (carrier UA)": rename("carrier", "UA", "UA2"),
    "nulls +5 points (plane_seats)": nulls("plane_seats", 0.05),
    "nulls +30 points (plane_seats)": nulls("plane_seats", 0.3),
    "unit, miles to kilometres (distance_mi)": scale("distance_mi", 1.609344),
    "columns swapped (hour and minute)": swap("scheduled_hour", "scheduled_minute"),
    "all labels upside down": lambda rows: flipped(rows, rows["late"] == rows["late"]),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A champion in office: what it is measured with, and what it serves."""

    config: ModelConfig
    champion: object
    reference: pa.Table
    known_days: pa.Table
    served: pa.Table


def answered(config: ModelConfig, model: object, rows: pa.Table) -> pa.Table:
    """Rows with what a model answers."""
    scores, _ = score(config, model, rows)
    answers = {"score": pa.array(scores), "predicted": pa.nulls(rows.num_rows, pa.string())}
    for name, values in answers.items():
        rows = rows.append_column(name, values)
    return rows


def fitted(config: ModelConfig, rows: pa.Table) -> object:
    """The recipe fitted on rows."""
    model = build_estimator(MODEL / "recipe.py", seed=0, params=config.training.params)
    return model.fit(features_frame(config, rows), rows["label"].to_numpy().astype(int))


def service(config: ModelConfig, days: list[pa.Table]) -> Service:
    """A champion fitted on the first days, and the others, as they were."""
    train = placed(days[:N_TRAIN], FIRST - pd.Timedelta(days=N_TRAIN))
    champion, rest = fitted(config, train), placed(days[N_TRAIN:], FIRST)
    judged_on = answered(config, champion, rest.slice(0, sum(day.num_rows for day in days[N_TRAIN:][:N_HOLDOUT])))
    unscored = train.append_column("score", pa.nulls(train.num_rows, pa.float64()))
    unscored = unscored.append_column("predicted", pa.nulls(train.num_rows, pa.string()))
    parts = pa.array(["train"] * train.num_rows + ["holdout"] * judged_on.num_rows)
    reference = pa.concat_tables([unscored, judged_on.select(unscored.column_names)]).append_column("part", parts)
    return Service(config=config, champion=champion, reference=reference, known_days=train, served=rest)


def changed(rows: pa.Table, change: Change) -> pa.Table:
    """Rows of which those from the change on are others, with the types that they had."""
    frame = rows.to_pandas().rename(columns={"label": "late"})
    after = frame["event_time"] >= CHANGED_AT
    both = pd.concat([frame[~after], change(frame[after])]).rename(columns={"late": "label"})
    return pa.Table.from_pandas(both, schema=rows.schema, preserve_index=False)


def inside(rows: pa.Table, start: pd.Timestamp, n_days: int) -> pa.Table:
    """The rows of so many days."""
    times = rows["event_time"].to_numpy()
    first, last = (pd.Timestamp(at).tz_localize(None).to_datetime64() for at in (start, start + timedelta(days=n_days)))
    return rows.filter(pa.array((times >= first) & (times < last)))


def seen_in(held: Service, served: pa.Table) -> Iterator[set[str]]:
    """What is breached, window by window, from the change on; drift and the gain are among it."""
    config, earlier, gains = held.config, [], []
    grid = grid_of(held.reference, config.numbers)
    before = profile_of(config, held.reference.to_pandas(), grid)
    state = ReleaseState(model=config.model)
    for number in range(N_BEFORE + N_CHANGED):
        begin = FIRST + pd.Timedelta(days=N_HOLDOUT + number * LENGTH)
        window = Window(start=begin.to_pydatetime(), end=(begin + timedelta(days=LENGTH)).to_pydatetime())
        rows = answered(config, held.champion, inside(served, begin, LENGTH))
        subject = Subject.of_run(config.model, window, "1")
        found: list[Signal] = list(of_window(config, subject, rows, held.reference, earlier))
        earlier += [signal for signal in found if signal.name == "concept/excess_in_window"]
        if number >= N_BEFORE:  # as after a retrain: what the champion lacked before the change is not counted
            gains.append(gain(held, subject, served, rows))
            found.append(summed(config, subject, gains, state=state))
        drifted = judged(config, before, profile_of(config, rows.to_pandas(), grid), config.alarm_level(window))
        names = {f"drift/{one.asked.name}{'/nulls' * one.asked.nulls}" for one in drifted if one.status == "breached"}
        if number >= N_BEFORE:
            yield names | {signal.name for signal in found if signal.status == "breached"}


def gain(held: Service, subject: Subject, served: pa.Table, rows: pa.Table) -> Signal:
    """What a model fitted on the days before a window would have gained in it."""
    config, start = held.config, pd.Timestamp(subject.window.start)
    known = pa.concat_tables([held.known_days, served])
    train = inside(known, start - config.training.train, config.training.train.days)
    drawn = np.sort(np.random.default_rng(0).permutation(train.num_rows)[: config.signals.gain.rows])
    probe = fitted(as_probe(config), train.take(pa.array(drawn)))
    again = answered(config, probe, rows.drop_columns(["score", "predicted"]))
    return gain_signal(config, subject, answers_in(config, rows), answers_in(config, again), n_train=len(drawn))


def say(delays: dict[str, dict[str, list[int]]], n_draws: int) -> None:
    """The table: signals that saw a change in more than half of the draws, the first ones, then the others."""
    sys.stdout.write("| change | seen first | after windows | seen later (windows) |\n|---|---|---|---|\n")
    for name, found in delays.items():
        often = {signal: median(each) for signal, each in found.items() if 2 * len(each) > n_draws}
        least = min(often.values(), default=None)
        first = ", ".join(f"`{signal}`" for signal, delay in sorted(often.items()) if delay == least)
        later = sorted((delay, signal) for signal, delay in often.items() if delay != least)
        told = ", ".join(f"`{signal}` ({delay:g})" for delay, signal in later)
        sys.stdout.write(
            f"| {name} | {first or 'nothing'} | {'-' if least is None else f'{least:g}'} | {told or '-'} |\n"
        )
    sys.stdout.flush()


def main() -> None:
    """Print the table as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--draws", type=int, default=1)
    asked = parser.parse_args()
    config, began = load_model(MODEL), time.process_time()
    days, rng = by_day(config, asked.folder), np.random.default_rng(2013)
    whole = pa.concat_tables(days)
    SPREADS.update({name: float(np.nanstd(whole[name].to_numpy())) for name in config.numbers})
    delays: dict[str, dict[str, list[int]]] = {name: {} for name in CHANGES}
    for _ in range(asked.draws):
        n_days = N_TRAIN + N_HOLDOUT + (N_BEFORE + N_CHANGED) * LENGTH
        held = service(config, [days[place] for place in rng.permutation(len(days))[:n_days]])
        plain = list(seen_in(held, held.served))
        for name, change in CHANGES.items():
            first: dict[str, int] = {}
            for number, (told, usual) in enumerate(
                zip(seen_in(held, changed(held.served, change)), plain, strict=True)
            ):
                first = {**dict.fromkeys(told - usual, number + 1), **first}
            for signal, delay in first.items():
                delays[name].setdefault(signal, []).append(delay)
            sys.stderr.write(
                f"{time.process_time() - began:.0f} CPU s: {name}: {sorted(first.items(), key=lambda one: one[1])}\n"
            )
    say(delays, asked.draws)
    sys.stdout.write(f"\n{time.process_time() - began:.0f} CPU seconds.\n")


if __name__ == "__main__":
    main()
