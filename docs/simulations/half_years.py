"""How often any family of signals but drift is breached where nothing changed: the table of docs/signals.md.

``python docs/simulations/half_years.py FOLDER``: half-years of the flights of 2013 whose days are shuffled, every
fourth flight: the recipe of ``flight_delay`` fitted on 42 days, its holdout of 14, then 13 windows of 14 days, measured
as the product measures them under the configuration of the flights. Printed is the share of the half-years in which a
signal of a family was ever breached, and of those in which one was that is told to someone. Drift has a table of its
own (``flights_drift.py``); skew and attribution ask the registered version, which is the same, and are left out.
"""

import argparse
import sys
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from since_promotion import MODEL, N_AFTER, N_HOLDOUT, by_day, placed, scored

from perennial.config import ModelConfig, load_model
from perennial.contracts import Signal, Subject, Window
from perennial.evidence.maturity import Coverage
from perennial.evidence.samples import Counts
from perennial.monitoring.estimates.expectation import learn
from perennial.monitoring.estimates.signals import estimate_signals
from perennial.monitoring.feature_flags import feature_flags
from perennial.monitoring.judged.signals import judged_signals
from perennial.monitoring.label_flags import FlagBasis, label_flags
from perennial.monitoring.performance import holdout_answers, performance_signals
from perennial.monitoring.quality import KnownValues, row_signals, summarise
from perennial.monitoring.served.answers import prediction_signals

FIRST = pd.Timestamp("2013-01-01", tz="UTC")


def counts_of(config: ModelConfig, rows: pa.Table, known: KnownValues) -> Counts:
    """What is counted of a window: values, and those that the reference never had."""
    unseen = {
        name: pc.sum(pc.invert(pc.is_in(rows[name].drop_null(), pa.array(values)))).as_py() or 0
        for name, values in known.values.items()
    }
    seen = {name: pc.is_valid(rows[name]).to_numpy().astype(int) for name in config.features}
    _, block = np.unique(rows["event_time"].to_numpy().astype("datetime64[D]"), return_inverse=True)
    by_block = {name: tuple(np.bincount(block, valid).astype(int).tolist()) for name, valid in seen.items()}
    n_rows = tuple(np.bincount(block).tolist())
    return Counts(
        rows.num_rows, {name: int(valid.sum()) for name, valid in seen.items()}, unseen, {"": n_rows, **by_block}
    )


def of_features(config: ModelConfig, subject: Subject, rows: pa.Table, reference: pa.Table) -> Iterator[Signal]:
    """What is said of the features of a window alone."""
    known = summarise(config, reference)
    yield from row_signals(config, subject, counts_of(config, rows, known), known)
    yield from feature_flags(config, subject, rows, reference=reference)


def of_window(
    config: ModelConfig, subject: Subject, rows: pa.Table, reference: pa.Table, earlier: list[Signal]
) -> Iterator[Signal]:
    """Everything that is said of a window of which all labels are in."""
    n = rows.num_rows
    coverage = Coverage(window=subject.window, n_rows=n, n_labelled=n, n_by_champion=n, n_by_champion_labelled=n)
    yield from of_features(config, subject, rows, reference)
    yield from prediction_signals(config, subject, rows, reference=reference)
    yield from estimate_signals(config, subject, rows, known=learn(config, reference))
    holdout = holdout_answers(config, reference)
    yield from performance_signals(config, subject, coverage, rows, holdout=holdout)
    yield from label_flags(config, subject, rows, beside=FlagBasis(reference=reference))
    yield from judged_signals(config, subject, rows, reference=reference, gone="", earlier=earlier)


def half_year(config: ModelConfig, trained_on: list[pa.Table], days: list[pa.Table]) -> list[Signal]:
    """What is said of the 13 windows after a holdout."""
    holdout = placed(days[:N_HOLDOUT], FIRST)
    train = placed(trained_on, FIRST - pd.Timedelta(days=len(trained_on)))
    unscored = train.append_column("score", pa.nulls(train.num_rows, pa.float64()))
    parts = [unscored.append_column("predicted", pa.nulls(train.num_rows, pa.string())), holdout]
    names = pa.array(["train"] * train.num_rows + ["holdout"] * holdout.num_rows)
    columns = parts[1].column_names
    reference = pa.concat_tables([part.select(columns) for part in parts]).append_column("part", names)
    found: list[Signal] = []
    for start in range(N_HOLDOUT, N_HOLDOUT + N_AFTER, 14):
        begin = FIRST + pd.Timedelta(days=start)
        window = Window(start=begin.to_pydatetime(), end=begin.to_pydatetime() + timedelta(days=14))
        rows = placed(days[start : start + 14], begin)
        earlier = [signal for signal in found if signal.name == "concept/excess_in_window"]
        found += of_window(config, Subject.of_run(config.model, window, "1"), rows, reference, earlier)
    return found


def main() -> None:
    """Print the table as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="where the flights are kept once they are prepared")
    parser.add_argument("--half-years", type=int, default=200)
    parser.add_argument("--seed", type=int, default=20130101)
    asked = parser.parse_args()
    config = load_model(MODEL)
    days, rng = by_day(config, asked.folder), np.random.default_rng(asked.seed)
    ever: Counter[str] = Counter()
    told: Counter[str] = Counter()
    seen: set[str] = set()
    for number in range(asked.half_years):
        if number % 10 == 0:
            chosen = rng.choice(len(days), size=42, replace=False)
            others = scored(config, days, chosen)
        drawn = [others[place] for place in rng.permutation(len(others))[: N_HOLDOUT + N_AFTER]]
        found = half_year(config, [days[place] for place in chosen], drawn)
        seen |= {signal.family for signal in found}
        breached = [signal for signal in found if signal.status == "breached"]
        ever.update({signal.family for signal in breached} | ({"any"} if breached else set()))
        alarms = [signal for signal in breached if signal.role != "watch"]
        told.update({signal.family for signal in alarms} | ({"any"} if alarms else set()))
        sys.stderr.write(f"{number + 1}: {sorted({signal.name for signal in breached})}\n")
    sys.stdout.write("| family | ever breached | ever told to someone | error |\n|---|---|---|---|\n")
    for family in (*sorted(seen), "any"):
        shares = [counted[family] / asked.half_years for counted in (ever, told)]
        error = max((share * (1 - share) / asked.half_years) ** 0.5 for share in shares)
        sys.stdout.write(f"| {family} | {shares[0]:.1%} | {shares[1]:.1%} | {error:.1%} |\n")


if __name__ == "__main__":
    main()
