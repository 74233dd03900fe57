"""Intervals by blocks: against published values, other people's code, the plain definition, and the laws they keep."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from perennial.contracts import Estimate, from_record, to_record
from perennial.statistics.blocks import blocks_of_entities, blocks_of_times, clustered_error, resamples
from perennial.statistics.intervals import Demands, estimate, paired_difference
from perennial.statistics.metrics import METRICS, Metric
from perennial.statistics.rows import Rows, Task, rows_of

BINARY = METRICS["binary"]
EVERY = [metric for metrics in METRICS.values() for metric in metrics.values()]
SMOOTH = [metric for metric in EVERY if metric.influence is not None]


def name_of(metric: Metric) -> str:
    return f"{metric.task}-{metric.name}"


def rng() -> np.random.Generator:
    return np.random.default_rng(11)


def drawn(task: Task, n_rows: int, *, seed: int = 5, skill: float = 1.0) -> Rows:
    """Rows that a model of some skill answered for; the truth depends on the seed and the task alone."""
    chance = np.random.default_rng(seed)
    hidden, noise = chance.normal(size=n_rows), chance.normal(size=n_rows)
    answer = hidden + np.random.default_rng(round(skill * 1000)).normal(size=n_rows) / skill
    names = np.array(["a", "b", "c"])
    return {
        "binary": lambda: rows_of(task, labels=hidden + noise > 0, scores=np.round(1 / (1 + np.exp(-answer)), 2)),
        "regression": lambda: rows_of(task, labels=hidden + noise + 20, scores=answer + 20 + 0.5 / skill),
        "multiclass": lambda: rows_of(
            task,
            labels=names[np.digitize(hidden + noise, [-0.5, 1.0])],
            scores=0.8 + 0.05 * np.tanh(answer),
            predicted=names[np.digitize(answer, [-0.5, 1.0])],
        ),
    }[task]() or pytest.fail("no rows")


def naive_auc(rows: Rows) -> tuple[float, NDArray[np.float64]]:
    """AUC and the influence of each row by all pairs, as DeLong et al. (1988) write it down."""
    positive = rows.truth == 1
    wins = np.sign(rows.scores[positive][:, None] - rows.scores[~positive][None, :]) / 2 + 0.5
    psi = np.empty(len(positive))
    psi[positive] = (wins.mean(axis=1) - wins.mean()) / positive.sum()
    psi[~positive] = (wins.mean(axis=0) - wins.mean()) / (~positive).sum()
    return float(wins.mean()), psi


def test_the_influence_on_the_auc_is_that_of_all_pairs_with_ties() -> None:
    rows = drawn("binary", 300)
    assert len(np.unique(rows.scores)) < 100
    area, psi = naive_auc(rows)
    assert BINARY["roc_auc"].influence is not None
    np.testing.assert_allclose(BINARY["roc_auc"].influence(rows), psi, atol=1e-15)
    assert BINARY["roc_auc"].function(rows) == pytest.approx(area, abs=1e-12)


def test_with_a_row_a_block_the_auc_has_delongs_variance() -> None:
    """DeLong: S10 / m + S01 / n, each with its own degrees of freedom; ours has one G / (G - 1) for both."""
    rows = drawn("binary", 4000)
    _, psi = naive_auc(rows)
    m, n = int(rows.truth.sum()), int((1 - rows.truth).sum())
    s10, s01 = (np.var(psi[rows.truth == label] * size, ddof=1) for label, size in ((1, m), (0, n)))
    ours = estimate(BINARY["roc_auc"], rows, np.arange(4000), rng=rng()).interval.standard_error
    assert ours == pytest.approx(np.sqrt(s10 / m + s01 / n), rel=3e-4)


def test_the_auc_of_hanley_and_mcneil_has_its_published_standard_error() -> None:
    """109 images in five ratings (Radiology 143, 1982): 0.8932, by DeLong 0.0307, as Stata's ``roctab`` prints them."""
    counts = [[33, 6, 6, 11, 2], [3, 2, 2, 11, 33]]
    ratings = np.concatenate([np.repeat(np.arange(1.0, 6.0), row) for row in counts])
    rows = Rows(np.repeat([0, 1], [58, 51]), ratings, ratings)
    found = estimate(BINARY["roc_auc"], rows, np.arange(109), rng=rng())
    assert found.value == pytest.approx(0.8932, abs=5e-5)
    _, psi = naive_auc(rows)
    published = sum(np.var(psi[rows.truth == label] * size, ddof=1) / size for label, size in ((0, 58), (1, 51)))
    assert round(float(np.sqrt(published)), 4) == 0.0307
    assert found.interval.standard_error == pytest.approx(np.sqrt(published), rel=0.01)


def test_accuracy_with_a_row_a_block_has_the_interval_of_the_t_test() -> None:
    rows = drawn("binary", 200)
    found = estimate(BINARY["accuracy"], rows, np.arange(200), rng=rng())
    expected = stats.ttest_1samp((rows.truth == rows.predicted).astype(float), 0).confidence_interval(0.95)
    assert (found.interval.low, found.interval.high) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_equal_blocks_have_the_interval_of_the_t_test_on_their_means() -> None:
    """A mean over blocks of equal size is the mean of their means: the t test on G figures, not on n rows."""
    rows, blocks = drawn("regression", 240), np.repeat(np.arange(12), 20)
    found = estimate(METRICS["regression"]["mae"], rows, blocks, rng=rng(), demands=Demands(confidence=0.9))
    means = np.abs(rows.truth - rows.scores).reshape(12, 20).mean(axis=1)
    expected = stats.ttest_1samp(means, 0).confidence_interval(0.9)
    assert (found.interval.low, found.interval.high) == pytest.approx((expected.low, expected.high), abs=1e-12)
    assert (found.interval.n_rows, found.interval.n_blocks, found.interval.confidence) == (240, 12, 0.9)


def test_a_paired_difference_has_the_interval_of_the_paired_t_test() -> None:
    old, new = (drawn("regression", 240, skill=skill) for skill in (0.5, 1.0))
    found = paired_difference(METRICS["regression"]["mae"], old, new, np.repeat(np.arange(12), 20), rng=rng())
    means = [np.abs(side.truth - side.scores).reshape(12, 20).mean(axis=1) for side in (old, new)]
    expected = stats.ttest_rel(*means).confidence_interval(0.95)
    assert (found.interval.low, found.interval.high) == pytest.approx((expected.low, expected.high), abs=1e-12)


@pytest.mark.parametrize("metric", SMOOTH, ids=name_of)
def test_an_influence_is_the_derivative_of_its_metric(metric: Metric) -> None:
    """Leaving a row out moves the metric by about minus its influence: n / (n - 1) psi."""
    rows, n_rows = drawn(metric.task, 600), 600
    assert metric.influence is not None
    psi = metric.influence(rows)
    assert psi.sum() == pytest.approx(0, abs=1e-12)
    whole = metric.function(rows)
    assert whole is not None
    for left_out in range(0, n_rows, 29):
        rest = metric.function(rows.take(np.delete(np.arange(n_rows), left_out)))
        assert rest is not None
        assert whole - rest == pytest.approx(psi[left_out], abs=0.02 * float(np.abs(psi).max()))


@pytest.mark.parametrize(
    ("task", "name"), [("binary", "roc_auc"), ("binary", "pr_auc"), ("multiclass", "f1_weighted"), ("regression", "r2")]
)
def test_influences_and_resampled_blocks_agree(task: Task, name: str) -> None:
    metric, rows, blocks = METRICS[task][name], drawn(task, 2000), np.arange(2000) % 40
    demands = Demands(n_resamples=300)
    by_influence = estimate(metric, rows, blocks, rng=rng(), demands=demands)
    by_resampling = estimate(replace(metric, influence=None), rows, blocks, rng=rng(), demands=demands)
    assert by_influence.value == by_resampling.value
    assert by_influence.interval.standard_error == pytest.approx(by_resampling.interval.standard_error, rel=0.15)


def test_resampled_blocks_have_the_same_factor_for_few_of_them() -> None:
    """Ten blocks: without G / (G - 1) the error is 5 % too small."""
    rows, blocks = drawn("regression", 50), np.arange(50) % 10
    mean = replace(METRICS["regression"]["mae"], function=lambda some: float(abs(some.truth - some.scores).mean()))
    by_influence = estimate(mean, rows, blocks, rng=rng())
    demands = Demands(n_resamples=4000)
    by_resampling = estimate(replace(mean, influence=None), rows, blocks, rng=rng(), demands=demands)
    assert by_resampling.interval.standard_error == pytest.approx(by_influence.interval.standard_error, rel=0.03)


@pytest.mark.parametrize("metric", EVERY, ids=name_of)
def test_every_metric_has_an_interval_and_a_paired_difference(metric: Metric) -> None:
    old, new = (drawn(metric.task, 600, skill=skill) for skill in (0.3, 2.0))
    blocks = np.arange(600) % 30
    demands = Demands(n_resamples=100)
    one = estimate(metric, new, blocks, rng=rng(), demands=demands)
    assert one.value == metric.function(new)
    assert one.problem == ""
    better = paired_difference(metric, old, new, blocks, rng=rng(), demands=demands)
    assert better.interval.low is not None
    assert better.interval.low > 0, "more skill is better, whichever way the metric points"
    worse = paired_difference(metric, new, old, blocks, rng=rng(), demands=demands)
    assert (worse.value, worse.interval.low, worse.interval.high) == pytest.approx(
        (-(better.value or 0), -(better.interval.high or 0), -better.interval.low), abs=1e-12
    )


@settings(max_examples=20)
@given(st.permutations(range(60)))
def test_row_order_never_matters(order: list[int]) -> None:
    rows, blocks = drawn("binary", 60), np.arange(60) // 5
    demands = Demands(min_per_class=2, min_blocks=5, n_resamples=5)
    for metric in (BINARY["roc_auc"], BINARY["f1"], BINARY["pr_auc"]):
        straight = estimate(metric, rows, blocks, rng=rng(), demands=demands)
        turned = estimate(metric, rows.take(np.array(order)), blocks[order], rng=rng(), demands=demands)
        assert turned.value == pytest.approx(straight.value, abs=1e-9)
        for figure in ("low", "high", "standard_error"):
            assert getattr(turned.interval, figure) == pytest.approx(getattr(straight.interval, figure), abs=1e-9)


@pytest.mark.parametrize("metric", SMOOTH, ids=name_of)
def test_rows_said_twice_in_their_block_tell_nothing_new(metric: Metric) -> None:
    rows, blocks = drawn(metric.task, 400), np.arange(400) % 20
    once = estimate(metric, rows, blocks, rng=rng())
    twice = estimate(metric, rows.take(np.tile(np.arange(400), 2)), np.tile(blocks, 2), rng=rng())
    assert twice.interval.standard_error == pytest.approx(once.interval.standard_error)
    assert (twice.interval.n_rows, twice.interval.n_blocks) == (800, 20)


@pytest.mark.parametrize("metric", SMOOTH, ids=name_of)
def test_as_many_blocks_again_halve_the_variance(metric: Metric) -> None:
    rows, blocks = drawn(metric.task, 400), np.arange(400) % 20
    once = estimate(metric, rows, blocks, rng=rng()).interval.standard_error
    again = np.concatenate([blocks, blocks + 20])
    twice = estimate(metric, rows.take(np.tile(np.arange(400), 2)), again, rng=rng()).interval.standard_error
    assert once is not None
    assert twice is not None
    assert (once / twice) ** 2 == pytest.approx(2 * (20 / 19) / (40 / 39))


@given(st.integers(2, 40), st.integers(0, 10_000))
def test_the_numbers_of_the_blocks_do_not_matter(n_blocks: int, seed: int) -> None:
    chance = np.random.default_rng(seed)
    blocks, psi = np.arange(3 * n_blocks) % n_blocks, chance.normal(size=3 * n_blocks)
    others = 2 * chance.permutation(n_blocks)[blocks] + 5
    assert clustered_error(psi, others) == pytest.approx(clustered_error(psi, blocks))


def test_what_has_no_interval_says_why() -> None:
    rows, auc = drawn("binary", 200), BINARY["roc_auc"]
    few = estimate(auc, rows, np.arange(200) % 9, rng=rng())
    assert (few.value, few.interval, few.problem) == (auc.function(rows), None, "9 blocks; an interval needs 10")
    rare = replace_truth(rows, np.arange(200) < 9)
    assert estimate(auc, rare, np.arange(200) % 20, rng=rng()).problem == "9 rows of class 1; an interval needs 10"
    bunched = replace_truth(rows, np.arange(200) < 30)
    assert "class 1 occurs in 3 of 20 blocks" in estimate(auc, bunched, np.arange(200) // 10, rng=rng()).problem
    assert estimate(BINARY["accuracy"], rare, np.arange(200) % 20, rng=rng()).problem == ""
    one_class = replace_truth(rows, np.ones(200, bool))
    gone = estimate(auc, one_class, np.arange(200) % 20, rng=rng())
    assert (gone.value, gone.problem) == (None, "roc_auc does not exist on these rows")
    assert estimate(auc, None, np.arange(200) % 20, rng=rng()).value is None


@pytest.mark.parametrize("metric", EVERY, ids=name_of)
def test_two_that_answer_alike_differ_by_nothing(metric: Metric) -> None:
    rows = drawn(metric.task, 200)
    found = paired_difference(metric, rows, rows, np.arange(200) % 20, rng=rng(), demands=Demands(n_resamples=20))
    assert (found.value, found.interval.low, found.interval.high) == (0, 0, 0)


@pytest.mark.parametrize("name", ["accuracy", "recall", "roc_auc", "pr_auc", "f1"])
def test_a_perfect_score_is_no_surer_than_its_blocks(name: str) -> None:
    """No spread was seen; that less than perfect blocks exist is likely enough: 0.025 ** (1 / 14) of them may be."""
    truth, blocks = np.tile([0, 1], 140), np.repeat(np.arange(14), 20)
    rows = rows_of("binary", labels=truth, scores=0.2 + 0.6 * truth)
    found = estimate(BINARY[name], rows, blocks, rng=rng(), demands=Demands(n_resamples=20))
    assert (found.value, found.interval.high) == (1.0, 1.0)
    assert found.interval.low == pytest.approx(0.025 ** (1 / 14))
    constant = estimate(BINARY["roc_auc"], rows_of("binary", labels=truth, scores=0.3 + 0 * truth), blocks, rng=rng())
    assert (constant.interval.low, constant.interval.high) == (0.5, 0.5)


def test_a_metric_that_is_missing_on_resamples_has_no_interval() -> None:
    rows = drawn("binary", 200)
    flaky = replace(
        BINARY["pr_auc"], influence=None, function=lambda some: 0.5 if some.truth.mean() <= rows.truth.mean() else None
    )
    found = estimate(flaky, rows, np.arange(200) % 20, rng=rng())
    assert found.value == 0.5
    assert "does not exist on" in found.problem


def test_an_interval_ends_where_the_values_of_the_metric_end() -> None:
    rows = drawn("binary", 60, skill=5.0)
    found = estimate(BINARY["roc_auc"], rows, np.arange(60) % 10, rng=rng(), demands=Demands(confidence=0.9999))
    assert found.interval.high == 1.0


def test_blocks_of_hours_and_of_entities() -> None:
    times = np.array(["2013-01-02T01:00", "2013-01-01T00:00", "2013-01-02T01:59:59.999999"], "datetime64[us]")
    assert blocks_of_times(times, timedelta(hours=1)).tolist() == [1, 0, 1]
    assert blocks_of_times(
        np.array(["1969-12-31T23:00", "1970-01-01T01:00"], "M8[us]"), timedelta(days=1)
    ).tolist() == [0, 1]
    assert blocks_of_entities(np.array([7, 3, 7])).tolist() == [1, 0, 1]
    assert blocks_of_entities(np.array([np.nan, 3.0])).tolist() == [0, 1]
    with pytest.raises(ValueError, match="1 of 2 events"):
        blocks_of_times(np.array(["NaT", "2013-01-01"], "M8[us]"), timedelta(days=1))
    with pytest.raises(ValueError, match="not longer than zero"):
        blocks_of_times(times, timedelta(0))


def test_resamples_hold_whole_blocks() -> None:
    blocks = np.array([4, 0, 4, 2, 2, 2])
    for places in resamples(blocks, 50, rng()):
        counts = np.bincount(places, minlength=6)
        for block in (0, 2, 4):
            assert len(set(counts[blocks == block])) == 1
        assert sum(counts[blocks == block][0] for block in (0, 2, 4)) == 3


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda rows: estimate(BINARY["f1"], rows, np.arange(3), rng=rng()), "3 blocks for 60 rows"),
        (lambda rows: paired_difference(BINARY["f1"], rows, flipped(rows), np.arange(60), rng=rng()), "truth differs"),
        (lambda _: Demands(confidence=1.0), "confidence"),
        (lambda _: Demands(min_blocks=1), "two blocks"),
        (lambda _: Demands(n_resamples=1), "two resamples"),
    ],
)
def test_wrong_arguments_are_refused(wrong: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        wrong(drawn("binary", 60))


def test_an_estimate_is_a_record_that_holds_no_nan() -> None:
    found = estimate(BINARY["roc_auc"], drawn("binary", 200), np.arange(200) % 20, rng=rng())
    assert from_record(Estimate, to_record(found)) == found
    with pytest.raises(ValueError, match="no value of an estimate"):
        replace(found, value=float("nan"))
    with pytest.raises(ValueError, match="or the problem"):
        replace(found, problem="late")
    with pytest.raises(ValueError, match="or the problem"):
        replace(found, value=None)


def replace_truth(rows: Rows, positive: NDArray[np.bool_]) -> Rows:
    return replace(rows, truth=positive.astype(np.int8))


def flipped(rows: Rows) -> Rows:
    return replace(rows, truth=1 - rows.truth)
