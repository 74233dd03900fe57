"""What pooling the windows of a bake would change: the table of docs/decisions/0003.

``python docs/simulations/pooled_bake.py --repetitions 4000`` draws champions that are worse than the stable version by
a known deficit: 14 blocks a window, normal, whose mean has a given standard error. Each bake is ended as the product
ends it, window by window (``perennial.bake.settlement.bake_outcome``), and as one judgement over all blocks so far
would, looked at after each window: from the first on, or from ``bake.windows`` on.
"""

import argparse
import sys
from collections.abc import Callable, Iterable

import numpy as np
from scipy.stats import t

from perennial.bake.settlement import WindowOutcome, bake_outcome

N_BLOCKS, N_WINDOWS, DEADLINE, MOST, CONFIDENCE = 14, 2, 6, 0.02, 0.95
Ended = tuple[str, int]


def judged(blocks: np.ndarray) -> WindowOutcome:
    """Failed where the whole interval of the mean lies beyond ``bake.max_deficit``, passed where the mean does not."""
    error = blocks.std(ddof=1) / np.sqrt(len(blocks))
    low = blocks.mean() - t.ppf(0.5 + CONFIDENCE / 2, len(blocks) - 1) * error
    return "failed" if low > MOST else "passed" if blocks.mean() <= MOST else "unknown"


def by_window(windows: np.ndarray) -> Ended:
    """As the product ends a bake: a failed window fails it, so many passed ones pass it."""
    outcomes = [judged(window) for window in windows]
    return first_end(bake_outcome(outcomes[:n], windows=N_WINDOWS, allowed_failures=0) for n in range(1, DEADLINE + 1))


def pooled(windows: np.ndarray, *, first: int) -> Ended:
    """One judgement over the blocks of all windows so far; it fails from window ``first`` on, and passes from the
    ``bake.windows``-th on."""
    found = (judged(windows[:n].ravel()) for n in range(1, DEADLINE + 1))
    least = {"failed": first, "passed": N_WINDOWS, "unknown": DEADLINE + 1}
    return first_end(one if n >= least[one] else "running" for n, one in enumerate(found, start=1))


def first_end(outcomes: Iterable[str]) -> Ended:
    """The first end and its window; blind after the deadline."""
    ends = ((one, n) for n, one in enumerate(outcomes, start=1) if one in ("passed", "failed"))
    return next(ends, ("blind", DEADLINE))


RULES: dict[str, Callable[[np.ndarray], Ended]] = {
    "each window alone": by_window,
    "pooled, from the first window on": lambda windows: pooled(windows, first=1),
    "pooled, from the second on": lambda windows: pooled(windows, first=N_WINDOWS),
}


def main() -> None:
    """Print the table as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=4000)
    parser.add_argument("--errors", type=float, nargs="+", default=[0.012, 0.024], help="of the mean of one window")
    asked = parser.parse_args()
    sys.stdout.write("| error of a window | true deficit | rule | failed | passed | blind | windows until its end |\n")
    sys.stdout.write("|---|---|---|---|---|---|---|\n")
    for error in asked.errors:
        for deficit in (0.0, 0.02, 0.05, 0.08):
            rng = np.random.default_rng(0)
            size = (asked.repetitions, DEADLINE, N_BLOCKS)
            drawn = rng.normal(deficit, error * np.sqrt(N_BLOCKS), size)
            for name, rule in RULES.items():
                ends = [rule(windows) for windows in drawn]
                shares = [np.mean([end == one for end, _ in ends]) for one in ("failed", "passed", "blind")]
                said = " | ".join(f"{share:.3f}" for share in shares)
                sys.stdout.write(f"| {error} | {deficit} | {name} | {said} | {np.mean([n for _, n in ends]):.2f} |\n")


if __name__ == "__main__":
    main()
