"""Two arms on rows of their own, and an interval for whoever looks again after every block."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perennial.contracts import Estimate
from perennial.statistics.comparing.arms import difference_of_arms, share_of_arm
from perennial.statistics.intervals import Demands, around, mean, paired_difference
from perennial.statistics.metrics import METRICS
from perennial.statistics.rows import Rows, rows_of
from perennial.statistics.sequential import at_every_look

ALPHA, EFFECT = 0.05, 0.5


def excludes_zero(found: Estimate) -> bool:
    return found.interval is not None and not found.interval.low <= 0 <= found.interval.high


@given(st.integers(0, 500), st.integers(10, 90), st.sampled_from([0.05, 0.01]))
def test_the_interval_ends_where_the_averaged_likelihood_ratio_says_so(seed: int, n: int, alpha: float) -> None:
    values = np.random.default_rng(seed).normal(0.3, 1, size=n)
    found = at_every_look(mean(values, np.arange(n)), alpha=alpha, effect=EFFECT)
    if found.interval is None:
        return
    r = 1 + n * EFFECT**2
    for end in (found.interval.low, found.interval.high):
        t = (values.mean() - end) / (values.std(ddof=1) / n**0.5)
        ratio = r**-0.5 * ((1 + t**2 / (n - 1)) / (1 + t**2 / (n - 1) / r)) ** (n / 2)  # as Gönen and others have it
        assert ratio == pytest.approx(1 / alpha, rel=1e-6)
    assert found.interval.confidence == 1 - alpha


def test_equal_arms_are_seldom_told_apart_however_often_one_looks() -> None:
    """After each of 60 blocks: the interval of one look, taken again and again, tells a quarter of them apart."""
    rng, n_repeated, n_told = np.random.default_rng(3), 0, 0
    for _ in range(150):
        values = rng.normal(size=60)
        looks = [mean(values[:n], np.arange(n)) for n in range(10, 61)]
        n_repeated += any(excludes_zero(one) for one in looks)
        n_told += any(excludes_zero(at_every_look(one, alpha=ALPHA, effect=EFFECT)) for one in looks)
    assert n_told <= ALPHA * 150
    assert n_repeated > 0.15 * 150


def test_a_difference_that_is_there_is_found_and_its_direction_told() -> None:
    rng = np.random.default_rng(4)
    found = [
        at_every_look(mean(rng.normal(0.8, 1, size=60), np.arange(60)), alpha=ALPHA, effect=EFFECT) for _ in "abcdef"
    ]
    assert all(one.interval is not None and one.interval.low > 0 for one in found)


def test_without_an_interval_there_is_none_and_few_blocks_exclude_nothing() -> None:
    nothing = Estimate(value=0.2, problem="3 blocks")
    assert at_every_look(nothing, alpha=ALPHA, effect=EFFECT) == nothing
    few = at_every_look(Estimate(value=0.2, interval=around(0.2, 0.01, 90, 3, 0.95)), alpha=0.001, effect=0.1)
    assert (few.value, few.interval, few.problem) == (0.2, None, "3 blocks can not exclude any difference yet")


def arm(seed: int, n: int = 240) -> tuple[Rows, np.ndarray]:
    rng = np.random.default_rng(seed)
    blocks = np.arange(n) % 12
    truth = rng.normal(size=n)
    labels = (truth + rng.normal(size=n) > 0).astype(int)
    rows = rows_of("binary", labels=labels, scores=1 / (1 + np.exp(-truth)))
    assert rows is not None
    return rows, blocks


@pytest.mark.parametrize("metric", ["roc_auc", "accuracy", "log_loss", "ece"])
def test_on_the_very_same_rows_it_is_the_paired_difference(metric: str) -> None:
    rows, blocks = arm(1)
    other = rows_of("binary", labels=rows.truth, scores=np.clip(rows.scores + 0.1, 0, 1))
    wanted, demands = METRICS["binary"][metric], Demands(n_resamples=60)
    paired = paired_difference(wanted, rows, other, blocks, rng=np.random.default_rng(2), demands=demands)
    apart = difference_of_arms(wanted, rows, other, (blocks, blocks), rng=np.random.default_rng(2), demands=demands)
    assert paired.interval is not None
    assert apart.interval is not None
    assert apart.value == paired.value
    assert apart.interval.n_blocks == paired.interval.n_blocks
    near = 1e-9 if wanted.influence else 0.3  # other blocks are drawn
    assert apart.interval.standard_error == pytest.approx(paired.interval.standard_error, rel=near)


def test_without_a_block_in_common_the_variances_add_and_the_order_is_that_of_better() -> None:
    metric, ((old, blocks), (new, _)) = METRICS["binary"]["log_loss"], (arm(1), arm(2))
    given_rng = {"rng": np.random.default_rng(1)}
    found = difference_of_arms(metric, old, new, (blocks, blocks + 12), **given_rng)
    turned = difference_of_arms(metric, new, old, (blocks, blocks + 12), **given_rng)
    assert found.value == metric.loss(metric.function(old) or 0, metric.function(new) or 0)
    assert turned.value == -(found.value or 0)
    assert found.interval is not None
    assert metric.influence is not None
    squares = [float((np.bincount(blocks, weights=metric.influence(rows)) ** 2).sum()) for rows in (old, new)]
    assert found.interval.standard_error**2 == pytest.approx(24 / 23 * sum(squares))
    assert (found.interval.n_blocks, found.interval.n_rows) == (24, 480)


def test_each_arm_has_to_allow_an_interval_by_itself() -> None:
    metric, (rows, blocks) = METRICS["binary"]["roc_auc"], arm(1)
    few = rows.take(np.flatnonzero(blocks < 5))
    found = difference_of_arms(metric, rows, few, (blocks, blocks[blocks < 5]), rng=np.random.default_rng(1))
    assert (found.interval, found.problem) == (None, "5 blocks; an interval needs 10")
    assert difference_of_arms(metric, rows, None, (blocks, blocks), rng=np.random.default_rng(1)).value is None


def refused(n_own: np.ndarray, n_both: np.ndarray, declared: float = 0.5, alpha: float = 0.01) -> bool:
    seen = share_of_arm(n_own, n_both, declared, demands=Demands(confidence=1 - alpha)).interval
    assert seen is not None
    return not seen.low <= declared <= seen.high


def routed(seed: int, share: float, *, lost: float = 0.0, rows: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """28 days of requests of up to ``rows`` rows each, all of one arm; of the challenger's some do not arrive."""
    rng = np.random.default_rng(seed)
    own, both = np.zeros(28, np.int64), np.zeros(28, np.int64)
    for day in range(28):
        n_requests = rng.poisson(rng.uniform(100, 300))
        sizes, is_own = rng.integers(1, rows + 1, size=n_requests), rng.random(n_requests) < share
        arrived = sizes * ~(is_own & (rng.random(n_requests) < lost))
        own[day], both[day] = arrived[is_own].sum(), arrived.sum()
    return own, both


@pytest.mark.parametrize(("share", "rows"), [(0.5, 1), (0.1, 1), (0.5, 80)])
def test_arms_as_large_as_declared_are_seldom_refused_however_many_rows_a_request_has(share: float, rows: int) -> None:
    """Were rows of a request independent, a third of those with up to 80 rows would be."""
    drawn = [routed(seed, share, rows=rows) for seed in range(300)]
    assert sum(refused(*counts, share) for counts in drawn) <= 0.03 * 300
    as_rows = [abs(own.sum() / n.sum() - share) > 2.58 * (share * (1 - share) / n.sum()) ** 0.5 for own, n in drawn]
    assert (np.mean(as_rows) > 0.3) == (rows > 1)


def test_a_log_that_loses_rows_of_one_arm_is_found_and_what_one_day_lost_is_not() -> None:
    assert sum(refused(*routed(seed, 0.5, lost=0.2), alpha=0.001) for seed in range(20)) >= 17
    assert refused(np.full(28, 1_030), np.full(28, 2_000)), "too many are as bad"
    own, both = np.full(28, 1_000), np.full(28, 2_000)
    own[3], both[3] = 100, 1_100
    assert not refused(own, both), "an outage of a day tells nothing of the other days"


def test_arms_that_alternate_are_not_known_better_than_chance_would_divide_them() -> None:
    assert not refused(np.full(12, 52), np.full(12, 103), alpha=0.05), "though no block differs from another"
    empty = share_of_arm(np.zeros(0, np.int64), np.zeros(0, np.int64), 0.5)
    assert (empty.value, empty.problem) == (None, "no rows")
