"""How often an A/B names a winner where there is none: the table of docs/statistics.md, *Two arms*.

``python tests/simulations/arms.py --repetitions 2000`` draws arms of equal models on rows of their own. Each block (a
day) shifts the truth, the scores and one arm's error; the arms are looked at after every window of seven blocks, up to
ten windows. Printed is the share of the A/Bs in which an interval ever lay on one side of zero: looked at once at the
end, again and again as if it were once, and by the test that may be; and how often the last finds a true difference.

``--canaries`` draws canaries that are as good as their baseline instead, looked at after every minute at so
many requests a minute: how often one of the guards of a model without a ``model.yaml`` of its own is ever breached.

``--shares`` draws arms as large as declared, by hash, and counts how often they are refused as a sample ratio mismatch
at any of four looks over 28 days; and how often arms of whose challenger rows are lost are.
"""

import argparse
import sys
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np

from perennial.config.release.guards import Guards
from perennial.contracts import Estimate
from perennial.guards.figures import LATENCY_S, ArmFigures, score_edges
from perennial.guards.judging import breaches, judge
from perennial.statistics.comparing.arms import difference_of_arms, share_of_arm
from perennial.statistics.intervals import Demands
from perennial.statistics.metrics import METRICS
from perennial.statistics.rows import Rows, rows_of
from perennial.statistics.sequential import at_every_look

ALPHA, EFFECT, EVERY, N_WINDOWS = 0.05, 0.5, 7, 10
ALPHA_OF_SHARES = 0.001
WAYS = ("once", "repeated", "at every look")


def drawn(rng: np.random.Generator, blocks: np.ndarray, shared: np.ndarray, own_sd: float, better: float) -> Rows:
    """One arm: a score, and a label that follows it; a block has a shift of its own beside the shared one."""
    shift = shared + rng.normal(0, own_sd, size=len(shared))
    truth = rng.normal(size=len(blocks))
    noise = rng.normal(0, 1.0 - better, size=len(blocks))
    labels = (truth + shift[blocks] + rng.normal(0, 0.7, size=len(blocks)) > 0).astype(int)
    scores = 1 / (1 + np.exp(-(truth + noise)))
    found = rows_of("binary", labels=labels, scores=scores)
    if found is None:
        raise ValueError("no rows")
    return found


def trial(metric: str, *, rng: np.random.Generator, by_user: bool, better: float, per_block: int) -> dict[str, bool]:
    """Whether each way of looking names a winner in one A/B."""
    n_blocks = EVERY * N_WINDOWS
    named = dict.fromkeys(WAYS, False)
    sides = []
    shared = rng.normal(0, 0.3, size=n_blocks)
    for arm in (0, 1):
        sizes = rng.poisson(per_block * rng.uniform(0.5, 1.5, size=n_blocks)) + 2
        days = np.repeat(np.arange(n_blocks), sizes)
        users = rng.integers(0, 400, size=len(days)) + 400 * arm
        of_user = rng.normal(0, 0.5, size=800)
        sides.append((days, users, drawn(rng, users, of_user, 0.0, better * arm) if by_user else
                      drawn(rng, days, shared, 0.15, better * arm)))  # fmt: skip
    for window in range(2, N_WINDOWS + 1):
        seen = [(days < EVERY * window, users if by_user else days, rows) for days, users, rows in sides]
        old, new = (rows.take(np.flatnonzero(within)) for within, _, rows in seen)
        codes = tuple(blocks[within] for within, blocks, _ in seen)
        found = difference_of_arms(
            METRICS["binary"][metric], old, new, (codes[0], codes[1]), rng=rng, demands=Demands(confidence=1 - ALPHA)
        )
        named["once"] = _names(found)
        named["repeated"] |= named["once"]
        named["at every look"] |= _names(at_every_look(found, alpha=ALPHA, effect=EFFECT))
    return named


def _names(found: Estimate) -> bool:
    return found.interval is not None and not found.interval.low <= 0 <= found.interval.high


def breached(rng: np.random.Generator, per_minute: int, n_minutes: int) -> bool:
    """Whether a canary that is as good as its baseline is ever taken back: errors, times, scores, 10 features."""
    at, later = datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 1, 2, tzinfo=UTC)
    edges, cells = len(LATENCY_S) + 1, len(score_edges("binary")) + 1
    latency, scores = (np.exp(-0.5 * ((np.arange(n) - middle) / 4) ** 2) for n, middle in ((edges, 20), (cells, 28)))
    arms = {
        name: ArmFigures(version=version, arm=name, since=at, until=later, latency=(0,) * edges, scores=(0,) * cells)
        for name, version in (("canary", "8"), ("baseline/8", "7"))
    }
    for _ in range(n_minutes):
        for name, before in arms.items():
            drawn = replace(
                before,
                requests=per_minute,
                errors=int(rng.binomial(per_minute, 0.002)),
                rows=per_minute,
                rows_squared=per_minute,
                latency=tuple(rng.multinomial(per_minute, latency / latency.sum()).tolist()),
                scores=tuple(rng.multinomial(per_minute, scores / scores.sum()).tolist()),
                missing={f"x{place}": int(rng.binomial(per_minute, 0.05)) for place in range(10)},
            )
            arms[name] = before.merge(drawn)
        if breaches(judge(arms["canary"], [arms["baseline/8"]], Guards(), model="m")):
            return True
    return False


def canaries(repetitions: int, seed: int) -> None:
    """One line for each speed."""
    sys.stdout.write("| requests a minute, each arm | minutes | canaries taken back by chance |\n|---|---|---|\n")
    for per_minute, n_minutes in ((1, 600), (10, 240), (100, 120)):
        rng = np.random.default_rng(seed)
        share = np.mean([breached(rng, per_minute, n_minutes) for _ in range(repetitions)])
        sys.stdout.write(f"| {per_minute} | {n_minutes} | {share:.1%} |\n")
        sys.stdout.flush()


def refused(
    rng: np.random.Generator, way: str, *, declared: float, lost: float, alpha: float = ALPHA_OF_SHARES
) -> bool:
    """Whether the share of the challenger ever lies surely apart from ``declared``, after each of four weeks.

    Some 400 requests a day: of one row, of up to 80 rows; or of one of 2,000 users, one in a hundred of whom asks fifty
    times as often, with an arm for good: blocks are then days, or users.
    """
    n_days, n_windows, n_users = 28, 4, 2000
    n_requests = rng.poisson(400 * rng.uniform(0.5, 1.5, size=n_days))
    days = np.repeat(np.arange(n_days), n_requests)
    sizes = rng.integers(1, 81, size=len(days)) if way == "requests of many rows" else np.ones(len(days), int)
    weights = np.where(rng.random(n_users) < 0.01, 50.0, 1.0)
    users = rng.choice(n_users, size=len(days), p=weights / weights.sum())
    is_own = rng.random(len(days)) < declared if "users" not in way else (rng.random(n_users) < declared)[users]
    sizes = sizes * ~(is_own & (rng.random(len(days)) < lost))
    blocks = users if way == "users, by users" else days
    demands = Demands(confidence=1 - alpha / (2 * n_windows))
    for window in range(1, n_windows + 1):
        within = days < window * n_days // n_windows
        both = np.bincount(blocks[within], weights=sizes[within])
        own = np.bincount(blocks[within], weights=(sizes * is_own)[within])
        seen = share_of_arm(own.astype(np.int64), both.astype(np.int64), declared, demands=demands).interval
        if seen is not None and not seen.low <= declared <= seen.high:
            return True
    return False


def sizes(repetitions: int, seed: int) -> None:
    """One line for each way of asking, at a larger alpha than the default, so that its share can be counted."""
    sys.stdout.write("| who asks | share | refused at 0.001 | at 0.05 | with 5 % lost, at 0.001 | 20 % lost |\n")
    sys.stdout.write(f"|{'---|' * 6}\n")
    for way, declared in (
        ("requests of one row", 0.5), ("requests of one row", 0.1), ("requests of many rows", 0.5),
        ("users, by users", 0.5), ("users, by days", 0.5),
    ):  # fmt: skip
        rng, found = np.random.default_rng(seed), []
        for lost, alpha in ((0.0, ALPHA_OF_SHARES), (0.0, ALPHA), (0.05, ALPHA_OF_SHARES), (0.2, ALPHA_OF_SHARES)):
            n_times = repetitions if lost == 0 else repetitions // 10
            drawn = (refused(rng, way, declared=declared, lost=lost, alpha=alpha) for _ in range(n_times))
            found.append(f"{np.mean(list(drawn)):.2%}")
        sys.stdout.write(f"| {way} | {declared:.0%} | {' | '.join(found)} |\n")
        sys.stdout.flush()


def main() -> None:
    """The table, line by line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--canaries", action="store_true", help="the guards of a canary in place of an A/B")
    parser.add_argument("--shares", action="store_true", help="how large the arms are in place of how good")
    given = parser.parse_args()
    if given.shares:
        sizes(given.repetitions, given.seed)
        return
    if given.canaries:
        canaries(given.repetitions, given.seed)
        return
    sys.stdout.write(f"| metric | blocks | better by | {' | '.join(WAYS)} |\n|{'---|' * (3 + len(WAYS))}\n")
    for metric, by_user, better in (
        ("roc_auc", False, 0.0), ("accuracy", False, 0.0), ("log_loss", False, 0.0), ("roc_auc", True, 0.0),
        ("roc_auc", False, 0.15),
    ):  # fmt: skip
        rng = np.random.default_rng(given.seed)
        found = [trial(metric, rng=rng, by_user=by_user, better=better, per_block=40) for _ in range(given.repetitions)]
        shares = [np.mean([one[way] for one in found]) for way in WAYS]
        words = " | ".join(f"{share:.1%}" for share in shares)
        sys.stdout.write(f"| `{metric}` | {'users' if by_user else 'days'} | {better:g} | {words} |\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
