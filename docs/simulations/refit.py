"""What a recipe gains by being fitted again up to the newest labels after its gates: the table of decision 0059.

``OMP_NUM_THREADS=1 python docs/simulations/refit.py FOLDER``: every four weeks of 2013 the recipe of ``flight_delay``
is fitted on the 42 days before a holdout of 14, as the version that gates judge is, and once more up to the end of the
holdout: on both together (``longer``), and on the newest 42 days (``moved``). The four weeks after, from four days
later on, when the labels are in, are scored by all three. ``--year flip`` swaps late and on time for the flights from
Newark from July on, ``--year shuffled`` puts the days in another order.
"""

import argparse
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from flights_estimates import MODEL, rows_of
from flights_policies import flipped

from demo.flights import load_flights
from perennial.config import ModelConfig, load_model
from perennial.evidence.answers import Answers, answers_in
from perennial.registry import features_frame, score
from perennial.training.fitting.recipe import build_estimator

TRAIN, HOLDOUT, DELAY, AFTER = 42, 14, 4, 28
MARGIN = 0.05
"""A score that moved by more than this is another answer."""


def year_of(frame: pd.DataFrame, name: str) -> pd.DataFrame:
    """The flights as they were, flipped in a slice, or with their days in another order."""
    if name == "flip":
        is_after = frame["event_time"] >= pd.Timestamp("2013-07-02", tz="UTC")
        return flipped(frame, (frame["origin"] == "EWR") & is_after)
    if name == "shuffled":
        day = frame["event_time"].dt.floor("D")
        days = day.unique()
        others = pd.Series(np.random.default_rng(2013).permutation(days), index=days)
        moved = frame.assign(event_time=frame["event_time"] - day + day.map(others))
        return moved.sort_values("event_time", kind="stable")
    return frame


def between(rows: pa.Table, start: pd.Timestamp, n_days: int) -> pa.Table:
    """The rows of so many days of a table in the order of time."""
    ends = [moment.to_datetime64() for moment in (start, start + pd.Timedelta(days=n_days))]
    first, last = np.searchsorted(rows["event_time"].to_numpy(), ends)
    return rows.slice(first, last - first)


def fitted(config: ModelConfig, rows: pa.Table) -> object:
    """The recipe fitted on rows."""
    model = build_estimator(MODEL / "recipe.py", seed=config.training.seed, params=config.training.params)
    return model.fit(features_frame(config, rows), rows["label"].to_numpy().astype(int))


def answers_of(config: ModelConfig, model: object, rows: pa.Table) -> Answers:
    """What a model answers for labelled rows."""
    scores, _ = score(config, model, rows)
    return answers_in(config, rows.append_column("score", pa.array(scores)))


def told_of(config: ModelConfig, rows: pa.Table, start: pd.Timestamp) -> dict[str, list[float]]:
    """Of one moment and each way to fit again: what it gained, whether surely, and how far its answers moved."""
    judged = fitted(config, between(rows, start, TRAIN))
    after = between(rows, start + pd.Timedelta(days=TRAIN + HOLDOUT + DELAY), AFTER)
    before, found = answers_of(config, judged, after), {}
    for name, first, length in (
        ("longer", start, TRAIN + HOLDOUT),
        ("moved", start + pd.Timedelta(days=HOLDOUT), TRAIN),
    ):
        now = answers_of(config, fitted(config, between(rows, first, length)), after)
        auc, loss = (now.gain_over(before, config, metric) for metric in ("roc_auc", "log_loss"))
        if auc.interval is None or auc.value is None or loss.value is None:
            raise SystemExit(f"{start}: {auc.problem}")
        sure = float(auc.interval.low > 0), float(auc.interval.high < 0)
        apart = float((np.abs(now.scores - before.scores) > MARGIN).mean())
        found[name] = [auc.value, *sure, float(auc.value < 0), loss.value, apart]
    return found


def main() -> None:
    """Print the table as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="where the flights are kept once they are prepared")
    parser.add_argument("--every", type=int, default=28, help="days from one moment to the next")
    parser.add_argument("--year", choices=["as it was", "flip", "shuffled"], action="append")
    asked = parser.parse_args()
    config, flights, began = load_model(MODEL), load_flights(asked.folder), time.process_time()
    headings = ["year", "fitted again", "moments", "AUC gained", "its error", "surely better", "surely worse"]
    headings += ["worse", "log loss gained", f"answers moved by over {MARGIN}"]
    sys.stdout.write(f"| {' | '.join(headings)} |\n|{'---|' * len(headings)}\n")
    last = pd.Timestamp("2013-12-31") - pd.Timedelta(days=TRAIN + HOLDOUT + DELAY + AFTER)
    for year in asked.year or ["as it was", "flip"]:
        rows = rows_of(config, year_of(flights, year), "2013-01-01", 366)
        told = [told_of(config, rows, start) for start in pd.date_range("2013-01-01", last, freq=f"{asked.every}D")]
        for name in told[0]:
            each = np.array([one[name] for one in told])
            auc, better, surely_worse, worse, loss, apart = each.mean(axis=0)
            error = each[:, 0].std(ddof=1) / len(each) ** 0.5
            shares = " | ".join(f"{share:.0%}" for share in (better, surely_worse, worse))
            sys.stdout.write(
                f"| {year} | {name} | {len(each)} | {auc:+.4f} | {error:.4f} | {shares} | {loss:+.4f} | {apart:.0%} |\n"
            )
            sys.stdout.flush()
    sys.stdout.write(f"\n{time.process_time() - began:.0f} CPU seconds.\n")


if __name__ == "__main__":
    main()
