"""Performance without labels: right where nothing but the rows changed, and a surprise where labels did."""

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from logs import day
from monitored import log_of, reference_of, rows_of
from perennial.config import ModelConfig, load_model
from perennial.contracts import Signal, Subject
from perennial.monitoring.estimates.expectation import Expectation, learn
from perennial.monitoring.estimates.signals import concept_signals, estimate_signals
from perennial.statistics.expected.estimates import DrawnTruths, concept_gap, expected, matched, surprise
from perennial.statistics.expected.truths import Unlabelled, draw, drawn_rows
from perennial.statistics.intervals import estimate
from perennial.statistics.metrics import METRICS
from perennial.statistics.rows import Rows

MODELS = Path(__file__).parents[1] / "models"
WINE, DIABETES = load_model(MODELS / "wine_cultivar"), load_model(MODELS / "diabetes_progress")
BINARY = METRICS["binary"]


def served(n_rows: int, *, seed: int, level: float = 0.0, shock: float = 0.4) -> tuple[Rows, np.ndarray]:
    """Scores that are overconfident by half, labels whose odds share a shock with their block of 100 rows."""
    chance, blocks = np.random.default_rng(seed), np.arange(n_rows) // 100
    hidden = level + chance.normal(size=n_rows) + shock * chance.normal(size=blocks.max() + 1)[blocks] * 0.2
    shocks = shock * chance.normal(size=blocks.max() + 1)[blocks]
    truth = (chance.random(n_rows) < 1 / (1 + np.exp(-hidden - shocks))).astype(np.int8)
    scores = 1 / (1 + np.exp(-1.5 * hidden))
    return Rows(truth, scores, (scores >= 0.5).astype(np.int8)), blocks


def judged(holdout: Rows, rows: Rows, blocks: np.ndarray) -> DrawnTruths:
    return DrawnTruths(rows, drawn_rows("binary", holdout, Unlabelled(rows.scores, rows.predicted)), blocks)


def like(holdout: Rows, blocks: np.ndarray, rows: Rows) -> DrawnTruths:
    """The holdout, its rows as often as there are such scores among ``rows``."""
    edges = np.quantile(holdout.scores, np.linspace(0, 1, 17)[1:-1])
    groups, theirs = (np.searchsorted(edges, side.scores) for side in (holdout, rows))
    return matched(judged(holdout, holdout, blocks), groups, theirs)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=60), st.floats(0, 0.99), st.integers(0, 99))
def test_as_many_are_drawn_as_probabilities_add_up_to_wherever_one_looks(
    chances: list[float], offset: float, seed: int
) -> None:
    probabilities = np.array(chances)
    order = np.random.default_rng(seed).permutation(len(chances))
    drawn = draw(probabilities, order, offset)
    off = np.cumsum(drawn[order]) - np.cumsum(probabilities[order])
    assert np.ptp(np.concatenate([[0.0], off])) <= 1 + 1e-9


@pytest.mark.parametrize("name", ["accuracy", "roc_auc", "log_loss", "f1", "brier", "pr_auc"])
def test_another_mix_of_rows_is_foreseen_within_its_interval(name: str) -> None:
    """The naive guess, the figure of the holdout, misses by more: rows are easier than they were."""
    holdout, blocks = served(6000, seed=1)
    window, theirs = served(6000, seed=2, level=1.2)
    found = expected(BINARY[name], like(holdout, blocks, window), judged(holdout, window, theirs).drawn, theirs)
    real = BINARY[name].function(window)
    assert found.value is not None
    assert found.interval is not None
    assert real is not None
    assert found.interval.low <= real <= found.interval.high
    if name != "roc_auc":  # which the mix leaves as it was
        assert abs(found.value - real) < abs((BINARY[name].function(holdout) or 0) - real)


def test_the_interval_holds_what_is_realised_about_as_often_as_it_says() -> None:
    inside = []
    for seed in range(120):
        holdout, blocks = served(2000, seed=2 * seed)
        window, theirs = served(1500, seed=2 * seed + 1, level=0.5)
        found = expected(
            BINARY["accuracy"], like(holdout, blocks, window), judged(holdout, window, theirs).drawn, theirs
        )
        assert found.interval is not None
        inside.append(found.interval.low <= (BINARY["accuracy"].function(window) or 0) <= found.interval.high)
    assert 0.89 <= np.mean(inside) <= 0.99


def test_on_the_holdout_itself_there_is_no_surprise_and_labels_upside_down_are_one() -> None:
    holdout, blocks = served(6000, seed=1)
    known = judged(holdout, holdout, blocks)
    for metric in BINARY.values():
        here = surprise(metric, known)
        assert abs(here.value or 1.0) < 0.02
    window, theirs = served(6000, seed=3)
    calm = concept_gap(BINARY["roc_auc"], known, judged(holdout, window, theirs))
    turned = replace(window, truth=1 - window.truth)
    loud = concept_gap(BINARY["roc_auc"], known, judged(holdout, turned, theirs))
    assert calm.interval is not None
    assert loud.interval is not None
    assert calm.interval.low <= 0 <= calm.interval.high
    assert loud.interval.low > 0.2


def test_blocks_that_differ_as_their_scores_foretell_are_no_surprise() -> None:
    """A day of easy rows moves the accuracy, and what is expected of it as much."""
    chance, blocks = np.random.default_rng(5), np.arange(6000) // 100
    hidden = chance.normal(size=6000) * np.where(blocks % 2, 0.3, 3.0)
    scores = 1 / (1 + np.exp(-hidden))
    rows = Rows((chance.random(6000) < scores).astype(np.int8), scores, (scores >= 0.5).astype(np.int8))
    plain = estimate(BINARY["accuracy"], rows, blocks, rng=chance)
    foretold = surprise(BINARY["accuracy"], judged(rows, rows, blocks))
    assert plain.interval is not None
    assert foretold.interval is not None
    assert foretold.interval.standard_error < 0.5 * plain.interval.standard_error


def test_a_metric_without_influence_has_a_value_and_says_why_it_has_no_interval() -> None:
    holdout, blocks = served(2000, seed=1)
    known = judged(holdout, holdout, blocks)
    found = expected(BINARY["ece"], known, known.drawn, blocks)
    assert (found.interval, found.problem) == (None, "of the holdout: ece has no influence function")
    few = expected(BINARY["accuracy"], replace(known, blocks=blocks % 9), known.drawn, blocks)
    assert few.problem == "of the holdout: 9 blocks; an interval needs 10"


def about(config: ModelConfig) -> Subject:
    return Subject(model=config.model, window=day(0), as_of=day(1).end, version="1")


@cache
def known_of(config_name: str) -> Expectation:
    config = {"wine": WINE, "diabetes": DIABETES}[config_name]
    found = learn(config, reference_of(config))
    assert isinstance(found, Expectation)
    return found


def by_name(found: Any) -> dict[str, Signal]:
    return {signal.name: signal for signal in found}


@pytest.mark.parametrize(("name", "config", "metric"), [("wine", WINE, "accuracy"), ("diabetes", DIABETES, "rmse")])
def test_classes_and_numbers_are_foreseen_too(name: str, config: ModelConfig, metric: str) -> None:
    rows = rows_of(config, log_of(config, 0))
    found = by_name(estimate_signals(config, about(config), rows, known=known_of(name)))[f"estimate/{metric}"]
    assert (found.status, found.role, found.threshold) == ("ok", "watch", config.signals.performance[metric].bound)
    real = config.metric(metric).function(_measured(config, rows))
    assert found.interval is not None
    assert abs((found.value or 0) - (real or 0)) < found.interval.high - found.interval.low
    gap = by_name(concept_signals(config, about(config), rows, known=known_of(name)))[f"concept/{metric}"]
    assert gap.interval is not None
    assert gap.status in ("ok", "undecided")
    assert gap.interval.low <= 0 <= gap.interval.high


def _measured(config: ModelConfig, rows: pa.Table) -> Rows:
    from perennial.evidence.answers import answers_in

    return answers_in(config, rows).measured(config) or pytest.fail("no rows")


@pytest.mark.parametrize(("name", "config", "metric"), [("wine", WINE, "accuracy"), ("diabetes", DIABETES, "rmse")])
def test_other_labels_for_the_same_scores_are_seen_by_concept_and_not_by_the_estimate(
    name: str, config: ModelConfig, metric: str
) -> None:
    frame = log_of(config, 0)
    worse = frame.assign(label="barolo") if config is WINE else frame.assign(label=frame["label"] + 150.0)
    rows = rows_of(config, worse)
    same = by_name(estimate_signals(config, about(config), rows, known=known_of(name)))
    usual = by_name(estimate_signals(config, about(config), rows_of(config, frame), known=known_of(name)))
    assert same == usual
    gap = by_name(concept_signals(config, about(config), rows, known=known_of(name)))[f"concept/{metric}"]
    assert (gap.status, gap.role) == ("breached", "watch")
    assert "worse than its scores let expect" in gap.detail


@pytest.mark.parametrize("bad", [None, np.nan])
def test_what_can_not_be_foreseen_is_unknown_and_says_why(bad: float | None) -> None:
    frame = log_of(DIABETES, 0).astype({"score": object})
    frame.loc[7, "score"] = bad
    rows = rows_of(DIABETES, frame)
    for signal in estimate_signals(DIABETES, about(DIABETES), rows, known=known_of("diabetes")):
        assert (signal.status, signal.detail) == ("unknown", "200 served rows, not two, or one has no score")
    (gone,) = estimate_signals(DIABETES, about(DIABETES), rows, known="the reference is gone")
    assert (gone.status, gone.detail) == ("unknown", "the reference is gone")
    (unseen,) = concept_signals(DIABETES, about(DIABETES), None, known=known_of("diabetes"), why="no labels")
    assert (unseen.status, unseen.detail) == ("unknown", "no labels")


def test_a_hint_may_have_no_other_role() -> None:
    told = WINE.model_dump()
    told["signals"]["estimate"] = {"role": "retrain"}
    with pytest.raises(ValidationError, match="'watch'"):
        ModelConfig.model_validate(told)
