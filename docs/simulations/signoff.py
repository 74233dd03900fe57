"""How often the gates promote what is no better, and how often what is: the table of docs/signoff.md.

``OMP_NUM_THREADS=1 python docs/simulations/signoff.py FOLDER``. Half of the days of 2013, drawn at random, are trained
on, the flights of the other half judge. The recipe of the demo is fitted many times: on 42 days with their rows
resampled (an A/A pair is two such fits of the same days), and on fewer days, which makes it worse. What a pair's true
gain is, all 182 days of the other half say; what the gates see of it is a holdout of 14 of these days, some 13,000
flights, as in the demo.
"""

import argparse
import runpy
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from demo.flights import FEATURES, load_flights
from perennial.config import ModelConfig, load_model
from perennial.contracts import Evaluation
from perennial.evidence.answers import Answers
from perennial.signoff.versus import no_worse_gate, versus_champion_gate
from perennial.statistics.metrics import METRICS
from perennial.statistics.rows import rows_of
from perennial.training.baseline import gains_over

MODEL = Path(__file__).parents[2] / "include" / "models" / "flight_delay"
HOLDOUT_DAYS = 14
NULL = 0.001
"""A true gain of no more than this is none."""
KINDS = {
    "no better (within 0.001)": (-NULL, NULL),
    "truly worse (0.004 to 0.012)": (-0.012, -0.004),
    "true gain 0.01": (0.0075, 0.0125),
    "true gain 0.02": (0.0175, 0.0225),
}


@dataclass(frozen=True, slots=True)
class World:
    """The judging half: labels, days (numbered from 0), and the scores of each fit, with its true AUC and how it came.

    ``group`` is on which days, and on how many of them, it was fitted.
    """

    labels: np.ndarray
    days: np.ndarray
    scores: list[np.ndarray]
    true: np.ndarray
    group: list[tuple[int, int]]


def made(folder: Path, *, n_groups: int, n_fits: int, shorter: list[int], seed: int) -> World:
    """Every fit, and what it answers for the judging half."""
    rng = np.random.default_rng(seed)
    flights = load_flights(folder).dropna(subset=["late"])
    day = (flights["event_time"] - pd.Timestamp("2013-01-01", tz="UTC")).dt.days.to_numpy()
    order = rng.permutation(np.unique(day))
    half = len(order) // 2
    judging = np.flatnonzero(np.isin(day, order[half:]))
    labels = flights["late"].to_numpy().astype(int)
    features = frame_of(flights)
    build: Any = runpy.run_path(str(MODEL / "recipe.py"))["build"]
    scores, group = [], []
    for number in range(n_groups):
        chosen = rng.choice(order[:half], 42, replace=False)
        for n_days, n_times in [(42, n_fits), *((n_days, 1) for n_days in shorter)]:
            rows = np.flatnonzero(np.isin(day, chosen[:n_days]))
            for _ in range(n_times):
                again = np.sort(rng.choice(rows, len(rows)))
                fitted = build(seed=0).fit(features.iloc[again], labels[again])
                scores.append(fitted.predict_proba(features.iloc[judging])[:, 1])
                group.append((number, n_days))
    codes = np.unique(day[judging], return_inverse=True)[1]
    true = np.array([area(labels[judging], one) for one in scores])
    return World(labels[judging], codes, scores, true, group)


def frame_of(flights: pd.DataFrame) -> pd.DataFrame:
    """The features as the recipe takes them."""
    frame = flights[list(FEATURES)].copy()
    for name in frame.columns:
        if name in ("carrier", "origin", "dest"):
            frame[name] = frame[name].astype("str")
        else:
            frame[name] = frame[name].astype("float64")
    return frame.reset_index(drop=True)


def area(labels: np.ndarray, scores: np.ndarray) -> float:
    """The ROC AUC on all rows."""
    rows = rows_of("binary", labels=labels, scores=scores)
    found = None if rows is None else METRICS["binary"]["roc_auc"].function(rows)
    if found is None:
        raise ValueError("no AUC")
    return found


def evaluated(config: ModelConfig, world: World, old: int, new: int, days: np.ndarray) -> Evaluation:
    """What the gates get to see of two fits on some days."""
    rows = np.flatnonzero(np.isin(world.days, days))
    blocks = np.unique(world.days[rows], return_inverse=True)[1].astype(np.intp)
    mine, theirs = (
        Answers(labels=world.labels[rows], scores=world.scores[one][rows], blocks=blocks) for one in (new, old)
    )
    return Evaluation(
        model=config.model,
        mlflow_run_id="",
        n_rows=len(rows),
        label_coverage=1.0,
        candidate={},
        baseline="1",
        baseline_metrics={},
        n_paired_rows=len(rows),
        gains=gains_over(config, mine, theirs),
    )


def gates(config: ModelConfig, found: Evaluation, attempt: int = 1) -> tuple[bool, bool, bool, bool]:
    """Passed by the point gate (gain >= min_gain), by that on the interval, by the calibration too; and clearly so."""
    wanted = config.signoff.versus_champion
    gate = versus_champion_gate(config, found, attempt=attempt)
    guarded = gate.passed and all(no_worse_gate(config, found, *one).passed for one in config.guards.items())
    return (gate.value or 0.0) >= wanted.min_gain, gate.passed, guarded, guarded and not gate.borderline


def pairs(world: World, kind: tuple[float, float], rng: np.random.Generator) -> Iterator[tuple[int, int]]:
    """Pairs (old, new) whose true gain lies in a range; those of no gain are fits of the same days, resampled."""
    gains = world.true[None, :] - world.true[:, None]
    fit = (gains >= kind[0]) & (gains <= kind[1])
    if kind[0] < 0 < kind[1]:
        same = [[one == other for other in world.group] for one in world.group]
        fit &= np.array(same) & ~np.eye(len(world.group), dtype=bool)
    found = np.argwhere(fit)
    if not len(found):
        raise ValueError(f"no pair has a true gain of {kind}: make more fits")
    while True:
        old, new = found[rng.integers(len(found))]
        yield int(old), int(new)


def main() -> None:
    """Print the tables as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--repetitions", type=int, default=600)
    parser.add_argument("--groups", type=int, default=8)
    parser.add_argument("--fits", type=int, default=5)
    parser.add_argument("--shorter", type=int, nargs="+", default=[14, 10, 7, 5, 4])
    parser.add_argument("--seed", type=int, default=2013)
    asked = parser.parse_args()
    config = load_model(MODEL)
    config = config.model_copy(update={"signoff": config.signoff.model_copy(update={"min_holdout_rows": 30})})
    world = made(asked.folder, n_groups=asked.groups, n_fits=asked.fits, shorter=asked.shorter, seed=asked.seed)
    rng = np.random.default_rng(asked.seed)
    n_days = int(world.days.max()) + 1

    def drawn() -> np.ndarray:
        return rng.choice(n_days, min(HOLDOUT_DAYS, n_days), replace=False)

    columns = "candidate", "point gate", "by days", "and log loss", "and not borderline", "mean error by days"
    sys.stdout.write(f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}\n")
    for name, kind in KINDS.items():
        passed, errors = np.zeros(4), []
        for _, (old, new) in zip(range(asked.repetitions), pairs(world, kind, rng), strict=False):
            found = evaluated(config, world, old, new, drawn())
            passed += gates(config, found)
            interval = found.gains["roc_auc"].interval
            errors.append(interval.standard_error if interval else np.nan)
        shares = " | ".join(f"{100 * share:.1f} %" for share in passed / asked.repetitions)
        sys.stdout.write(f"| {name} | {shares} | {np.nanmean(errors):.4f} |\n")
        sys.stdout.flush()
    tries = np.zeros(3)
    null = pairs(world, (-NULL, NULL), rng)
    n_tries = max(1, asked.repetitions // 2)
    for _ in range(n_tries):
        each = []
        for attempt in (1, 2, 3, 4):
            found = evaluated(config, world, *next(null), drawn())
            point, _, unspent, _ = gates(config, found)
            each.append((point, unspent, gates(config, found, attempt)[2]))
        tries += np.any(each, axis=0)
    shares = " | ".join(f"{100 * share:.1f} %" for share in tries / n_tries)
    sys.stdout.write(
        "\n| four candidates that are no better | point gate | by days, each as the first | as they are |\n"
    )
    sys.stdout.write(f"|{'---|' * 4}\n| at least one promoted | {shares} |\n")


if __name__ == "__main__":
    main()
