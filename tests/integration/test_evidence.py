"""Evidence: the one answer to which stretch may be judged on, and which labels count."""

from dataclasses import replace
from datetime import timedelta
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from logs import day
from monitored import log_of, publish_labels, publish_predictions
from perennial.config import ModelConfig
from perennial.contracts import Hold, Lineage, ReleaseState, RetrainRequest, Window
from perennial.errors import TrainingError
from perennial.evidence.stretches import _count_each, choose_holdout, count_labelled, holdout_ends, training_rows
from perennial.store import Store
from perennial.training.snapshot import take_snapshot


@pytest.fixture
def ten_days(store: Store, wine: ModelConfig) -> ModelConfig:
    """Ten days of predictions; labels are in for all but the last two, for which every second one is."""
    for number in range(10):
        frame = log_of(wine, number, n_rows=120, seed=number)
        publish_predictions(store, wine, day(number), frame)
        publish_labels(store, wine, day(number), frame if number < 8 else frame.iloc[::2], at=day(number).start)
    return wine


def request(config: ModelConfig, number: int) -> RetrainRequest:
    return RetrainRequest(model=config.model, run_id="r", as_of=day(number).end, cause="test", requested_by="t")


@pytest.mark.parametrize("hours", [1, 6, 24, 30])
def test_the_policy_and_the_snapshot_choose_the_same_holdout(store: Store, ten_days: ModelConfig, hours: int) -> None:
    label = ten_days.label.model_copy(update={"delay": timedelta(hours=hours), "max_wait": timedelta(days=4)})
    config = ten_days.model_copy(update={"label": label})
    state = ReleaseState(model=config.model)
    counted = training_rows(config, day(9).end, state, store=store)
    frozen = take_snapshot(config, request(config, 9), store=store, state=state)
    assert (counted.n_train, counted.n_holdout) == (frozen.n_train, frozen.n_holdout)
    assert frozen.holdout.end <= day(8).start + timedelta(hours=12)
    assert frozen.holdout.end in set(holdout_ends(config, day(9).end))


def test_no_mature_stretch_is_no_rows_for_the_policy_and_an_error_for_the_snapshot(
    store: Store, wine: ModelConfig
) -> None:
    publish_predictions(store, wine, day(0), log_of(wine, 0))
    state = ReleaseState(model=wine.model)
    assert training_rows(wine, day(0).end, state, store=store).n_holdout == 0
    assert choose_holdout(wine, day(0).end, store=store).holdout is None
    with pytest.raises(TrainingError, match="no holdout of"):
        take_snapshot(wine, request(wine, 0), store=store, state=state)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.tuples(st.integers(0, 220), st.integers(1, 60)), min_size=1, max_size=6),
    st.lists(st.tuples(st.integers(0, 220), st.integers(1, 40)), max_size=2),
)
def test_counting_many_stretches_in_one_scan_is_counting_each(
    store: Store, ten_days: ModelConfig, stretches: list[tuple[int, int]], left_out: list[tuple[int, int]]
) -> None:
    def window(start_h: int, hours: int) -> Window:
        start = day(0).start + timedelta(hours=start_h)
        return Window(start=start, end=start + timedelta(hours=hours))

    wanted, excluded = [window(*one) for one in stretches], tuple(window(*one) for one in left_out)
    as_of = day(9).end
    together = _count_each(ten_days, wanted, as_of=as_of, excluded=excluded, store=store)
    alone = [count_labelled(ten_days, one, as_of=as_of, excluded=excluded, store=store) for one in wanted]
    assert together == alone


def test_rows_of_excluded_stretches_are_no_ones_evidence(store: Store, ten_days: ModelConfig) -> None:
    stretch = Window(start=day(2).start, end=day(4).start)
    hold = Hold(entry_id="h", stretch=stretch, reason="wrong", acknowledged=True, excluded=True)
    state = ReleaseState(model=ten_days.model, holds=(hold,))
    frozen = take_snapshot(ten_days, request(ten_days, 9), store=store, state=state)
    times = store.storage.read_table(frozen.train_uri, columns=["event_time"])["event_time"].to_pylist()
    assert not [time for time in times if day(2).start <= time < day(4).start]
    assert all(earlier <= later for earlier, later in pairwise(times))


def test_rows_of_excluded_stretches_are_no_news(store: Store, ten_days: ModelConfig) -> None:
    made = Lineage(train=day(0), holdout=day(1))
    state = ReleaseState(model=ten_days.model, champion="1", lineages={"1": made})
    hold = Hold(entry_id="h", stretch=Window(start=day(2).start, end=day(4).start), reason="wrong", acknowledged=True)
    kept, left_out = (replace(state, holds=(replace(hold, excluded=out),)) for out in (False, True))
    assert training_rows(ten_days, day(7).end, kept, store=store).n_new == 6 * 120
    assert training_rows(ten_days, day(7).end, left_out, store=store).n_new == 4 * 120


def test_a_label_that_arrives_at_the_very_moment_has_not_arrived(store: Store, wine: ModelConfig) -> None:
    """The one law of arrival, at every place that asks: a ``<=`` in ``arrived`` would make 100 of them count."""
    frame = log_of(wine, 0, n_rows=200)
    publish_predictions(store, wine, day(0), frame)
    publish_labels(store, wine, day(0), frame.iloc[:100], at=day(0).end - timedelta(microseconds=1))
    publish_labels(store, wine, day(1), frame.iloc[100:], at=day(0).end)
    assert count_labelled(wine, day(0), as_of=day(0).end, store=store).n_labelled == 100
    (piece,) = _count_each(wine, [day(0)], as_of=day(0).end, excluded=(), store=store)
    assert piece.n_labelled == 100
