"""What the policy of ``flight_delay`` is worth on the flights of 2013, and on years made of them.

``python docs/simulations/flights_policies.py FOLDER [--only CASE] [--years 20]`` prints the tables of
``docs/backtest.md``. Cases: ``year`` (as it was), ``shuffled`` (the days in another order, so that nothing changes but
by chance), ``flip`` (late and on time swapped for the flights from Newark from July on), ``gradual`` (the same, a
twelfth more of their days every week), ``faulty`` (the labels of three windows upside down). Fits are kept in FOLDER.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar

import numpy as np
import pandas as pd
import pyarrow as pa

from demo.flights import load_flights
from perennial.backtest.command import HEADINGS, row_of
from perennial.backtest.compare import Comparison, compare
from perennial.backtest.page import page, short
from perennial.backtest.policies import OWN, overlaid
from perennial.config import ModelConfig, load_model
from perennial.contracts import Window
from perennial.training.fitting.recipe import freeze_recipes
from perennial.trial.fits import Fits
from perennial.trial.log import Log, log_of, windows_of
from perennial.trial.releasing import People
from perennial.trial.running import Replayed, Tried, replay

Found = TypeVar("Found")
MODEL = Path(__file__).parents[2] / "include" / "models" / "flight_delay"
CHANGE = datetime(2013, 7, 2, tzinfo=UTC)  # where a window begins
FAULT = (9, 12)  # the labels of windows 9, 10 and 11 are upside down


@dataclass(frozen=True, slots=True, kw_only=True)
class Year:
    """A year of flights, where its fits are kept, and when it changed."""

    name: str
    frame: pd.DataFrame
    folder: Path
    change: datetime | None = None
    people: People = "approve"


def shuffled(frame: pd.DataFrame, seed: int) -> pd.DataFrame:
    """The days of the year in another order, each whole, its labels as late as they were."""
    day = (frame["event_time"] - pd.Timestamp("2013-01-01", tz="UTC")).dt.floor("D").dt.days.to_numpy()
    order = np.random.default_rng(seed).permutation(day.max() + 1)
    shift = pd.to_timedelta(order[day] - day, unit="D")
    return frame.assign(event_time=frame["event_time"] + shift, labelled_at=frame["labelled_at"] + shift)


def flipped(frame: pd.DataFrame, wrong: pd.Series) -> pd.DataFrame:
    """Late where it was on time and the other way round, in some rows; what has no label stays without."""
    return frame.assign(late=frame["late"].where(~wrong, 1 - frame["late"]))


def flip(frame: pd.DataFrame) -> pd.DataFrame:
    """The flights from Newark, from the change on."""
    return flipped(frame, (frame["origin"] == "EWR") & (frame["event_time"] >= pd.Timestamp(CHANGE)))


def gradual(frame: pd.DataFrame, seed: int = 7) -> pd.DataFrame:
    """The same, a twelfth more of the days every week."""
    since = (frame["event_time"] - pd.Timestamp(CHANGE)).dt.days
    days = since.clip(lower=0).to_numpy()
    chance = np.random.default_rng(seed).random(days.max() + 1)[days]
    wrong = (frame["origin"] == "EWR") & (since >= 0) & (chance < (since // 7 + 1) / 12)
    return flipped(frame, wrong)


def faulty(frame: pd.DataFrame, config: ModelConfig) -> pd.DataFrame:
    """All labels of three windows upside down."""
    stretch = fault_of(config)
    return flipped(frame, frame["event_time"].between(pd.Timestamp(stretch.start), pd.Timestamp(stretch.end), "left"))


def fault_of(config: ModelConfig) -> Window:
    """The stretch of the faulty labels."""
    start, every = config.schedule.start, config.schedule.length(config.schedule.start)
    return Window(start=start + FAULT[0] * every, end=start + FAULT[1] * every)


def log_in(config: ModelConfig, frame: pd.DataFrame) -> Log:
    """The log of a frame of flights."""
    named = frame.rename(columns={"late": "label"})
    return log_of(config, pa.Table.from_pandas(named, preserve_index=False))


def say(line: str) -> None:
    """A line as soon as it is known."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def note(policy: str, window: Window) -> None:
    """Where a comparison is, beside what it found."""
    sys.stderr.write(f"{time.process_time():.0f} CPU s: {policy}, {window.start:%Y-%m-%d}\n")


def with_fits(config: ModelConfig, year: Year, do: Callable[[Log, tuple[Window, ...], Fits], Found]) -> Found:
    """What is done with the log of a year, its windows and its fits."""
    log = log_in(config, year.frame)
    with tempfile.TemporaryDirectory() as scratch:
        fits = Fits(log=log, recipes=freeze_recipes(MODEL, Path(scratch), ["recipe.py"]), folder=year.folder / "fits")
        return do(log, windows_of(config, log, since=None, until=None), fits)


def others(config: ModelConfig) -> list[Tried]:
    """The policy without its rule on age, which asks again at every window while the gates refuse."""
    ageless = config.policy.model_copy(update={"max_age": timedelta(days=900)})
    return [Tried(name="no max_age", config=config.model_copy(update={"policy": ageless}))]


def compared(config: ModelConfig, year: Year) -> Comparison:
    """The policy beside the baselines."""

    def do(log: Log, windows: tuple[Window, ...], fits: Fits) -> Comparison:
        return compare(
            config,
            log,
            windows,
            others(config),
            fits=fits,
            people=year.people,
            change=year.change,
            progress=note,
        )

    return with_fits(config, year, do)


def replayed(config: ModelConfig, year: Year) -> Replayed:
    """The policy alone."""

    def do(log: Log, windows: tuple[Window, ...], fits: Fits) -> Replayed:
        own = Tried(name=OWN, config=config)
        return replay(own, log, windows, fits=fits, people=year.people, progress=lambda *_: None)

    return with_fits(config, year, do)


def tell(found: Comparison, year: Year) -> None:
    """The table of a comparison as Markdown, and its page."""
    say(f"\n### {year.name}: {found.judged_from:%Y-%m-%d} to {found.judged_to:%Y-%m-%d}, {found.n_rows} rows\n")
    say(f"| {' | '.join(HEADINGS)} | seen after |\n|{'---|' * (len(HEADINGS) + 1)}")
    for outcome in found.outcomes:
        seen = "-" if outcome.detected_after_d is None else f"{outcome.detected_after_d:.0f} d"
        say(f"| {' | '.join(row_of(outcome))} | {seen} |")
    say("")
    for name, gain in found.outcomes[0].versus.items():
        say(f"- own policy over {name}: {short(gain)}")
    say(f"- retrained at {', '.join(f'{at:%m-%d}' for at in found.outcomes[0].retrained_at) or 'never'}")
    for item in found.proposal:
        say(f"- {item.key}: {item.now} -> {item.proposed}: {item.why}")
    (year.folder / f"{year.name}.html").write_text(page(found), encoding="utf-8")


def tell_shuffled(config: ModelConfig, frame: pd.DataFrame, folder: Path, n_years: int) -> None:
    """How often a year in which nothing changes is retrained, by cause."""
    counts = []
    for seed in range(1, n_years + 1):
        run = replayed(config, Year(name=f"shuffled {seed}", frame=shuffled(frame, seed), folder=folder))
        paid = run.paid
        causes = [decided.reasons[0] for decided in run.decided if decided.action == "retrain" and decided.champion]
        by_gain = sum("would have gained" in cause for cause in causes)
        counts.append((len(paid), by_gain, sum(item.ended == "promoted" for item in paid), len(run.undone)))
        say(
            f"shuffled {seed}: retrains {len(paid)}, by gain {by_gain}, promoted {counts[-1][2]}, "
            f"rolled back {counts[-1][3]}; {causes}"
        )
    told = np.array(counts, float)
    error = told.std(axis=0, ddof=1) / len(told) ** 0.5 if len(told) > 1 else np.full(4, np.nan)
    for name, mean, one in zip(
        ("retrains", "by gain", "promoted", "rolled back"), told.mean(axis=0), error, strict=True
    ):
        say(f"- {name} a year: {mean:.2f} (standard error {one:.2f}, {len(told)} years)")


def made_in(run: Replayed, version: str, stretch: Window) -> bool:
    """Whether a candidate was fitted or judged on a row of a stretch."""
    inside = run.trial.log.within(stretch)
    return any(np.isin(inside, of).any() for of in (run.trial.trained_on[version], run.trial.versions[version].holdout))


def tell_faulty(config: ModelConfig, year: Year) -> None:
    """What was made of faulty labels, and by whom."""
    run, stretch = replayed(config, year), fault_of(config)
    say(f"\n### {year.name}: labels upside down from {stretch.start:%Y-%m-%d} to {stretch.end:%Y-%m-%d}\n")
    for item in run.retrains:
        touched = item.version is not None and made_in(run, item.version, stretch)
        say(
            f"- {item.at:%Y-%m-%d} {item.ended}, version {item.version}, "
            f"{'automatic' if item.automatic else 'by a person'}{', made from faulty labels' if touched else ''}: "
            f"{item.reason[:160]}"
        )
    for undone in run.undone:
        say(f"- {undone.at:%Y-%m-%d} rolled back {undone.gone} to {undone.back}")


def main() -> None:
    """Run the cases that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", choices=["year", "shuffled", "flip", "gradual", "faulty"])
    parser.add_argument("--years", type=int, default=20)
    parser.add_argument("--policy", type=Path, help="keys laid over model.yaml, as perennial backtest takes them")
    asked = parser.parse_args()
    config, frame = load_model(MODEL), load_flights(asked.folder)
    config = overlaid(config, asked.policy).config if asked.policy else config
    year = Year(name="year", frame=frame, folder=asked.folder)
    if asked.only in (None, "year"):
        tell(compared(config, year), year)
    for name, change in (("flip", flip), ("gradual", gradual)):
        if asked.only in (None, name):
            changed = replace(year, name=name, frame=change(frame), change=CHANGE)
            tell(compared(config, changed), changed)
    if asked.only in (None, "faulty"):
        tell_faulty(config, replace(year, name="faulty", frame=faulty(frame, config), people="absent"))
    if asked.only in (None, "shuffled"):
        tell_shuffled(config, frame, asked.folder, asked.years)


if __name__ == "__main__":
    main()
