"""Gates on the rows themselves: what is on both sides, what leaks, what is too little, and what lies elsewhere now."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pydantic import ValidationError

import trials
from logs import day, diabetes_rows, wine_rows
from perennial.config import ModelConfig, load_model
from perennial.contracts import DataFacts, Evaluation, Gate, ReleaseState, Snapshot, Window, from_record, to_record
from perennial.evidence.stretches import train_before
from perennial.signoff.conditions.data import data_gates, leak_flags
from perennial.signoff.signing import review_mode
from perennial.training.measured.data import columns_asked, data_facts, powers

MODELS = Path(__file__).parents[1] / "models"
TUMOUR, WINE, DIABETES = (
    load_model(MODELS / name) for name in ("tumour_malignant", "wine_cultivar", "diabetes_progress")
)


def rows(n_rows: int, *, first: int, seed: int, number: int = 1) -> pa.Table:
    """Labelled rows of one day with ids from ``first`` on."""
    rng = np.random.default_rng(seed)
    hidden = rng.normal(size=n_rows)
    times = np.datetime64(day(number).start.replace(tzinfo=None), "us") + np.arange(n_rows) * np.timedelta64(1, "s")
    return pa.table(
        {
            "prediction_id": [f"row-{place}" for place in range(first, first + n_rows)],
            "event_time": pa.array(times).cast(pa.timestamp("us", "UTC")),
            "mean_radius": np.where(rng.random(n_rows) < 0.1, np.nan, 14 + hidden),
            "mean_texture": rng.normal(size=n_rows),
            "mean_smoothness": rng.random(n_rows),
            "n_visits": rng.integers(0, 9, n_rows),
            "clinic": pa.array(rng.choice(np.array(["east", "north", None], object), n_rows), pa.string()),
            "screened": rng.random(n_rows) < 0.5,
            "label": (rng.random(n_rows) < 1 / (1 + np.exp(-hidden))).astype(float),
        }
    )


SNAPSHOT = Snapshot(
    snapshot_id="s",
    model=TUMOUR.model,
    as_of=day(9).end,
    train_uri="",
    holdout_uri="",
    digest="d",
    train=day(1),
    holdout=day(2),
    n_train=3000,
    n_holdout=1500,
    holdout_label_coverage=1.0,
)
TRAIN, HOLDOUT = rows(3000, first=0, seed=1), rows(1500, first=3000, seed=2, number=2)


def declared(embargo: str = "0d", **data: Any) -> ModelConfig:
    whole = TUMOUR.model_dump()
    whole["signoff"]["data"] = data
    whole["training"]["embargo"] = embargo
    return ModelConfig.model_validate(whole)


def facts(config: ModelConfig, train: pa.Table, holdout: pa.Table, newest: pa.Table | None = None) -> DataFacts:
    whole = train.select(columns_asked(config)), holdout.select(columns_asked(config))
    found = data_facts(config, whole, (train, holdout), holdout if newest is None else newest)
    return from_record(DataFacts, to_record(found))


def failed(config: ModelConfig, found: DataFacts | None) -> dict[str, Gate]:
    return {gate.name: gate for gate in data_gates(config, found) if not gate.passed}


def test_sound_rows_pass_and_everything_that_was_looked_at_is_told() -> None:
    found = facts(declared(), TRAIN, HOLDOUT)
    assert failed(declared(), found) == {}
    told = {gate.name: gate.detail for gate in data_gates(declared(), found)}
    assert list(told) == ["data/same_ids", "data/gap", "data/classes", "data/drift"]
    assert (
        told["data/drift"] == "0% of the features have a PSI of 0.25 or more between training and now; no bound is set"
    )
    assert set(found.powers) == set(TUMOUR.features)
    assert 0.6 < found.powers["mean_radius"] < 0.8
    assert found.powers["mean_texture"] == pytest.approx(0.5, abs=0.06)


def test_a_row_that_was_trained_on_and_judged_on_is_one_too_many() -> None:
    other = pa.concat_tables([HOLDOUT, TRAIN.slice(7, 1)])
    gate = failed(declared(), facts(declared(), TRAIN, other))["data/same_ids"]
    assert gate.detail == "1 rows of the holdout were trained on by their ids; none may be"


def test_an_embargo_lies_between_and_is_checked() -> None:
    config = declared(embargo="6h")
    made = train_before(config, Window(start=day(5).start, end=day(6).end))
    assert (made.end, made.end - made.start) == (day(5).start - timedelta(hours=6), config.training.train)
    late = TRAIN.set_column(1, "event_time", HOLDOUT["event_time"].slice(0, 1).take(pa.array([0] * 3000)))
    assert set(failed(config, facts(config, late, HOLDOUT))) == {"data/gap"}
    assert failed(config, facts(config, TRAIN, HOLDOUT)) == {}, "17 hours lie between"


def test_too_few_of_a_class_on_either_side() -> None:
    few = pa.concat_tables([part.filter(pa.compute.equal(part["label"], 0.0)) for part in (HOLDOUT,)])
    gate = failed(declared(), facts(declared(), TRAIN, few))["data/classes"]
    assert gate.value == 0
    assert "the rarest class has" in gate.detail
    assert "data/classes" not in {gate.name for gate in data_gates(declared(min_class_rows=None), SOUND)}
    assert "data/classes" not in {gate.name for gate in data_gates(DIABETES, SOUND)}


SOUND = DataFacts(n_same_ids=0, shared_entities=None, gap_s=1.0, least_class={"train": 50, "holdout": 20})


def test_an_entity_that_is_on_both_sides() -> None:
    config = declared(entity="clinic", max_shared_entities=0.5)
    known = facts(config, TRAIN, HOLDOUT)
    assert known.shared_entities == 1.0
    assert set(failed(config, known)) == {"data/entities"}
    apart = HOLDOUT.set_column(6, "clinic", pa.array(["west"] * 1500))
    assert failed(config, facts(config, TRAIN, apart)) == {}
    assert set(failed(config, SOUND)) == {"data/entities"}, "not measured"


def test_what_drifted_since_training_is_shown_and_stopped_where_a_bound_is_set() -> None:
    moved = HOLDOUT.set_column(2, "mean_radius", pa.array(HOLDOUT["mean_radius"].to_numpy() + 2)).set_column(
        6, "clinic", pa.array(["west"] * 1500)
    )
    config = declared(max_drifted=0.3)
    found = facts(config, TRAIN, HOLDOUT, moved)
    gate = failed(config, found)["data/drift"]
    assert gate.value == pytest.approx(2 / 6)
    assert "clinic" in gate.detail
    assert "mean_radius" in gate.detail
    assert failed(declared(max_drifted=0.4), found) == {}
    assert set(failed(config, replace(found, drifts={}))) == {"data/drift"}
    assert "data/drift" not in {gate.name for gate in data_gates(declared(), replace(found, drifts={}))}


def evaluation(found: DataFacts | None) -> Evaluation:
    return Evaluation(
        model=TUMOUR.model,
        mlflow_run_id="run",
        n_rows=9,
        label_coverage=1.0,
        candidate={},
        baseline="1",
        baseline_metrics={},
        n_paired_rows=9,
        data=found,
    )


def test_a_feature_that_knows_the_label_goes_to_a_person() -> None:
    leak = [part.set_column(3, "mean_texture", part["label"]) for part in (TRAIN, HOLDOUT)]
    found = facts(declared(), *leak)
    assert found.powers["mean_texture"] == 1.0
    (flag,) = leak_flags(declared(), evaluation(found), SNAPSHOT)
    assert str(flag).endswith("mean_texture alone foretells the labels with 1 (bound 0.99): is it known in time?")
    assert review_mode(TUMOUR, ReleaseState(model="m", champion="1"), "auto", (flag,)) == "manual"
    assert leak_flags(declared(max_power=None), evaluation(found), SNAPSHOT) == ()
    assert leak_flags(declared(), evaluation(None), SNAPSHOT) == ()


def test_a_missing_value_that_gives_the_label_away_leaks_too() -> None:
    leak = []
    for part in (TRAIN, HOLDOUT):
        texture = np.where(part["label"].to_numpy() == 1, np.nan, part["mean_texture"].to_numpy())
        leak.append(part.set_column(3, "mean_texture", pa.array(texture)))
    assert facts(declared(), *leak).powers["mean_texture"] > 0.99


def test_what_is_not_measured_never_passes() -> None:
    config = declared(entity="clinic", max_drifted=0.5)
    assert len(failed(config, None)) == 5


def test_features_that_tell_much_without_leaking_are_below_the_bound() -> None:
    tumours = trials.rows(40)
    for config, train, holdout in (
        (WINE, wine_rows(900, seed=1), wine_rows(900, seed=2)),
        (DIABETES, diabetes_rows(900, seed=1), diabetes_rows(900, seed=2)),
        (TUMOUR, tumours[:2000], tumours[2000:]),
    ):
        sides = (pa.Table.from_pandas(frame, preserve_index=False) for frame in (train, holdout))
        found = powers(config, *sides)
        assert 0.5 < max(found.values()) < 0.99, config.model


def test_an_entity_that_is_no_feature_is_refused() -> None:
    with pytest.raises(ValidationError, match=r"signoff.data.entity = nobody: no such"):
        declared(entity="nobody")
