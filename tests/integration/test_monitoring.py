from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from sklearn.dummy import DummyRegressor
from sqlalchemy import func, select, update

from conftest import unique_model
from logs import day
from monitored import (
    even_importance,
    feature_table,
    log_of,
    publish_labels,
    publish_predictions,
    reference_of,
    release,
    serving,
)
from perennial.bake.measuring import measure_bake
from perennial.config import ModelConfig
from perennial.contracts import Lineage, ReleaseState, Signal, Window
from perennial.errors import RegistryUnavailable
from perennial.evidence.profiles.keeping import keep_grid
from perennial.evidence.profiles.reading import ensure
from perennial.evidence.samples import read_sample
from perennial.monitoring.drift.drawing import draw_drift, report_path
from perennial.monitoring.drift.measuring import measure_drift
from perennial.monitoring.performance import measure_performance
from perennial.monitoring.quality import measure_quality
from perennial.monitoring.series.control import measure_control
from perennial.monitoring.served.measuring import measure_served
from perennial.registry import Registry, features_frame
from perennial.store import Store, bulk
from perennial.store.schema import batches, grids, signals
from perennial.store.signals import flagged, of_windows_after
from perennial.store.tables import ensure_data_tables


@pytest.fixture
def registry(mlflow_uri: str) -> Registry:
    return Registry(mlflow_uri)


def by_name(found: Iterable[Signal], window: Window | None = None) -> dict[str, Signal]:
    """The signals but flags, of one window if it is given."""
    return {
        signal.name: signal
        for signal in found
        if signal.family != "flag" and (window is None or signal.window == window)
    }


def n_signals(store: Store) -> int:
    with store.begin() as connection:
        return int(connection.execute(select(func.count()).select_from(signals)).scalar_one())


def released(config: ModelConfig, registry: Registry) -> ReleaseState:
    version = release(config, registry, reference=reference_of(config), importance=even_importance(config))
    return serving(config, version)


def publish_day(store: Store, config: ModelConfig, number: int, frame: pd.DataFrame, **audit: object) -> None:
    """Predictions of a day and, in the same delivery, their labels."""
    publish_predictions(store, config, day(number), frame, **audit)
    publish_labels(store, config, day(number), frame)


@pytest.mark.parametrize("measure", [measure_drift, measure_quality])
def test_without_a_champion_the_reference_is_unknown(
    measure: object, store: Store, wine: ModelConfig, registry: Registry
) -> None:
    publish_day(store, wine, 0, log_of(wine, 0))
    found = by_name(
        measure(wine, day(0), store=store, registry=registry, state=ReleaseState(model=wine.model))  # type: ignore[operator]
    )
    assert (found["reference"].status, found["reference"].role) == ("unknown", "alert")
    with store.begin() as connection:
        row = connection.execute(select(signals).where(signals.c.name == "reference")).one()
    assert (row.version, row.status, row.value) == ("none", "unknown", None)
    assert not [name for name in found if name.startswith(("drift/", "quality/null"))]


def test_a_champion_without_reference_leaves_everything_unknown(
    store: Store, wine: ModelConfig, registry: Registry
) -> None:
    publish_day(store, wine, 0, log_of(wine, 0))
    for state in (serving(wine, release(wine, registry)), serving(wine, "999")):
        drift = measure_drift(wine, day(0), store=store, registry=registry, state=state)
        assert {signal.status for signal in drift} == {"unknown"}
        assert "is gone from the registry" in drift[0].detail
        quality = measure_quality(wine, day(0), store=store, registry=registry, state=state)
        compared = [signal for signal in quality if "null_rate" in signal.name or "unseen" in signal.name]
        assert {signal.status for signal in compared} == {"unknown"}


def test_drift_of_a_window_is_kept_and_measured_twice_is_the_same(
    store: Store, wine: ModelConfig, registry: Registry
) -> None:
    state = released(wine, registry)
    version = str(state.champion)
    frame = log_of(wine, 0).assign(model_version=version)
    publish_day(store, wine, 0, frame.assign(hue=frame["hue"] + 1.0))
    shadow = log_of(wine, 0, seed=5).assign(model_version="9", role="challenger", cellar="north")
    publish_predictions(store, wine, day(0), shadow)
    found = measure_drift(wine, day(0), store=store, registry=registry, state=state)
    assert {signal.name for signal in found if signal.status != "ok"} == {"drift/hue"}
    assert by_name(found)["drift/weighted_share"].value == pytest.approx(0.1)
    again = measure_drift(wine, day(0), store=store, registry=registry, state=state)
    assert again == found
    assert n_signals(store) == len(found)


@pytest.mark.usefixtures("drawn")
def test_the_page_of_a_window_draws_every_column_beside_the_reference_of_a_version(
    store: Store, wine: ModelConfig, registry: Registry
) -> None:
    version = str(released(wine, registry).champion)
    publish_day(store, wine, 0, log_of(wine, 0).assign(model_version=version))
    for nobody in (None, "999"):
        assert draw_drift(wine, day(0), nobody, store=store, registry=registry) is None
    assert draw_drift(wine, day(1), version, store=store, registry=registry) is None, "no row, no page"
    path = draw_drift(wine, day(0), version, store=store, registry=registry)
    assert path == report_path(wine, day(0))
    with store.storage.filesystem.open_input_stream(store.storage.path(path)) as stream:
        page = stream.read().decode()
    assert all(name in page for name in (*wine.features, "score"))
    assert "wasserstein" in page.lower()


def test_a_sample_is_bounded_and_the_same_however_the_rows_were_delivered(
    store: Store, wine: ModelConfig, models_dir: Path
) -> None:
    other = unique_model(models_dir, "wine_cultivar")
    ensure_data_tables(store, other)
    frame = log_of(wine, 0, n_rows=2500)
    publish_predictions(store, wine, day(0), frame)
    shuffled = frame.sample(frac=1, random_state=np.random.RandomState(4))
    publish_predictions(store, other, day(0), shuffled.iloc[:700])
    publish_predictions(store, other, day(0), shuffled.iloc[700:])
    ours, theirs = (read_sample(config, day(0), store=store) for config in (wine, other))
    assert ours.num_rows == theirs.num_rows == wine.signals.sample_rows
    keys = [(name, "ascending") for name in ("alcohol", "proline", "malic_acid", "color_intensity")]
    assert ours.sort_by(keys).equals(theirs.sort_by(keys))


def test_an_empty_window_is_unknown(store: Store, wine: ModelConfig, registry: Registry) -> None:
    state = released(wine, registry)
    drift = measure_drift(wine, day(0), store=store, registry=registry, state=state)
    quality = measure_quality(wine, day(0), store=store, registry=registry, state=state)
    assert {signal.status for signal in (*drift, *quality)} == {"unknown"}
    performance = measure_performance(wine, day(0), store=store, registry=registry, state=state)
    assert [(signal.name, signal.status) for signal in performance] == [("labels/unmatched", "unknown")]


def test_quality_counts_all_rows_of_the_window_and_what_its_audits_found(
    store: Store, wine: ModelConfig, registry: Registry
) -> None:
    frame = log_of(wine, 0, n_rows=2000)
    frame.loc[:599, "ash"] = np.nan
    frame.loc[1000:1099, "cellar"] = "attic"
    publish_predictions(store, wine, day(0), frame, n_type_errors={"hue": 100}, n_out_of_range={"ash": 1})
    late = log_of(wine, 0, seed=8, n_rows=500)
    publish_predictions(store, wine, day(0), late, n_type_errors={"hue": 25})
    found = by_name(measure_quality(wine, day(0), store=store, registry=registry, state=released(wine, registry)))
    assert {name for name, signal in found.items() if signal.status != "ok"} == {
        "quality/null_rate/ash",
        "quality/unseen/cellar",
        "quality/type_error/hue",
        "quality/volume",
    }
    assert found["quality/volume"].status == "undecided"  # there is no earlier window
    assert found["quality/null_rate/ash"].value == pytest.approx(0.24)
    assert found["quality/unseen/cellar"].value == pytest.approx(0.04)
    assert found["quality/type_error/hue"].value == pytest.approx(0.05)
    assert found["quality/out_of_range/ash"].value == pytest.approx(1 / 2500)


def performance_of(
    config: ModelConfig, number: int, *, store: Store, registry: Registry, state: ReleaseState
) -> tuple[Signal, ...]:
    return measure_performance(config, day(number), store=store, registry=registry, state=state)


def test_what_was_served_is_measured_before_any_label_is_in(
    store: Store, wine: ModelConfig, registry: Registry
) -> None:
    """The registered version always says barolo, which the log, made up, does not."""
    state = released(wine, registry)
    publish_predictions(store, wine, day(0), log_of(wine, 0).assign(model_version=state.champion))
    found = by_name(measure_served(wine, day(0), store=store, registry=registry, state=state))
    assert {name: signal.status for name, signal in found.items()} == {
        "prediction/classes": "undecided",
        "prediction/score": "ok",
        "estimate/accuracy": "ok",
        "skew/score": "breached",
        "skew/schema": "ok",
        "skew/snapshot": "unknown",  # an older reference kept no ids
        "skew/declared": "unknown",
        "attribution/ndcg": "unknown",  # what never changes leans on nothing
    }
    n_before = n_signals(store)
    measure_served(wine, day(0), store=store, registry=registry, state=state)
    assert n_signals(store) == n_before == len(found)


def test_without_a_reference_what_needs_it_is_unknown_and_the_version_is_asked_all_the_same(
    store: Store, wine: ModelConfig, registry: Registry
) -> None:
    state = serving(wine, release(wine, registry))
    publish_predictions(store, wine, day(0), log_of(wine, 0).assign(model_version=state.champion))
    found = by_name(measure_served(wine, day(0), store=store, registry=registry, state=state))
    assert {name for name, signal in found.items() if signal.status == "unknown"} == {
        "prediction/classes", "prediction/score", "estimate/accuracy", "attribution/ndcg",
        "skew/snapshot", "skew/declared",
    }  # fmt: skip
    assert "gone" in found["estimate/accuracy"].detail
    assert found["skew/score"].status == "breached"


def test_a_series_is_held_to_its_control_limits_by_the_runs_before(
    store: Store, wine: ModelConfig, registry: Registry
) -> None:
    told = wine.model_dump()
    told["signals"]["control"] = {"names": ["quality/volume", "drift/hue"]}
    config = ModelConfig.model_validate(told)
    assert measure_control(wine, day(0), store=store, state=serving(wine, "1")) == ()
    for number in range(7):
        publish_predictions(store, config, day(number), log_of(config, number, n_rows=100 + number % 2))
        measure_quality(config, day(number), store=store, registry=registry, state=ReleaseState(model=config.model))
        found = by_name(measure_control(config, day(number), store=store, state=serving(config, "1")))
    assert {name: signal.status for name, signal in found.items()} == {
        "control/quality/volume": "ok",
        "control/drift/hue": "unknown",
    }


def test_a_version_whose_files_changed_is_not_asked(store: Store, wine: ModelConfig, registry: Registry) -> None:
    state = released(wine, registry)
    was = Lineage(train=day(-9), holdout=day(-8), artifact_digest="0" * 64)
    state = replace(state, lineages={str(state.champion): was})
    publish_predictions(store, wine, day(0), log_of(wine, 0).assign(model_version=state.champion))
    found = by_name(measure_served(wine, day(0), store=store, registry=registry, state=state))
    assert {found[name].status for name in ("skew/score", "skew/schema", "attribution/ndcg")} == {"unknown"}
    assert "can not be loaded" in found["skew/score"].detail


def test_a_window_is_measured_once_by_the_first_run_that_finds_it_mature(
    store: Store, wine: ModelConfig, registry: Registry
) -> None:
    state = released(wine, registry)
    frames = [log_of(wine, number).assign(model_version=state.champion) for number in range(3)]
    publish_predictions(store, wine, day(0), frames[0])
    first = performance_of(wine, 0, store=store, registry=registry, state=state)
    assert {signal.name for signal in first} == {"labels/unmatched", "served_by_champion"}
    publish_labels(store, wine, day(1), frames[0], at=day(1).start)
    publish_predictions(store, wine, day(1), frames[1])
    second = performance_of(wine, 1, store=store, registry=registry, state=state)
    found = by_name(second, day(0))
    assert {name: signal.status for name, signal in found.items()} == {
        "label_coverage": "ok",
        "performance/accuracy": "ok",
        "performance/accuracy_loss": "ok",
        "concept/accuracy": "ok",
        "concept/residuals": "ok",
        "concept/excess_in_window": "ok",
        "concept/excess": "undecided",
        "labels/classes": "undecided",
        "slice/found": "unknown",
    }
    assert "of 1 windows" in found["concept/excess"].detail
    assert {signal.as_of for signal in second} == {day(1).end}
    assert not [signal for signal in second if signal.window == day(1) and signal.name.startswith("performance")]
    publish_day(store, wine, 2, frames[2])
    third = performance_of(wine, 2, store=store, registry=registry, state=state)
    assert {signal.window for signal in third if signal.name.startswith("performance")} == {day(2)}
    assert "of 2 windows" in by_name(third, day(2))["concept/excess"].detail
    assert performance_of(wine, 1, store=store, registry=registry, state=state) == second


def test_a_label_that_arrived_after_the_run_was_due_does_not_count(
    store: Store, wine: ModelConfig, registry: Registry
) -> None:
    state = released(wine, registry)
    frame = log_of(wine, 0).assign(model_version=state.champion)
    publish_predictions(store, wine, day(0), frame)
    publish_labels(store, wine, day(1), frame.iloc[:150], at=day(1).start)
    publish_labels(store, wine, day(1), frame.iloc[150:], at=day(1).end)
    found = by_name(performance_of(wine, 1, store=store, registry=registry, state=state), day(0))
    assert set(found) == {"label_coverage"}
    assert (found["label_coverage"].value, found["label_coverage"].status) == (0.75, "breached")
    found = by_name(performance_of(wine, 2, store=store, registry=registry, state=state), day(0))
    assert found["label_coverage"].value == 1.0
    assert found["performance/accuracy"].detail == "200 labelled rows in 22 blocks"


def test_a_mature_window_is_measured_without_the_labels_that_came_later(
    store: Store, wine: ModelConfig, registry: Registry
) -> None:
    state = released(wine, registry)
    frame = log_of(wine, 0).assign(model_version=state.champion)
    frame["predicted"] = frame["label"].where(frame.index < 190, "nothing like it")
    publish_predictions(store, wine, day(0), frame)
    publish_labels(store, wine, day(0), frame.iloc[:190])
    publish_labels(store, wine, day(1), frame.iloc[190:], at=day(0).end)
    found = by_name(performance_of(wine, 0, store=store, registry=registry, state=state), day(0))
    assert (found["performance/accuracy"].value, found["performance/accuracy"].detail) == (
        1.0,
        "190 labelled rows in 21 blocks",
    )


def test_a_window_that_never_matures_is_given_up_once_and_never_a_pass(
    store: Store, wine: ModelConfig, registry: Registry
) -> None:
    state = released(wine, registry)
    frame = log_of(wine, 0).assign(model_version=state.champion)
    publish_predictions(store, wine, day(0), frame)
    publish_labels(store, wine, day(0), frame.iloc[:40])
    waiting = [performance_of(wine, number, store=store, registry=registry, state=state) for number in (1, 2)]
    assert not [signal for run in waiting for signal in run if signal.name.startswith("performance")]
    given_up = by_name(performance_of(wine, 3, store=store, registry=registry, state=state), day(0))
    assert (given_up["label_coverage"].status, given_up["label_coverage"].role) == ("breached", "alert")
    assert given_up["performance/accuracy"].status == given_up["performance/accuracy_loss"].status == "unknown"
    publish_labels(store, wine, day(4), frame.iloc[40:], at=day(4).start)
    later = performance_of(wine, 4, store=store, registry=registry, state=state)
    assert not [signal for signal in later if signal.name.startswith("performance")]


def test_maturity_is_that_of_the_champions_own_rows(store: Store, wine: ModelConfig, registry: Registry) -> None:
    """Labels of what another version scored say nothing of the champion, and missing ones do not hold it back."""
    state = released(wine, registry)
    mixed = log_of(wine, 0)
    mixed["model_version"] = np.where(mixed.index < 40, state.champion, "another")
    publish_predictions(store, wine, day(0), mixed)
    publish_labels(store, wine, day(0), mixed.iloc[20:])
    found = by_name(performance_of(wine, 0, store=store, registry=registry, state=state), day(0))
    assert not [name for name in found if name.startswith("performance")], "90 % of all rows, and half of its own"
    own = log_of(wine, 1)
    own["model_version"] = np.where(own.index < 40, state.champion, "another")
    publish_predictions(store, wine, day(1), own)
    publish_labels(store, wine, day(1), own.iloc[:40])
    found = by_name(performance_of(wine, 1, store=store, registry=registry, state=state), day(1))
    assert found["label_coverage"].detail == "40 of 40 predictions have a label"
    assert found["performance/accuracy"].detail == "40 labelled rows in 5 blocks"


def test_a_window_measured_on_its_fastest_labels_is_measured_once_more_when_it_was_waited_for(
    store: Store, wine: ModelConfig, registry: Registry
) -> None:
    """The slow labels are the bad ones: the early figure is no fair sample, and the later one counts."""
    state = released(wine, registry)
    frames = [log_of(wine, number).assign(model_version=state.champion) for number in range(2)]
    frames[0]["predicted"] = frames[0]["label"].where(frames[0].index < 180, "nothing like it")
    for number, frame in enumerate(frames):
        publish_predictions(store, wine, day(number), frame)
        publish_labels(store, wine, day(number), frame.iloc[: 180 if number == 0 else None], at=day(number).start)
    publish_labels(store, wine, day(2), frames[0].iloc[180:], at=day(2).start)
    early = by_name(performance_of(wine, 0, store=store, registry=registry, state=state), day(0))
    assert (early["performance/accuracy"].value, early["performance/accuracy"].detail) == (
        1.0,
        "180 labelled rows in 20 blocks",
    )
    for number in (1, 2):
        again = performance_of(wine, number, store=store, registry=registry, state=state)
        assert not [signal for signal in again if signal.window == day(0) and signal.family == "performance"]
    late = performance_of(wine, 3, store=store, registry=registry, state=state)
    assert late == performance_of(wine, 3, store=store, registry=registry, state=state)
    assert {signal.window for signal in late if signal.family == "performance"} == {day(0)}
    assert by_name(late, day(0))["performance/accuracy"].value == 0.9
    counted = by_name(
        of_windows_after(store, wine.model, version=str(state.champion), window=day(5), after=day(-1).start), day(0)
    )
    assert counted["performance/accuracy"].value == 0.9
    for number in (4, 5):  # day 1 had all of its labels at once: nothing came in since, so nothing is said again
        final = performance_of(wine, number, store=store, registry=registry, state=state)
        assert not [signal for signal in final if signal.family == "performance"]


def test_a_bake_is_measured_once_more_too(store: Store, diabetes: ModelConfig, registry: Registry) -> None:
    state = serving(diabetes, "2", in_bake=True)
    frame = log_of(diabetes, 0).assign(model_version="2")
    publish_predictions(store, diabetes, day(0), frame)
    publish_labels(store, diabetes, day(0), frame.iloc[:180], at=day(0).start)
    publish_labels(store, diabetes, day(1), frame.iloc[180:], at=day(1).start)
    details = [
        [signal.detail for signal in bake_of(diabetes, number, store=store, registry=registry, state=state)]
        for number in range(5)
    ]
    assert details == [["180 labelled rows in 20 blocks"], [], [], ["200 labelled rows in 22 blocks"], []]


def test_a_window_that_another_version_served_is_measured_under_that_versions_name(
    store: Store, wine: ModelConfig, registry: Registry
) -> None:
    state = released(wine, registry)
    publish_day(store, wine, 0, log_of(wine, 0).assign(model_version="legacy"))
    mixed = log_of(wine, 1).assign(model_version="legacy")
    mixed.loc[:99, "model_version"] = state.champion
    mixed.loc[100:, "predicted"] = "nothing like it"
    publish_day(store, wine, 1, mixed)
    found = performance_of(wine, 1, store=store, registry=registry, state=state)
    by_another = by_name(found, day(0))
    assert set(by_another) == {"label_coverage", "performance/accuracy"}
    assert by_another["performance/accuracy"].version == "legacy"
    assert by_name(found, day(1))["performance/accuracy"].detail == "100 labelled rows in 12 blocks"
    assert by_name(found, day(1))["performance/accuracy"].status == "ok"


def test_a_champion_that_scores_nothing_is_reported(store: Store, wine: ModelConfig, registry: Registry) -> None:
    state = released(wine, registry)
    publish_day(store, wine, 0, log_of(wine, 0).assign(model_version="another"))
    found = by_name(performance_of(wine, 0, store=store, registry=registry, state=state))["served_by_champion"]
    assert (found.status, found.role, found.value) == ("breached", "alert", 0.0)
    assert found.detail == f"0 of 200 predictions carry the model version {state.champion}"
    publish_day(store, wine, 1, log_of(wine, 1).assign(model_version=state.champion))
    found = by_name(performance_of(wine, 1, store=store, registry=registry, state=state))["served_by_champion"]
    assert (found.status, found.value) == ("ok", 1.0)


def test_shadow_rows_count_neither_as_served_nor_as_performance(
    store: Store, wine: ModelConfig, registry: Registry
) -> None:
    state = released(wine, registry)
    frame = log_of(wine, 0).assign(model_version=state.champion)
    publish_day(store, wine, 0, frame)
    publish_predictions(store, wine, day(0), frame.assign(role="challenger", predicted="nothing like it"))
    found = by_name(performance_of(wine, 0, store=store, registry=registry, state=state), day(0))
    assert found["label_coverage"].detail == "200 of 200 predictions have a label"
    assert found["performance/accuracy"].status == "ok"


def test_labels_of_unknown_predictions_are_a_signal(store: Store, wine: ModelConfig, registry: Registry) -> None:
    frame = log_of(wine, 0)
    publish_predictions(store, wine, day(0), frame.iloc[:80])
    publish_labels(store, wine, day(0), frame)
    found = by_name(performance_of(wine, 0, store=store, registry=registry, state=ReleaseState(model=wine.model)))
    assert (found["labels/unmatched"].value, found["labels/unmatched"].status) == (0.6, "breached")


def test_performance_of_a_sample_is_that_of_its_window(store: Store, diabetes: ModelConfig, registry: Registry) -> None:
    state = released(diabetes, registry)
    frame = log_of(diabetes, 0, n_rows=3000).assign(model_version=state.champion)
    publish_day(store, diabetes, 0, frame)
    found = by_name(performance_of(diabetes, 0, store=store, registry=registry, state=state), day(0))
    exact = float(np.sqrt(((frame["score"] - frame["label"]) ** 2).mean()))
    assert found["performance/rmse"].value == pytest.approx(exact, rel=0.05)
    assert found["performance/rmse"].value != pytest.approx(exact, rel=1e-9)
    assert found["performance/rmse"].detail == "1000 labelled rows in 22 blocks"


def bake_of(
    config: ModelConfig, number: int, *, store: Store, registry: Registry, state: ReleaseState
) -> tuple[Signal, ...]:
    return measure_bake(config, day(number), store=store, registry=registry, state=state)


def constant(config: ModelConfig, value: float) -> DummyRegressor:
    rows = features_frame(config, feature_table(config, log_of(config, 0)))
    return DummyRegressor(strategy="constant", constant=value).fit(rows, np.zeros(len(rows)))


def test_a_bake_compares_the_champion_with_the_last_stable_version_on_the_same_rows(
    store: Store, diabetes: ModelConfig, registry: Registry
) -> None:
    stable = release(diabetes, registry, estimator=constant(diabetes, 150.0))
    champion = release(diabetes, registry, reference=reference_of(diabetes), importance=even_importance(diabetes))
    state = serving(diabetes, champion, champion_since=day(1).start, in_bake=True, stable=("77", stable), lineages={})
    frames = [log_of(diabetes, number).assign(model_version=champion) for number in range(2)]
    for number, frame in enumerate(frames):
        publish_day(store, diabetes, number, frame)
    found = bake_of(diabetes, 1, store=store, registry=registry, state=state)
    assert not [name for name in by_name(found, day(0)) if name.startswith("bake/")]
    baked = by_name(found, day(1))
    label, score = frames[1]["label"], frames[1]["score"]
    ours, theirs = (float(np.sqrt(((answer - label) ** 2).mean())) for answer in (score, 150.0))
    assert baked["bake/rmse"].value == pytest.approx(ours)
    assert baked["bake/rmse_vs_stable"].value == pytest.approx(ours - theirs)
    assert baked["bake/rmse_vs_stable"].status == "ok"
    assert f"of stable version {stable} on the same rows" in baked["bake/rmse_vs_stable"].detail


def test_a_champion_worse_than_stable_breaches_its_bake(
    store: Store, diabetes: ModelConfig, registry: Registry
) -> None:
    stable = release(diabetes, registry, estimator=constant(diabetes, 150.0))
    state = serving(diabetes, "2", in_bake=True, stable=(stable,))
    frame = log_of(diabetes, 0)
    publish_day(store, diabetes, 0, frame.assign(model_version="2", score=frame["label"] + 300.0))
    found = by_name(bake_of(diabetes, 0, store=store, registry=registry, state=state), day(0))
    assert found["bake/rmse"].status == found["bake/rmse_vs_stable"].status == "breached"


def test_a_stable_version_that_is_gone_leaves_the_comparison_unknown(
    store: Store, diabetes: ModelConfig, registry: Registry
) -> None:
    state = serving(diabetes, "2", in_bake=True, stable=("1",))
    publish_day(store, diabetes, 0, log_of(diabetes, 0).assign(model_version="2"))
    found = by_name(bake_of(diabetes, 0, store=store, registry=registry, state=state), day(0))
    assert found["bake/rmse"].status == "ok"
    assert found["bake/rmse_vs_stable"].status == "unknown"
    assert "stable version 1 could not score the rows" in found["bake/rmse_vs_stable"].detail


def test_a_stable_version_with_other_files_than_it_was_promoted_with_is_no_comparison(
    store: Store, diabetes: ModelConfig, registry: Registry
) -> None:
    stable = release(diabetes, registry, estimator=constant(diabetes, 150.0))
    promoted = Lineage(train=day(0), holdout=day(1), artifact_digest="0" * 64)
    state = serving(diabetes, "2", in_bake=True, stable=(stable,), lineages={stable: promoted})
    publish_day(store, diabetes, 0, log_of(diabetes, 0).assign(model_version="2"))
    found = by_name(bake_of(diabetes, 0, store=store, registry=registry, state=state), day(0))
    assert found["bake/rmse_vs_stable"].status == "unknown"
    assert "its files have the digest" in found["bake/rmse_vs_stable"].detail


def test_a_first_champion_bakes_against_its_bound_alone(
    store: Store, diabetes: ModelConfig, registry: Registry
) -> None:
    state = serving(diabetes, "1", in_bake=True)
    publish_day(store, diabetes, 0, log_of(diabetes, 0))
    found = by_name(bake_of(diabetes, 0, store=store, registry=registry, state=state), day(0))
    assert {name for name in found if name.startswith("bake/")} == {"bake/rmse"}


def test_a_baked_window_that_never_matures_is_unknown(store: Store, diabetes: ModelConfig, registry: Registry) -> None:
    state = serving(diabetes, "2", in_bake=True, stable=("1",))
    publish_predictions(store, diabetes, day(0), log_of(diabetes, 0).assign(model_version="2"))
    measured = bake_of(diabetes, 3, store=store, registry=registry, state=state)
    found = by_name(measured, day(0))
    assert found["bake/rmse"].status == found["bake/rmse_vs_stable"].status == "unknown"
    assert bake_of(diabetes, 3, store=store, registry=registry, state=state) == measured, "the same run again"


def test_a_registry_that_does_not_answer_is_an_outage_and_writes_nothing(store: Store, wine: ModelConfig) -> None:
    publish_day(store, wine, 0, log_of(wine, 0))
    nobody = Registry("http://127.0.0.1:9")
    for measure in (measure_drift, measure_quality, measure_performance):
        with pytest.raises(RegistryUnavailable):
            measure(wine, day(0), store=store, registry=nobody, state=serving(wine, "1"))
    assert n_signals(store) == 0


def test_the_hash_of_a_sample_does_not_favour_a_time_of_day(store: Store, wine: ModelConfig) -> None:
    frame = log_of(wine, 0, n_rows=4000).assign(hue=np.arange(4000.0))
    publish_predictions(store, wine, day(0), frame)
    sampled = read_sample(wine, day(0), store=store)["hue"].to_numpy()
    assert np.mean(sampled) == pytest.approx(2000, abs=5 * 4000 / np.sqrt(12 * len(sampled)))


def flags_in(found: Iterable[Signal], window: Window) -> dict[str, Signal]:
    return {signal.name: signal for signal in found if signal.family == "flag" and signal.window == window}


def timed(config: ModelConfig) -> pa.Table:
    """The reference as it is made today: its rows carry the time of their event, over 16 hours."""
    known = reference_of(config)
    at = np.datetime64("2023-12-01T00:00:00", "us") + np.arange(known.num_rows) % 16 * np.timedelta64(1, "h")
    place = known.column_names.index("event_time")
    return known.set_column(place, "event_time", pa.array(at, pa.timestamp("us", "UTC")))


@pytest.mark.parametrize(("run", "serves"), [(3, True), (4, False)], ids=["it serves still", "another one serves"])
def test_a_window_whose_labels_are_wrong_is_flagged_under_the_version_that_served(
    store: Store, wine: ModelConfig, registry: Registry, run: int, serves: bool
) -> None:
    version = release(wine, registry, reference=timed(wine), importance=even_importance(wine))
    state = serving(wine, version)
    for number in range(3):
        frame = log_of(wine, number, n_rows=900).assign(model_version=version)
        if number == 2:
            frame["label"] = "grignolino"  # which the constant predictor always answers
            frame["labelled_at"] = frame["event_time"] + pd.Timedelta(hours=20)
        publish_predictions(store, wine, day(number), frame)
        publish_labels(store, wine, day(number), frame)
    first = performance_of(wine, 1, store=store, registry=registry, state=state)
    assert {signal.name for signal in flags_in(first, day(1)).values() if signal.status == "breached"} == set()
    assert flags_in(first, day(1))["flag/lateness"].status == "unknown", "one earlier window is not enough"
    later = replace(state, champion="999", lineages={}, champion_since=day(2).end)
    known = state if serves else later
    measured = flags_in(performance_of(wine, run, store=store, registry=registry, state=known), day(2))
    assert {signal.version for signal in measured.values()} == {version}
    assert {signal.name for signal in measured.values() if signal.status == "breached"} == {
        "flag/below_chance",
        "flag/label_rate",
        "flag/calibration",
        "flag/lateness",
        "flag/lost_class/cellar",
        "flag/lost_class/organic",
    }
    assert measured["flag/lateness"].value == pytest.approx(10.0, rel=0.01)
    kept = flagged(store, wine.model, ended_after=day(0).start)
    assert {signal.window for signal in kept} == {day(2)}
    assert flagged(store, wine.model, ended_after=day(2).end) == ()


def test_a_window_in_another_unit_is_flagged_by_its_own_run(
    store: Store, wine: ModelConfig, registry: Registry
) -> None:
    state = released(wine, registry)
    frame = log_of(wine, 0).assign(model_version=state.champion)
    publish_predictions(store, wine, day(0), frame.assign(alcohol=frame["alcohol"] / 100))
    found = flags_in(measure_drift(wine, day(0), store=store, registry=registry, state=state), day(0))
    assert {name for name, signal in found.items() if signal.status != "ok"} == {"flag/unit/alcohol"}
    assert "as from percent to fraction" in found["flag/unit/alcohol"].detail
    gone = serving(wine, "999")
    found = flags_in(measure_drift(wine, day(0), store=store, registry=registry, state=gone), day(0))
    assert {signal.status for signal in found.values()} == {"unknown"}


def test_a_window_is_compared_with_the_one_before_and_with_the_same_weeks_of_earlier_years(
    store: Store, wine: ModelConfig, registry: Registry
) -> None:
    """Once a year of history is there, its verdict is the one that alarms."""
    state = released(wine, registry)
    for number in (*range(-365, -362), -1, 0):
        frame = log_of(wine, number, n_rows=240, seed=number + 400).assign(model_version=state.champion)
        publish_predictions(store, wine, day(number), frame.assign(hue=frame["hue"] + (1.0 if number < -300 else 0.0)))
    found = by_name(measure_drift(wine, day(0), store=store, registry=registry, state=state))
    assert (found["drift/hue"].status, found["drift/hue"].role) == ("ok", "watch")
    assert (found["drift/hue/vs_previous"].status, found["drift/hue/vs_previous"].role) == ("ok", "watch")
    assert (found["drift/hue/vs_season"].status, found["drift/ash/vs_season"].status) == ("breached", "ok")
    assert found["drift/score/vs_season"].role == "alert"
    assert found["drift/weighted_share"].value == pytest.approx(0.1)
    chance = found["drift/hue/vs_season"].chance
    assert chance is not None
    assert (chance.n_rows, chance.n_blocks) == (240, 22 + 3 * 22)
    again = of_windows_after(store, wine.model, version=str(state.champion), window=day(0), after=day(-1).start)
    assert next(one for one in again if one.name == "drift/hue/vs_season") == found["drift/hue/vs_season"]
    first = measure_drift(wine, day(-365), store=store, registry=registry, state=state)
    assert not [signal.name for signal in first if "/vs_" in signal.name]


def test_the_champions_reference_makes_the_grid_of_later_rows(
    store: Store, wine: ModelConfig, registry: Registry
) -> None:
    """Rows counted on the grid before are moved to it, and judged alike."""
    state = released(wine, registry)
    frame = log_of(wine, 0).assign(model_version=state.champion)
    publish_predictions(store, wine, day(0), frame)
    with bulk.bulk_transaction(store) as cursor:
        coarse = {name: np.quantile(frame[name].astype(float), np.arange(0, 1.01, 0.02)) for name in wine.numbers}
        keep_grid(cursor, wine.model, {**coarse, "score": np.array([0.5, 0.95])}, made_of="a test")
    ensure(wine, day(0), store=store)
    first = by_name(measure_drift(wine, day(0), store=store, registry=registry, state=state))
    with store.begin() as connection:
        connection.execute(update(batches).values(profile_block_us=None))
    second = by_name(measure_drift(wine, day(0), store=store, registry=registry, state=state))
    for name in wine.numbers:
        values = [found[f"drift/{name}"].value for found in (first, second)]
        assert values[0] == pytest.approx(values[1], abs=0.03)
    with store.begin() as connection:
        made_of = connection.scalars(select(grids.c.made_of).order_by(grids.c.chosen_at)).all()
    assert made_of == ["a test", f"the reference of version {state.champion}"]
