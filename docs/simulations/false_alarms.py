"""How often drift is reported where nothing changed, at nominal 5 %: the table of docs/statistics.md.

``python docs/simulations/false_alarms.py --repetitions 1000`` draws that many references of 120 days, a window each.
Every column moves from day to day, in part together with the others, and days differ in size; window and reference do
not differ. Half of the columns are numbers in ten bins, half are categories with a long tail; all have nulls. Beside
it: the share of windows in which any distance is above the 95 % quantile of its own permutations.
"""

import argparse
import sys
import time

import numpy as np

from perennial.statistics.drift.permutation import BlockCounts, permute_blocks

N_COLUMNS, N_REFERENCE, N_BINS = 20, 120, 10


def draw(n_blocks: int, rng: np.random.Generator) -> list[BlockCounts]:
    """The counts of every column by day, its null counts too."""
    sizes = rng.poisson(300 * np.exp(0.3 * rng.normal(size=n_blocks)))
    weather = rng.normal(size=n_blocks)
    columns = []
    for number in range(N_COLUMNS):
        name, is_number = f"c{number}", number % 2 == 0
        moved = 0.2 * weather + 0.2 * rng.normal(size=n_blocks)
        tilt = np.linspace(-1, 1, N_BINS) if is_number else rng.normal(size=N_BINS)
        weights = (np.ones(N_BINS) if is_number else 0.6 ** np.arange(N_BINS)) * np.exp(np.outer(moved, tilt))
        shares = weights / weights.sum(axis=1, keepdims=True)
        n_nulls = rng.binomial(sizes, np.clip(0.03 * np.exp(0.5 * rng.normal(size=n_blocks)), 0, 1))
        counts = rng.multinomial(sizes - n_nulls, shares)
        if is_number:
            methods, at = ("jensen_shannon", "psi", "wasserstein", "ks"), np.linspace(-1.6, 1.6, N_BINS)
            columns.append(BlockCounts(column=name, counts=counts, methods=methods, at=at))
        else:
            columns.append(
                BlockCounts(column=name, counts=counts, methods=("jensen_shannon", "psi", "chi_squared", "l_infinity"))
            )
        columns.append(BlockCounts.of_nulls(name, n_nulls, sizes))
    return columns


def main() -> None:
    """Print the table as Markdown, line by line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=1000)
    parser.add_argument("--permutations", type=int, default=999)
    parser.add_argument("--window-days", type=int, nargs="+", default=[7, 14])
    parser.add_argument("--seed", type=int, default=20130101)
    asked = parser.parse_args()
    sys.stdout.write(
        "| days in the window | alarms at nominal 1 % | at 5 % | at 10 % | each by its own 95 % | CPU seconds |\n"
    )
    sys.stdout.write("|---|---|---|---|---|---|\n")
    for n_window in asked.window_days:
        rng = np.random.default_rng(asked.seed)
        n_blocks, found, alone, spent = N_REFERENCE + n_window, [], 0, 0.0
        for _ in range(asked.repetitions):
            columns = draw(n_blocks, rng)
            began = time.process_time()
            tested = permute_blocks(
                columns, np.arange(n_blocks) >= N_REFERENCE, rng=rng, n_permutations=asked.permutations
            )
            spent += time.process_time() - began
            found.append(tested.p)
            alone += any(one.distance is not None and one.distance > one.quantiles[1] for one in tested.found)
        shares = " | ".join(f"{100 * np.mean(np.array(found) <= level):.1f} %" for level in (0.01, 0.05, 0.1))
        shares += f" | {100 * alone / asked.repetitions:.1f} %"
        sys.stdout.write(f"| {n_window} | {shares} | {spent / asked.repetitions:.2f} |\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
