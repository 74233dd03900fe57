"""Which rows teach a candidate: by stretch, by mark, and of too many a sample with every class's share."""

from collections import Counter
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

from logs import day
from monitored import log_of, publish_labels, publish_predictions
from perennial.config import ModelConfig
from perennial.contracts import Hold, ReleaseState, RetrainRequest, Window
from perennial.errors import TrainingError
from perennial.evidence.stretches import training_rows
from perennial.evidence.training.rows import sample_training
from perennial.store import Store
from perennial.store.tables import ensure_data_tables
from perennial.training.snapshot import take_snapshot
from perennial.trial.log import log_of as trial_log_of
from perennial.trial.taught import training_places

AS_OF = day(9).end
LAST_YEAR = tuple(range(-363, -349))
PER_DAY, MARKED = 100, 30


def told(config: ModelConfig, **over: Any) -> ModelConfig:
    return config.model_copy(update={"training": config.training.model_copy(update=over)})


@pytest.fixture
def two_seasons(store: Store, wine: ModelConfig) -> ModelConfig:
    """Two weeks of a year before and ten days of this one; of every day's 100 rows 30 are marked."""
    columns = wine.columns.model_copy(update={"error": "failed", "caused": "accepted"})
    config = wine.model_copy(update={"columns": columns})
    ensure_data_tables(store, config)
    place, parts = pd.Series(range(PER_DAY)), []
    for number in (*LAST_YEAR, *range(10)):
        frame = log_of(config, number, n_rows=PER_DAY, seed=number % 97).assign(labelled_at=day(number).start)
        parts.append(frame.assign(_error=place % 10 == 0, _caused=(place % 10).isin([1, 2])))
    publish_predictions(store, config, day(9), pd.concat(parts))
    publish_labels(store, config, day(9), pd.concat(parts))
    return config


def frozen(config: ModelConfig, store: Store, *holds: Hold) -> pa.Table:
    state = ReleaseState(model=config.model, holds=holds)
    request = RetrainRequest(model=config.model, run_id="r", as_of=AS_OF, cause="test", requested_by="t")
    made = take_snapshot(config, request, store=store, state=state)
    table = store.storage.read_table(made.train_uri)
    assert made.n_train == table.num_rows
    assert made.n_train == training_rows(config, AS_OF, state, store=store).n_train
    return table


def days_in(table: pa.Table) -> set[datetime]:
    return {time.replace(hour=0, minute=0, second=0, microsecond=0) for time in table["event_time"].to_pylist()}


def test_growing_and_seasonal_add_their_stretches_and_nothing_between(store: Store, two_seasons: ModelConfig) -> None:
    trailing = frozen(two_seasons, store)
    growing = frozen(told(two_seasons, window="growing", since=day(-360).start), store)
    seasonal = frozen(told(two_seasons, window="seasonal"), store)
    end = AS_OF - two_seasons.label.delay - two_seasons.training.holdout
    around = end - timedelta(days=365)
    times = seasonal["event_time"].to_pylist()
    earlier = [time for time in times if time < day(-100).start]
    assert min(days_in(growing)) == day(-360).start
    assert set(trailing["prediction_id"].to_pylist()) < set(growing["prediction_id"].to_pylist())
    assert set(seasonal["prediction_id"].to_pylist()) > set(trailing["prediction_id"].to_pylist())
    assert min(earlier) >= around - timedelta(days=2)
    assert max(earlier) < around + timedelta(days=2)
    assert len(earlier) > 3 * (PER_DAY - MARKED)
    assert times == sorted(times)
    assert max(times) < end


@pytest.mark.parametrize("window", ["trailing", "growing", "seasonal"])
@pytest.mark.parametrize("most", [None, 150])
def test_marked_and_excluded_rows_teach_in_no_window_and_under_no_cap(
    store: Store, two_seasons: ModelConfig, window: str, most: int | None
) -> None:
    faulty = [
        Hold(entry_id=str(number), stretch=day(number), reason="faulty", acknowledged=True, excluded=True)
        for number in (5, -357)
    ]
    since = day(-360).start if window == "growing" else None
    found = frozen(told(two_seasons, window=window, since=since, max_train_rows=most), store, *faulty)
    places = {int(name.rpartition("-")[2]) % 10 for name in found["prediction_id"].to_pylist()}
    assert places == set(range(3, 10))
    assert not days_in(found) & {day(5).start, day(-357).start}
    assert most is None or found.num_rows == most


def test_a_cap_keeps_the_shares_and_draws_the_same_rows(store: Store, two_seasons: ModelConfig) -> None:
    """Rows drawn without their class would miss the shares by several; more rows leave those drawn before in place."""
    whole, capped = frozen(two_seasons, store), frozen(told(two_seasons, max_train_rows=100), store)
    again = frozen(told(two_seasons, max_train_rows=100, timeout=timedelta(minutes=9)), store)
    assert again.equals(capped)
    assert set(capped["prediction_id"].to_pylist()) < set(whole["prediction_id"].to_pylist())
    share = capped.num_rows / whole.num_rows
    before, after = (Counter(table["label"].to_pylist()) for table in (whole, capped))
    assert all(abs(after[name] - n * share) < 1 for name, n in before.items())
    larger = frozen(told(two_seasons, max_train_rows=200), store)
    assert set(capped["prediction_id"].to_pylist()) < set(larger["prediction_id"].to_pylist())
    other = frozen(told(two_seasons, max_train_rows=100, seed=8), store)
    assert not other.equals(capped)


def test_a_hold_on_an_earlier_stretch_stops_a_training_and_one_between_does_not(
    store: Store, two_seasons: ModelConfig
) -> None:
    config = told(two_seasons, window="seasonal")
    faulty = Hold(entry_id="last_year", stretch=day(-358), reason="faulty")
    with pytest.raises(TrainingError, match="acknowledge hold last_year"):
        frozen(config, store, faulty)
    frozen(config, store, Hold(entry_id="between", stretch=day(-100), reason="not used"))
    with pytest.raises(TrainingError, match="acknowledge hold last_year"):  # the recorded snapshot, too
        frozen(config, store, faulty)


@pytest.mark.parametrize("over", [{"window": "seasonal"}, {"max_train_rows": 120}])
def test_a_trial_learns_from_as_many_rows_of_each_class(
    store: Store, two_seasons: ModelConfig, over: dict[str, Any]
) -> None:
    """The sample of a trial is drawn by another hash; the stretches and the shares are those of the store."""
    config = told(two_seasons, **over)
    kept, train = frozen(config, store), Window(start=day(1).start, end=day(5).start)
    parts = [log_of(config, number, n_rows=PER_DAY, seed=number % 97) for number in (*LAST_YEAR, *range(10))]
    served = [part[(part.reset_index(drop=True).index % 10 > 2).tolist()] for part in parts]
    frame = pd.concat(served).assign(labelled_at=lambda rows: rows["event_time"])
    history = trial_log_of(config, pa.Table.from_pandas(frame, preserve_index=False))
    places = training_places(config, history, train, as_of=AS_OF, excluded=())
    state = ReleaseState(model=config.model)
    stored = sample_training(config, train, as_of=AS_OF, most=None, excluded=state.excluded, store=store)
    assert Counter(history.table(places)["label"].to_pylist()) == Counter(stored["label"].to_pylist())
    assert kept.num_rows > 0
    if "window" in over:
        assert history.table(places)["prediction_id"].to_pylist() == stored["prediction_id"].to_pylist()


def test_a_signoff_of_earlier_rows_that_are_held_by_now_is_not_released() -> None:
    from doctest_names import _signed

    signed = replace(_signed(), earlier=(day(-358),))
    state = ReleaseState(
        model=signed.model,
        champion=signed.champion_seen,
        holds=(Hold(entry_id="h", stretch=day(-358), reason="faulty"),),
    )
    assert "held" in str(state.refusal_of(signed))
    assert state.refusal_of(replace(signed, earlier=())) is None
