"""The gate on the last windows: what is lost in one of them is stopped, and what can not be judged is no pass."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from branches import reached, reaches
from logs import day
from perennial.config import ModelConfig, load_model
from perennial.contracts import Estimate, Evaluation, Gate, SliceGain, SliceGains, Window, from_record, to_record
from perennial.evidence.answers import Answers
from perennial.evidence.stretches import Labelled, labelled_windows
from perennial.signoff.conditions.windows import window_gate, window_gates
from perennial.statistics.intervals import around
from perennial.training.baseline import Rival, against_champion
from perennial.training.measured.windows import window_gains

TUMOUR = load_model(Path(__file__).parents[1] / "models" / "tumour_malignant")
N_DAYS, N_A_DAY, N_BLOCKS = 4, 1440, 12
N_ROWS = N_DAYS * N_A_DAY
RNG = np.random.default_rng(11)
HIDDEN = RNG.normal(size=N_ROWS)
LABELS = (RNG.random(N_ROWS) < 1 / (1 + np.exp(-2 * HIDDEN))).astype(np.int64)
DAY = np.arange(N_ROWS) // N_A_DAY
STEP = np.timedelta64(86_400 // N_A_DAY * 1_000_000, "us")
TIMES = np.datetime64("2024-01-01", "us") + np.arange(N_ROWS) * STEP
WINDOWS = tuple(Labelled(stretch=day(n), n_rows=N_A_DAY, n_labelled=N_A_DAY) for n in range(N_DAYS))


def declared(**windows: Any) -> ModelConfig:
    whole = TUMOUR.model_dump()
    whole["signoff"]["windows"] = {"last": N_DAYS, **windows}
    whole["training"]["holdout"] = timedelta(days=N_DAYS)
    return ModelConfig.model_validate(whole)


CONFIG = declared()


def answers(noise: np.ndarray | float) -> Answers:
    """Scores of a model that sees what is hidden through so much ``noise``, shape (n,) or one for all."""
    seen = HIDDEN + noise * np.random.default_rng(5).normal(size=N_ROWS)
    blocks = np.arange(N_ROWS) * N_BLOCKS * N_DAYS // N_ROWS
    return Answers(labels=LABELS, scores=1 / (1 + np.exp(-2 * seen)), times=TIMES, blocks=blocks)


def judged(
    config: ModelConfig, mine: Answers, theirs: Answers, windows: tuple[Labelled, ...] = WINDOWS
) -> tuple[Gate, SliceGains]:
    found = window_gains(config, windows, against_champion(config, "1", mine, theirs))
    return window_gate(config, found), found


def of(*gains: Estimate) -> SliceGains:
    return SliceGains(slices=tuple(SliceGain(name=f"day {n}", n_rows=900, gain=one) for n, one in enumerate(gains)))


def gain(value: float, error: float = 0.01) -> Estimate:
    return Estimate(value=value, interval=around(value, error, 900, 14, 0.95))


def test_a_candidate_better_over_all_and_lost_in_one_window_is_stopped_and_told_which() -> None:
    mine, theirs = answers(np.where(DAY == 2, 2.0, 0.2)), answers(1.0)
    assert mine.gain_over(theirs, CONFIG, "roc_auc").value > 0.02, "it is better over all"
    gate, _ = judged(CONFIG, mine, theirs)
    assert (gate.name, gate.passed) == ("windows/roc_auc", False)
    assert gate.detail.startswith("2024-01-03 00:00 to 2024-01-04 00:00 (1440 rows): a gain of roc_auc of -0.")
    assert gate.detail.endswith(
        "none of the last 4 windows may lose more than 0.05, and 1 of them lose: at most 50% may"
    )
    assert gate.interval is not None
    assert judged(CONFIG, answers(0.2), theirs)[0].passed


def test_a_window_is_judged_on_its_own_rows_and_no_others() -> None:
    mine, theirs = answers(0.2), answers(1.0)
    _, found = judged(CONFIG, mine, theirs)
    assert [one.n_rows for one in found.slices] == [N_A_DAY] * N_DAYS
    inside = DAY == 1
    alone = mine.rows(inside).gain_over(theirs.rows(inside), CONFIG, "roc_auc")
    assert found.slices[1].gain == alone
    late = np.datetime64("2024-01-02T12:00", "us") <= TIMES
    partly = window_gains(CONFIG, WINDOWS, against_champion(CONFIG, "1", mine.rows(late), theirs.rows(late)))
    assert [one.n_rows for one in partly.slices] == [0, 720, N_A_DAY, N_A_DAY], "the others were fitted on"
    gate = window_gate(CONFIG, partly)
    assert not gate.passed
    assert "0 of its 1440 labelled rows are new to both, 300 are needed" in gate.detail
    assert "1 can not be judged (2024-01-01 00:00 to 2024-01-02 00:00)" in gate.detail


def test_windows_of_one_class_have_no_ranking_and_do_not_pass() -> None:
    mine, theirs = answers(0.2), answers(1.0)
    labels = np.where(DAY == 3, 0, LABELS)
    gate, _ = judged(CONFIG, replace(mine, labels=labels), replace(theirs, labels=labels))
    assert (gate.passed, gate.value) == (False, None)
    assert "2024-01-04 00:00 to 2024-01-05 00:00 (1440 rows): a gain of roc_auc of unknown" in gate.detail
    by_brier, _ = judged(declared(metric="brier"), replace(mine, labels=labels), replace(theirs, labels=labels))
    assert (by_brier.name, by_brier.value is not None) == ("windows/brier", True)


def test_fewer_windows_than_asked_for_and_none_at_all_do_not_pass() -> None:
    mine, theirs = answers(0.2), answers(1.0)
    gate, _ = judged(CONFIG, mine, theirs, WINDOWS[1:])
    assert not gate.passed
    assert gate.detail.startswith("3 of the 4 windows asked for can be judged")
    assert "has its labels in" in judged(CONFIG, mine, theirs, ())[0].detail
    lost = Rival(baseline="1", n_rows=0, candidate={}, metrics={}, problem="champion 1 was deleted")
    assert window_gate(CONFIG, window_gains(CONFIG, WINDOWS, lost)).detail == "champion 1 was deleted"


def test_more_losing_windows_than_the_share_allows_fail_though_none_is_surely_lost() -> None:
    slight = of(gain(0.05), gain(-0.002), gain(-0.001), gain(0.03))
    assert window_gate(CONFIG, slight).passed, "half of them may"
    assert not window_gate(declared(max_share_worse=0.4), slight).passed
    assert not window_gate(CONFIG, of(gain(0.05), gain(-0.002), gain(-0.001), gain(-0.03))).passed


def test_windows_of_equal_models_seldom_fail_however_many_there_are() -> None:
    """Ten windows; each by its own 95 % would lose one in 40 % of the signoffs, for at this margin chance does."""
    rng, config, n_failed = np.random.default_rng(3), declared(max_loss=0.0001, max_share_worse=1.0), 0
    for _ in range(200):
        n_failed += not window_gate(config, of(*(gain(value) for value in rng.normal(0, 0.01, 10)))).passed
    assert n_failed <= 20, "5 % of 200 are 10; one time in 500 chance gives more than 20"


def test_a_window_that_could_have_been_lost_unseen_is_borderline() -> None:
    gate = window_gate(CONFIG, of(gain(0.03), gain(0.02), gain(0.02), gain(-0.01, 0.04)))
    assert (gate.passed, gate.borderline) == (True, True)
    assert "these rows show differences from" in gate.detail
    clear = window_gate(CONFIG, of(*[gain(0.03)] * 4))
    assert (clear.passed, clear.borderline) == (True, False)


@reaches(passes=0.1)
@given(
    values=st.lists(st.floats(-0.2, 0.2), min_size=4, max_size=4),
    place=st.integers(0, 3),
    more=st.floats(0, 0.2),
)
def test_a_larger_gain_in_one_window_never_fails_what_passed(values: list[float], place: int, more: float) -> None:
    if reached("passes", window_gate(CONFIG, of(*map(gain, values))).passed):
        values[place] += more
        assert window_gate(CONFIG, of(*map(gain, values))).passed


def test_an_evaluation_of_before_windows_were_measured_is_read_and_does_not_pass() -> None:
    whole = Evaluation(
        model=TUMOUR.model,
        mlflow_run_id="run",
        n_rows=9,
        label_coverage=1.0,
        candidate={},
        baseline="1",
        baseline_metrics={},
        n_paired_rows=9,
        windows=of(gain(0.1)),
    )
    assert from_record(Evaluation, to_record(whole)) == whole
    record = to_record(whole)
    del record["windows"]
    (gate,) = window_gates(CONFIG, from_record(Evaluation, record))
    assert (gate.passed, gate.detail[:12]) == (False, "not measured")
    (waived,) = window_gates(CONFIG, replace(whole, champion_lost=True), waived_by="ada: it was deleted")
    assert (waived.passed, waived.waived) == (True, "ada: it was deleted")
    assert not next(window_gates(CONFIG, replace(whole, windows=None), waived_by="ada")).passed, "it can be scored"
    assert list(window_gates(TUMOUR, whole)) == []


def test_the_newest_windows_with_their_labels_in_that_the_holdout_reaches_into() -> None:
    asked: list[Window] = []

    def count(window: Window) -> Labelled:
        asked.append(window)
        return Labelled(stretch=window, n_rows=10, n_labelled=5 if window == day(9) else 9)

    holdout = Window(start=day(5).start + timedelta(hours=18), end=day(9).start + timedelta(hours=18))
    found = labelled_windows(declared(last=2), holdout, day(9).end, count=count)
    assert [one.stretch for one in found] == [day(7), day(8)], "day 9 waits for its labels"
    assert asked == [day(9), day(8), day(7)], "and no more rows are counted than needed"
    every = labelled_windows(declared(last=5), holdout, day(9).end, count=count)
    assert [one.stretch for one in every] == [day(5), day(6), day(7), day(8)], "the holdout reaches no further"
    old = Window(start=day(4).start, end=day(6).end)
    after = labelled_windows(declared(last=2), old, day(9).end, count=count)
    assert [one.stretch for one in after] == [day(5), day(6)], "what lies after it holds no row of it"
    assert labelled_windows(TUMOUR, holdout, day(9).end, count=count) == ()


@pytest.mark.parametrize(
    ("windows", "word"),
    [
        ({"last": 6}, "signoff.windows.last = 6: training.holdout reaches into 5 windows at most"),
        ({"metric": "rmse"}, "rmse"),
        ({"metric": "log_loss"}, "signoff.windows.max_loss: log_loss has a unit of its own"),
        ({"last": 0}, "last"),
    ],
)
def test_windows_that_can_not_be_judged_are_refused(windows: dict[str, Any], word: str) -> None:
    with pytest.raises(ValidationError, match=word):
        declared(**windows)


def test_windows_without_enough_blocks_and_those_of_a_cron_are_refused() -> None:
    whole = CONFIG.model_dump()
    whole["signals"]["uncertainty"] |= {"block": timedelta(hours=6)}
    with pytest.raises(ValidationError, match="a window holds 4 blocks, and an interval needs 5"):
        ModelConfig.model_validate(whole)
    whole = CONFIG.model_dump()
    whole["schedule"] = {"cron": "0 0 * * *", "start": whole["schedule"]["start"]}
    with pytest.raises(ValidationError, match="the windows of a cron schedule are not known beforehand"):
        ModelConfig.model_validate(whole)
