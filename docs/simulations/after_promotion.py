"""Of candidates that the gates let through on the flights, how many are worse over the four weeks that follow.

``OMP_NUM_THREADS=1 python docs/simulations/after_promotion.py FOLDER`` prints the table of docs/signoff.md. Every
fortnight of 2013 the demo's recipe is fitted on the 42 days before the last 14, as a retrain does whose labels are all
in. Each fit is then the candidate against each earlier one: judged by the gates on those last 14 days, which neither
has seen, and afterwards on the 28 days that come next.
"""

import argparse
import runpy
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from signoff import MODEL, World, area, evaluated, frame_of, gates

from demo.flights import load_flights
from perennial.config import load_model

TRAIN, HOLDOUT, AFTER, EVERY = 42, 14, 28, 14
GATES = ("no gate", "point gate", "by days", "and log loss", "and not borderline")


def made(folder: Path, first: int) -> tuple[World, list[int]]:
    """The fits of a year from the day ``first`` on, what each answers for every flight of its holdout and later, and
    the day on which each was made."""
    flights = load_flights(folder).dropna(subset=["late"])
    days = (flights["event_time"] - pd.Timestamp("2013-01-01", tz="UTC")).dt.days.to_numpy()
    labels, features = flights["late"].to_numpy().astype(int), frame_of(flights)
    build: Any = runpy.run_path(str(MODEL / "recipe.py"))["build"]
    made_on = list(range(first + TRAIN + HOLDOUT, int(days.max()) + 2 - AFTER, EVERY))
    scores = []
    for day in made_on:
        rows = (days >= day - HOLDOUT - TRAIN) & (days < day - HOLDOUT)
        later = days >= day - HOLDOUT
        answers = np.full(len(days), np.nan)
        fitted = build(seed=0).fit(features[rows], labels[rows])
        answers[later] = fitted.predict_proba(features[later])[:, 1]
        scores.append(answers)
    return World(labels, days, scores, np.zeros(len(scores)), [(0, TRAIN)] * len(scores)), made_on


def gain_after(world: World, old: int, new: int, day: int) -> float:
    """By how much the AUC of ``new`` is above that of ``old`` over the weeks that follow a day."""
    rows = (world.days >= day) & (world.days < day + AFTER)
    return area(world.labels[rows], world.scores[new][rows]) - area(world.labels[rows], world.scores[old][rows])


def main() -> None:
    """Print the table as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--first", type=int, nargs="+", default=[0, 7], help="days of the year on which series begin")
    asked = parser.parse_args()
    config = load_model(MODEL)
    passed, after = [], []
    for first in asked.first:
        world, made_on = made(asked.folder, first)
        for new, day in enumerate(made_on):
            for old in range(new):
                found = evaluated(config, world, old, new, np.arange(day - HOLDOUT, day))
                passed.append((True, *gates(config, found)))
                after.append(gain_after(world, old, new, day))
    through, gains = np.array(passed), np.array(after)
    sys.stdout.write(
        f"| {len(gains)} pairs | let through | of these worse after | mean gain after |\n|---|---|---|---|\n"
    )
    for name, kept in zip(GATES, through.T, strict=True):
        worse = f"{100 * np.mean(gains[kept] < 0):.0f} % ({int(np.sum(gains[kept] < 0))})" if kept.any() else "-"
        mean = f"{np.mean(gains[kept]):+.4f}" if kept.any() else "-"
        sys.stdout.write(f"| {name} | {100 * np.mean(kept):.0f} % ({int(kept.sum())}) | {worse} | {mean} |\n")


if __name__ == "__main__":
    main()
