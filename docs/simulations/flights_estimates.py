"""What metrics should be without labels, against what they were and the naive guess: the table of docs/signals.md.

``python docs/simulations/flights_estimates.py FOLDER`` fits the recipe of ``flight_delay`` on 42 days of the flights of
2013, judges it on the 14 days after, and asks of later stretches of 14 days what its scores let expect, and what its
labels then said. Seven champions, one every 42 days, each as long as ``policy.max_age`` lets it serve; the naive guess
is what the holdout gave.
"""

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from demo.flights import load_flights, window
from perennial.config import ModelConfig, load_model
from perennial.contracts import Estimate
from perennial.evidence.answers import answers_in, blocks_in, demands_of
from perennial.monitoring.estimates.expectation import Expectation, learn
from perennial.registry import features_frame, score
from perennial.statistics.expected.estimates import DrawnTruths, concept_gap, expected
from perennial.training.fitting.recipe import build_estimator

MODEL = Path(__file__).parents[2] / "include" / "models" / "flight_delay"
METRICS = ("accuracy", "roc_auc", "log_loss")
STARTS = [f"{start:%Y-%m-%d}" for start in pd.date_range("2013-01-01", periods=7, freq="42D")]
HEADINGS = "metric | month | stretches | expected | realised | off by | naive guess off by | inside | surely worse"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One stretch under one champion: the month it begins in, what was expected of it, what was realised."""

    month: str
    metric: str
    expected: Estimate
    realised: float
    naive: float
    gap: Estimate


def rows_of(config: ModelConfig, frame: pd.DataFrame, start: str, days: int) -> pa.Table:
    """The labelled flights of some days, as the store holds them."""
    begin = pd.Timestamp(start, tz="UTC")
    found = window(frame, begin, begin + pd.Timedelta(days=days))
    found = found[found["late"].notna()]
    columns = {name: pa.array(found[name].astype(object).where(found[name].notna(), None)) for name in config.features}
    times = pa.Array.from_pandas(found["event_time"], type=pa.timestamp("us", "UTC"))
    return pa.table({**columns, "event_time": times, "label": pa.array(found["late"], pa.float64())})


def scored(config: ModelConfig, model: object, rows: pa.Table) -> pa.Table:
    """The rows with the score of a model."""
    scores, _ = score(config, model, rows)
    return rows.append_column("score", pa.array(scores)).append_column(
        "predicted", pa.nulls(rows.num_rows, pa.string())
    )


def champion(config: ModelConfig, frame: pd.DataFrame, start: str) -> tuple[object, Expectation]:
    """The recipe, fitted on 42 days, and what its scores were worth on the 14 days after."""
    train = rows_of(config, frame, start, 42)
    model = build_estimator(MODEL / "recipe.py", seed=0, params=config.training.params)
    model.fit(features_frame(config, train), train["label"].to_numpy().astype(int))
    holdout = scored(config, model, rows_of(config, frame, str(pd.Timestamp(start) + pd.Timedelta(days=42)), 14))
    known = learn(config, holdout.append_column("part", pa.array(["holdout"] * holdout.num_rows)))
    if isinstance(known, str):
        raise SystemExit(known)
    return model, known


def asked(config: ModelConfig, frame: pd.DataFrame, start: str) -> Iterator[Asked]:
    """Every stretch of 14 days after the holdout of one champion."""
    model, known = champion(config, frame, start)
    first = pd.Timestamp(start) + pd.Timedelta(days=56)
    last = min(pd.Timestamp("2013-12-18"), first + config.policy.max_age - pd.Timedelta(days=14))
    for begin in pd.date_range(first, last, freq="14D"):
        rows = scored(config, model, rows_of(config, frame, str(begin), 14))
        drawn, blocks = known.drawn(config, rows), blocks_in(config, rows)
        real = answers_in(config, rows).measured(config)
        if drawn is None or blocks is None or real is None:
            raise SystemExit(f"{begin}: no rows")
        like = known.like(rows)
        for name in METRICS:
            metric, demands = config.metric(name), demands_of(config)
            yield Asked(
                month=f"{begin:%B}",
                metric=name,
                expected=expected(metric, like, drawn, blocks, demands=demands),
                realised=float(metric.function(real) or 0),
                naive=float(metric.function(known.holdout.real) or 0),
                gap=concept_gap(metric, like, DrawnTruths(real, drawn, blocks), demands=demands),
            )


def told(name: str, month: str, found: list[Asked]) -> str:
    """One line of the table."""
    inside = [
        one.expected.interval.low <= one.realised <= one.expected.interval.high
        for one in found
        if one.expected.interval
    ]
    surprised = [one.gap.interval.low > 0 for one in found if one.gap.interval]
    values = [
        float(np.mean([one.expected.value or 0 for one in found])),
        float(np.mean([one.realised for one in found])),
    ]
    off = float(np.mean([abs((one.expected.value or 0) - one.realised) for one in found]))
    naive = float(np.mean([abs(one.naive - one.realised) for one in found]))
    shown = " | ".join(f"{value:.4f}" for value in (*values, off, naive))
    return f"| `{name}` | {month} | {len(found)} | {shown} | {np.mean(inside):.0%} | {np.mean(surprised):.0%} |"


def main() -> None:
    """Print the table, month by month and over all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="where the flights are kept once they are prepared")
    parser.add_argument("--champions", type=int, default=len(STARTS))
    options = parser.parse_args()
    config, frame = load_model(MODEL), load_flights(options.folder)
    found = [one for start in STARTS[: options.champions] for one in asked(config, frame, start)]
    sys.stdout.write(f"| {HEADINGS} |\n|{'---|' * (HEADINGS.count('|') + 1)}\n")
    for name in METRICS:
        mine = [one for one in found if one.metric == name]
        for month in dict.fromkeys(sorted((one.month for one in mine), key=lambda m: pd.Timestamp(f"{m} 2013"))):
            sys.stdout.write(told(name, month, [one for one in mine if one.month == month]) + "\n")
        sys.stdout.write(told(name, "all", mine) + "\n")


if __name__ == "__main__":
    main()
