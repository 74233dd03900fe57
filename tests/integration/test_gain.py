"""The gain probe on published rows, with a real fit in a process of its own, and no registry."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from logs import day
from monitored import log_of, publish_labels, publish_predictions, serving
from perennial.config import ModelConfig
from perennial.contracts import ReleaseState, Signal
from perennial.store import Store
from perennial.store.tables import ensure_data_tables
from perennial.training.probe import measure_gain

SUM, ONE = "gain/accuracy", "gain/accuracy_in_window"


def probing(config: ModelConfig, **gain: Any) -> ModelConfig:
    """The model with a probe: the served predictions are right nine times in ten, which a fit on the rows can beat."""
    declared = config.model_dump(by_alias=True)
    declared["signals"]["gain"] = {"probe": "small", "rows": 300, "price": 0.05, **gain}
    return ModelConfig.model_validate(declared)


def publish(store: Store, config: ModelConfig, number: int, frame: pd.DataFrame | None = None) -> None:
    frame = log_of(config, number, seed=number + 50) if frame is None else frame
    publish_predictions(store, config, day(number), frame)
    publish_labels(store, config, day(number), frame)


def measured(
    config: ModelConfig, number: int, *, store: Store, models_dir: Path, state: ReleaseState | None = None
) -> dict[str, Signal]:
    state = state or serving(config, "1", champion_since=day(0).start)
    found = measure_gain(config, day(number), store=store, state=state, models_dir=models_dir)
    return {f"{signal.name} of {signal.window.start:%d}": signal for signal in found}


@pytest.fixture
def history(store: Store, wine: ModelConfig) -> ModelConfig:
    """Four days before the champion, and one that it served: the labels of each arrive two hours after their event."""
    config = probing(wine)
    ensure_data_tables(store, config)
    for number in range(-4, 1):
        publish(store, config, number)
    return config


def test_gains_of_windows_add_up_until_a_retrain_is_worth_its_price(
    store: Store, history: ModelConfig, models_dir: Path
) -> None:
    first = measured(history, 0, store=store, models_dir=models_dir)
    one, summed = first[f"{ONE} of 01"], first[f"{SUM} of 01"]
    assert one.value is not None
    assert 0.02 < one.value < 0.15, "the champion is wrong once in ten"
    assert one.interval is not None
    assert one.interval.n_rows == 200
    assert (one.role, summed.role, summed.threshold) == ("watch", "retrain", 0.05)
    assert summed.value == pytest.approx(one.value)

    publish(store, history, 1)
    second = measured(history, 1, store=store, models_dir=models_dir)
    assert set(second) == {f"{ONE} of 02", f"{SUM} of 02"}, "the first window is not measured again"
    assert second[f"{SUM} of 02"].value == pytest.approx(one.value + (second[f"{ONE} of 02"].value or 0))
    assert second[f"{SUM} of 02"].status == "breached"
    assert "added up over the last 2 windows" in second[f"{SUM} of 02"].detail

    again = measured(history, 1, store=store, models_dir=models_dir)
    assert again == second, "the same run twice says the same"

    answered = serving(history, "1", champion_since=day(0).start, request_times=(day(0).end,))
    after = measured(history, 1, store=store, models_dir=models_dir, state=answered)
    assert after[f"{SUM} of 02"].value == pytest.approx(second[f"{ONE} of 02"].value), "a retrain was asked for"


def test_a_champion_that_can_not_be_beaten_has_nothing_to_gain(
    store: Store, history: ModelConfig, models_dir: Path
) -> None:
    frame = log_of(history, 1, seed=77)
    publish(store, history, 1, frame.assign(predicted=frame["label"], model_version="2"))
    state = serving(history, "2", champion_since=day(1).start)
    found = measured(history, 1, store=store, models_dir=models_dir, state=state)
    assert found[f"{ONE} of 02"].value is not None
    assert found[f"{SUM} of 02"].value == 0
    assert found[f"{SUM} of 02"].status == "ok"


def test_the_probe_sees_nothing_of_the_window_it_is_judged_on_or_later(
    store: Store, history: ModelConfig, models_dir: Path
) -> None:
    """Every label of the window and after it upside down: what was known before is what the probe was fitted on."""
    before = measured(history, 0, store=store, models_dir=models_dir)[f"{ONE} of 01"]
    frame = log_of(history, 1, seed=51)
    publish(store, history, 1, frame.assign(label="barolo"))
    after = measured(history, 0, store=store, models_dir=models_dir)[f"{ONE} of 01"]
    assert after == before


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        ("def build(*, seed): raise ValueError('no such thing')", "no such thing"),
        ("def build(*, seed):\n    import time\n    time.sleep(60)", "signals.gain.timeout"),
        ("def build(*, seed):\n    return bytearray(3 << 30)", "MemoryError"),
    ],
)
def test_a_probe_that_can_not_be_fitted_is_unknown_and_says_why(
    recipe: str, message: str, store: Store, history: ModelConfig, models_dir: Path
) -> None:
    (models_dir / history.model / "recipe.py").write_text(recipe, encoding="utf-8")
    gain = history.signals.gain.model_copy(
        update={"timeout": pd.Timedelta(seconds=5).to_pytimedelta(), "memory_mb": 2000}
    )
    config = history.model_copy(update={"signals": history.signals.model_copy(update={"gain": gain})})
    found = measured(config, 0, store=store, models_dir=models_dir)
    assert {signal.status for signal in found.values()} == {"unknown"}
    assert all(message in signal.detail for signal in found.values())


def test_nothing_is_measured_without_a_champion_or_a_probe(
    store: Store, history: ModelConfig, models_dir: Path
) -> None:
    nobody = ReleaseState(model=history.model)
    assert measured(history, 0, store=store, models_dir=models_dir, state=nobody) == {}
    assert measured(probing(history, probe="none"), 0, store=store, models_dir=models_dir) == {}


def test_too_little_to_fit_on_is_unknown(store: Store, history: ModelConfig, models_dir: Path) -> None:
    state = serving(history, "1", champion_since=day(-4).start)
    found = measured(history, -4, store=store, models_dir=models_dir, state=state)
    assert {signal.status for signal in found.values()} == {"unknown"}
    assert "0 labelled rows before" in found[f"{ONE} of 28"].detail


def test_small_windows_are_measured_together_and_none_of_them_twice(
    store: Store, history: ModelConfig, models_dir: Path
) -> None:
    """With blocks of a day and three of them needed, three windows make one measurement."""
    config = history.model_copy(
        update={
            "signals": history.signals.model_copy(
                update={
                    "uncertainty": history.signals.uncertainty.model_copy(
                        update={"block": pd.Timedelta(days=1).to_pytimedelta(), "min_blocks": 3}
                    )
                }
            )
        }
    )
    for number in range(1, 6):
        publish(store, config, number)
    state = serving(config, "1", champion_since=day(0).start)
    told = [sorted(measured(config, number, store=store, models_dir=models_dir, state=state)) for number in range(6)]
    ones = [[name for name in names if name.startswith(ONE)] for names in told]
    assert [name for names in ones for name in names] != []
    judged = [config.judged_over(day(number)) for number, names in enumerate(ones) if names]
    assert all(not a.overlaps(b) for i, a in enumerate(judged) for b in judged[i + 1 :])


def test_a_stretch_that_was_acknowledged_as_faulty_counts_for_nothing(
    store: Store, history: ModelConfig, models_dir: Path
) -> None:
    from perennial.contracts import Hold

    before = measured(history, 0, store=store, models_dir=models_dir)[f"{ONE} of 01"]
    assert before.value
    publish(store, history, 1)
    faulty = Hold(entry_id="h", stretch=day(0), reason="wrong", acknowledged=True, excluded=True)
    state = replace(serving(history, "1", champion_since=day(0).start), holds=(faulty,))
    found = measured(history, 1, store=store, models_dir=models_dir, state=state)
    assert found[f"{SUM} of 02"].value == pytest.approx(found[f"{ONE} of 02"].value)
