"""How often nominal 95 % intervals hold the truth, on rows that depend on their block: the table of docs/statistics.md.

``python docs/simulations/coverage.py --repetitions 2000`` draws that many data sets for each number of blocks. In a
block, the rows share a shift of the truth, a shift of the feature, how much the feature says, and an error of the new
model; sizes of blocks differ by a factor of two and more. The truth is the metric on 40,000 blocks.
"""

import argparse
import sys
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from scipy.stats import rankdata

from perennial.contracts import Estimate
from perennial.statistics.intervals import estimate, paired_difference
from perennial.statistics.metrics import METRICS, Metric
from perennial.statistics.rows import Rows, Task, rows_of

ROWS_PER_BLOCK = 60
CASES: list[tuple[Task, str]] = [
    ("binary", "roc_auc"),
    ("binary", "accuracy"),
    ("binary", "log_loss"),
    ("regression", "mae"),
]


def area(rows: Rows) -> float:
    """The area under the ROC curve."""
    n_positive = int(rows.truth.sum())
    above = rankdata(rows.scores)[rows.truth == 1].sum() - n_positive * (n_positive + 1) / 2
    return float(above / (n_positive * (len(rows.truth) - n_positive)))


PLAIN: dict[str, Callable[[Rows], float]] = {
    "roc_auc": area,
    "accuracy": lambda rows: float((rows.truth == rows.predicted).mean()),
    "log_loss": lambda rows: float(-np.log(np.where(rows.truth == 1, rows.scores, 1 - rows.scores)).mean()),
    "mae": lambda rows: float(np.abs(rows.truth - rows.scores).mean()),
}
"""The metrics without scikit-learn's checks of its input, which take four fifths of the time here."""


def draw(task: Task, n_blocks: int, rng: np.random.Generator) -> tuple[Rows, Rows, np.ndarray]:
    """Rows of two models, an old and a new one, on the same truth, and the block of each row."""
    sizes = np.maximum(2, ROWS_PER_BLOCK * np.exp(0.35 * rng.normal(size=n_blocks))).astype(int)
    blocks = np.repeat(np.arange(n_blocks), sizes)
    shift, level, skill, error = (spread * rng.normal(size=n_blocks)[blocks] for spread in (0.5, 0.4, 0.4, 0.3))
    seen, hidden = level + rng.normal(size=len(blocks)), rng.normal(size=len(blocks))
    latent = (1 + skill) * seen + 0.7 * hidden + shift - 0.5
    guesses = [0.7 * seen - 0.5, 0.9 * seen + 0.3 * hidden + error - 0.5]
    if task == "regression":
        labels = latent + rng.normal(size=len(blocks))
    else:
        labels = rng.random(len(blocks)) < 1 / (1 + np.exp(-latent))
        guesses = [1 / (1 + np.exp(-guess)) for guess in guesses]
    old, new = (rows_of(task, labels=labels, scores=guess) for guess in guesses)
    if old is None or new is None:
        raise ValueError("the simulation drew no rows")
    return old, new, blocks


def plain(metric: Metric, rows: Rows) -> Metric:
    """The metric by its plain function, which gives the same on ``rows``."""
    function = PLAIN[metric.name]
    if not np.isclose(function(rows), metric.function(rows) or 0, rtol=1e-9):
        raise ValueError(f"{metric.name}: {function(rows)} is not {metric.function(rows)}")
    return replace(metric, function=function)


def holds(found: Estimate, truth: float) -> bool:
    """Whether the interval holds the truth; one that is missing is an error of the simulation."""
    if found.interval is None:
        raise ValueError(found.problem)
    return found.interval.low <= truth <= found.interval.high


def truths(metric: Metric, n_blocks: int, rng: np.random.Generator) -> tuple[float, float]:
    """The metric of the new model and its difference to the old one, on so many blocks that chance hardly counts."""
    old, new, blocks = draw(metric.task, n_blocks, rng)
    values = estimate(metric, new, blocks, rng=rng).value, paired_difference(metric, old, new, blocks, rng=rng).value
    if values[0] is None or values[1] is None:
        raise ValueError(f"{metric.name} does not exist")
    return values[0], values[1]


def main() -> None:
    """Print the table as Markdown, line by line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=2000)
    parser.add_argument("--blocks", type=int, nargs="+", default=[14, 28, 60])
    parser.add_argument("--truth-blocks", type=int, default=40_000)
    parser.add_argument("--seed", type=int, default=20130101)
    asked = parser.parse_args()
    columns = "metric", "blocks", "metric, by blocks", "difference, by blocks", "metric, by rows", "difference, by rows"
    sys.stdout.write(f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}\n")
    for task, name in CASES:
        rng = np.random.default_rng(asked.seed)
        metric = plain(METRICS[task][name], draw(task, 14, rng)[0])
        truth, gain = truths(metric, asked.truth_blocks, rng)
        for n_blocks in asked.blocks:
            held = np.zeros(4)
            for _ in range(asked.repetitions):
                old, new, blocks = draw(task, n_blocks, rng)
                each = np.arange(len(blocks))
                held += [
                    holds(estimate(metric, new, blocks, rng=rng), truth),
                    holds(paired_difference(metric, old, new, blocks, rng=rng), gain),
                    holds(estimate(metric, new, each, rng=rng), truth),
                    holds(paired_difference(metric, old, new, each, rng=rng), gain),
                ]
            shares = " | ".join(f"{100 * share:.1f} %" for share in held / asked.repetitions)
            sys.stdout.write(f"| `{name}` | {n_blocks} | {shares} |\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
