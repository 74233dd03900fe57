"""What is gained by judging the windows of a bake together: the table of docs/decisions/0003.

``python docs/simulations/pooled_bake.py --repetitions 4000`` draws champions that are worse than the stable version by
a known deficit: 14 blocks a window, normal, whose mean has a given standard error. Each bake is ended window by window,
as one judgement over all blocks so far from ``bake.windows`` windows on, and by both, which is the rule of
``perennial.bake.settlement.bake_outcome``: a window alone may fail a bake, and all of them together end it.
"""

import argparse
import sys
from collections.abc import Callable, Iterable
from typing import Literal

import numpy as np
from scipy.stats import t

N_BLOCKS, N_WINDOWS, DEADLINE, MOST, CONFIDENCE = 14, 2, 6, 0.02, 0.95
Ended = tuple[str, int]
Judgement = Literal["failed", "passed", "unknown"]


def judged(blocks: np.ndarray) -> Judgement:
    """Failed where the whole interval of the mean lies beyond ``bake.max_deficit``, passed where the mean does not."""
    error = blocks.std(ddof=1) / np.sqrt(len(blocks))
    low = blocks.mean() - t.ppf(0.5 + CONFIDENCE / 2, len(blocks) - 1) * error
    return "failed" if low > MOST else "passed" if blocks.mean() <= MOST else "unknown"


def by_window(windows: np.ndarray) -> Ended:
    """A failed window fails a bake, so many passed ones pass it."""
    n_passed = 0
    for number, window in enumerate(windows, start=1):
        if (found := judged(window)) == "failed":
            return "failed", number
        n_passed += found == "passed"
        if n_passed == N_WINDOWS:
            return "passed", number
    return "blind", DEADLINE


def together(windows: np.ndarray, *, alone: bool) -> Ended:
    """One judgement over the blocks of all windows so far, from the ``bake.windows``-th on; a window ``alone`` may fail
    it before that, and later."""

    def end(number: int) -> str:
        if alone and judged(windows[number - 1]) == "failed":
            return "failed"
        return judged(windows[:number].ravel()) if number >= N_WINDOWS else "running"

    return first_end(end(number) for number in range(1, DEADLINE + 1))


def first_end(outcomes: Iterable[str]) -> Ended:
    """The first end and its window; blind after the deadline."""
    ends = ((one, n) for n, one in enumerate(outcomes, start=1) if one in ("passed", "failed"))
    return next(ends, ("blind", DEADLINE))


RULES: dict[str, Callable[[np.ndarray], Ended]] = {
    "each window alone": by_window,
    "together, from the second on": lambda windows: together(windows, alone=False),
    "both, as it is": lambda windows: together(windows, alone=True),
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
