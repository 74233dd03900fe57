"""Flags: each fires on its fault, on nothing else, and says why it knows nothing."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from logs import day
from perennial.config import ModelConfig, load_model
from perennial.contracts import Flag, Signal, Snapshot, Subject, Window, from_record, to_record
from perennial.contracts.signoffs import Gate, Signoff
from perennial.evidence.lateness import Lateness, LatenessSeen
from perennial.monitoring.feature_flags import feature_flags
from perennial.monitoring.label_flags import FlagBasis, label_flags
from perennial.signoff.flagged import flags_on
from perennial.statistics.units import conversions, explain_shift

ROOT = Path(__file__).parents[2]
FLIGHTS = load_model(ROOT / "include" / "models" / "flight_delay")
WINE, DIABETES = (load_model(ROOT / "tests" / "models" / name) for name in ("wine_cultivar", "diabetes_progress"))
ABOUT = Subject(model="m", window=day(0), as_of=day(1).end, version="3")
N_DAYS, PER_DAY = 20, 200
USUAL = Lateness(n_labels=4000, median_h=44.0, q90_h=70.0)
STEADY = LatenessSeen(now=USUAL, earlier=(USUAL, USUAL))


def rows(seed: int = 1, *, n_days: int = N_DAYS, **given: Any) -> pa.Table:
    """Labelled rows of a model that knows something: of 20 days, whose label rates lie between 0.2 and 0.4."""
    rng = np.random.default_rng(seed)
    n = n_days * PER_DAY
    number = np.arange(n) // PER_DAY
    score = np.clip(rng.uniform(0.2, 0.4, n_days)[number] + rng.normal(0, 0.15, n), 0.01, 0.99)
    frame = pd.DataFrame(
        {
            "event_time": pd.Timestamp("2024-01-01", tz="UTC") + pd.to_timedelta(number, unit="D"),
            "score": score,
            "label": (rng.random(n) < score).astype(float),
            "predicted": None,
            "carrier": rng.choice(["AA", "UA"], n),
            "origin": "JFK",
            "dest": "LAX",
            "part": "holdout",
        }
    ).assign(**given)
    table = pa.Table.from_pandas(frame, preserve_index=False)
    times = table["event_time"].cast(pa.timestamp("us", "UTC"))
    return table.set_column(table.column_names.index("event_time"), "event_time", times)


def flags(
    now: pa.Table | None,
    *,
    config: ModelConfig = FLIGHTS,
    reference: pa.Table | None = None,
    why: str | None = None,
    lateness: LatenessSeen | None = STEADY,
) -> dict[str, Signal]:
    beside = FlagBasis(reference=reference, gone="" if reference is not None else "it is gone", lateness=lateness)
    return {s.name.removeprefix("flag/"): s for s in label_flags(config, ABOUT, now, beside=beside, why=why)}


def fired(found: dict[str, Signal]) -> set[str]:
    return {name for name, signal in found.items() if signal.status == "breached"}


def inverted(table: pa.Table) -> pa.Table:
    flipped = pa.array(1.0 - table["label"].to_numpy())
    return table.set_column(table.column_names.index("label"), "label", flipped)


def test_an_unchanged_window_raises_no_flag_and_every_one_is_known() -> None:
    found = flags(rows(2), reference=rows(1))
    assert {signal.status for signal in found.values()} == {"ok"}
    assert {signal.role for signal in found.values()} == {"alert"}
    assert set(found) == {
        "below_chance", "label_rate", "calibration", "lateness", "lost_class/carrier", "lost_class/origin",
        "lost_class/dest",
    }  # fmt: skip


def test_labels_upside_down_are_flagged_three_times_with_figures() -> None:
    found = flags(inverted(rows(2)), reference=rows(1))
    assert fired(found) == {"below_chance", "label_rate", "calibration"}
    assert found["below_chance"].interval is not None
    assert found["below_chance"].interval.high < 0.5
    assert "is the range of the reference" in found["label_rate"].detail


def test_chance_itself_is_no_flag() -> None:
    guess = rows(2, score=np.random.default_rng(3).uniform(0.2, 0.4, N_DAYS * PER_DAY))
    found = flags(guess, reference=rows(1))["below_chance"]
    assert (found.status, found.threshold) == ("undecided", 0.5)


def test_too_few_blocks_decide_nothing() -> None:
    found = flags(inverted(rows(2, n_days=5)), reference=rows(1))
    assert {found[name].status for name in ("below_chance", "label_rate", "calibration")} == {"undecided"}


@pytest.mark.parametrize(("rate", "flagged"), [(0.02, True), (0.3, False), (0.41, False), (0.6, True)])
def test_the_label_rate_is_held_against_the_range_of_the_references_days(rate: float, flagged: bool) -> None:
    label = (np.random.default_rng(4).random(N_DAYS * PER_DAY) < rate).astype(float)
    found = flags(rows(2, label=label), reference=rows(1))["label_rate"]
    assert (found.status == "breached") is flagged, found


def test_a_reference_without_times_leaves_the_label_rate_unknown() -> None:
    found = flags(rows(2), reference=rows(1).drop_columns(["event_time"]))["label_rate"]
    assert (found.status, found.detail) == (
        "unknown", "the reference of version 3 holds no event_time: it was made before 0.3",
    )  # fmt: skip
    few = flags(rows(2), reference=rows(1, n_days=6))["label_rate"]
    assert (few.status, few.detail) == ("unknown", "the reference has 6 blocks of 30 rows; 10 are needed")


def test_scores_that_are_off_in_the_mean_are_flagged_on_either_side() -> None:
    known = rows(2)
    score = known["score"].to_numpy()
    for shift in (-0.27, 0.27):
        moved = known.set_column(known.column_names.index("score"), "score", pa.array(score + shift))
        assert fired(flags(moved, reference=rows(1))) == {"calibration"}
    moved = known.set_column(known.column_names.index("score"), "score", pa.array(score + 0.1))
    assert not fired(flags(moved, reference=rows(1)))


def test_a_value_that_lost_a_class_is_named() -> None:
    known = rows(2)
    is_ua = known["carrier"].to_numpy(zero_copy_only=False) == "UA"
    one = known.set_column(
        known.column_names.index("label"), "label", pa.array(np.where(is_ua, 0.0, known["label"].to_numpy()))
    )
    found = flags(one, reference=rows(1))
    assert found["lost_class/carrier"].status == "breached"
    assert found["lost_class/carrier"].detail.startswith("UA: ")
    assert found["lost_class/dest"].status == "ok"


def test_a_class_is_not_lost_where_few_rows_or_a_rare_label_explain_it() -> None:
    n = N_DAYS * PER_DAY
    rare = np.where(np.arange(n) % 1000 == 0, 1.0, 0.0)  # one row of a thousand: 4000 rows are no surprise without
    assert flags(rows(2, label=0.0), reference=rows(1, label=rare))["lost_class/dest"].status == "ok"
    small = np.where(np.arange(n) < 299, "HA", "AA")
    label = np.where(small == "HA", 0.0, rows(2)["label"].to_numpy())
    before = rows(1, carrier=np.where(np.arange(n) % 2, "HA", "AA"))
    assert flags(rows(2, carrier=small, label=label), reference=before)["lost_class/carrier"].status == "ok"
    small[299] = "HA"
    label[299] = 0.0
    assert flags(rows(2, carrier=small, label=label), reference=before)["lost_class/carrier"].status == "breached"


@pytest.mark.parametrize(
    ("median_h", "q90_h", "status"), [(44.0, 70.0, "ok"), (140.0, 230.0, "breached"), (44.0, 230.0, "breached"),
                                      (12.0, 70.0, "breached"), (120.0, 200.0, "ok")],
)  # fmt: skip
def test_lateness_is_held_against_the_range_of_earlier_windows(median_h: float, q90_h: float, status: str) -> None:
    now = Lateness(n_labels=3000, median_h=median_h, q90_h=q90_h)
    found = flags(rows(2), reference=rows(1), lateness=LatenessSeen(now=now, earlier=(USUAL, USUAL)))["lateness"]
    assert found.status == status, found
    assert "in 2 earlier windows median 44 h" in found.detail


def test_lateness_without_enough_earlier_windows_is_unknown_and_minutes_are_no_finding() -> None:
    found = flags(rows(2), reference=rows(1), lateness=LatenessSeen(now=USUAL, earlier=(USUAL,)))["lateness"]
    assert found.status == "unknown"
    fast, slow = (Lateness(n_labels=3000, median_h=hours, q90_h=hours) for hours in (0.001, 0.3))
    seen = LatenessSeen(now=slow, earlier=(fast, fast))
    assert flags(rows(2), reference=rows(1), lateness=seen)["lateness"].status == "ok"


def test_without_reference_or_labels_every_flag_that_needs_them_is_unknown_and_says_why() -> None:
    found = flags(rows(2))
    assert fired(found) == set()
    unknown = {name for name, signal in found.items() if signal.status == "unknown"}
    assert unknown == set(found) - {"below_chance", "lateness"}
    assert {found[name].detail for name in unknown} == {"it is gone"}
    assert {(s.status, s.detail) for s in flags(None, why="no labels").values()} == {("unknown", "no labels")}


def test_each_flag_can_be_switched_off() -> None:
    off = {"below_chance": False, "lost_class": False, "label_rate": None, "calibration": None, "lateness": None}
    off |= {"null_rate": None, "unit": None}
    quiet = FLIGHTS.signals.flags.model_copy(update=off)
    config = FLIGHTS.model_copy(update={"signals": FLIGHTS.signals.model_copy(update={"flags": quiet})})
    assert flags(inverted(rows(2)), config=config, reference=rows(1)) == {}
    assert not list(feature_flags(config, ABOUT, None, reference=None, gone="gone"))


def test_a_regression_worse_than_the_mean_and_a_multiclass_worse_than_the_mode_are_below_chance() -> None:
    rng = np.random.default_rng(5)
    n = N_DAYS * PER_DAY
    truth = rng.normal(150, 50, n)
    for score, expected in ((truth + rng.normal(0, 20, n), "ok"), (300 - truth, "breached")):
        found = flags(rows(2, label=truth, score=score), config=DIABETES, reference=rows(1, label=truth, score=truth))
        assert found["below_chance"].status == expected
        assert "over the constant predictor" in found["below_chance"].detail
    names = rng.choice(["barolo", "barbera", "grignolino"], n, p=[0.5, 0.3, 0.2])
    wrong = np.where(names == "barolo", "barbera", "barolo")
    for predicted, expected in ((names, "ok"), (wrong, "breached")):
        known = rows(1, label=names, predicted=names)
        found = flags(rows(2, label=names, predicted=predicted), config=WINE, reference=known)
        assert found["below_chance"].status == expected


def test_a_class_whose_share_left_its_range_is_named() -> None:
    rng = np.random.default_rng(5)
    n = N_DAYS * PER_DAY
    before, now = (rng.choice(["barolo", "barbera", "grignolino"], n, p=p) for p in ([0.5, 0.3, 0.2], [0.5, 0.5, 0]))
    found = flags(rows(2, label=now, predicted=now), config=WINE, reference=rows(1, label=before, predicted=before))
    assert found["label_rate"].status == "breached"
    assert found["label_rate"].detail.startswith("share of ")


def features(seed: int = 1, *, n_rows: int = 2000) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({name: rng.normal(50, 10, n_rows) for name in FLIGHTS.numbers})
    frame["distance_mi"] = rng.lognormal(6.8, 0.6, n_rows)
    frame["temp_f"] = rng.normal(40, 9, n_rows)
    return frame.assign(carrier="AA", origin="JFK", dest="LAX")


def of_features(now: pd.DataFrame, before: pd.DataFrame) -> dict[str, Signal]:
    tables = [pa.Table.from_pandas(frame, preserve_index=False) for frame in (now, before)]
    found = feature_flags(FLIGHTS, ABOUT, tables[0], reference=tables[1])
    return {signal.name.removeprefix("flag/"): signal for signal in found}


def test_features_as_they_were_raise_no_flag() -> None:
    assert {signal.status for signal in of_features(features(2), features(1)).values()} == {"ok"}


def test_a_change_of_unit_is_named_and_a_shift_that_no_unit_explains_is_none() -> None:
    now = features(2)
    changed = now.assign(
        distance_mi=now["distance_mi"] * 1.609344, temp_f=(now["temp_f"] - 32) / 1.8, visib_mi=now["visib_mi"] * 1.3
    )
    found = of_features(changed, features(1))
    assert fired(found) == {"unit/distance_mi", "unit/temp_f"}
    assert "as from mile to kilometre" in found["unit/distance_mi"].detail
    assert "as from degree Fahrenheit to degree Celsius" in found["unit/temp_f"].detail


def test_nulls_that_come_or_go_are_flagged() -> None:
    holes = features(2)
    holes.loc[: 2000 // 4, "plane_age_y"] = np.nan
    assert fired(of_features(holes, features(1))) == {"null_rate/plane_age_y"}
    assert fired(of_features(features(1), holes)) == {"null_rate/plane_age_y"}
    holes = features(2)
    holes.loc[: 2000 // 6, "plane_age_y"] = np.nan
    assert not fired(of_features(holes, features(1)))


def test_too_few_rows_and_a_feature_of_zeros_are_unknown() -> None:
    found = of_features(features(2, n_rows=299), features(1))
    assert {signal.status for signal in found.values()} == {"unknown"}
    assert found["unit/temp_f"].detail == "the window has 299 rows with temp_f; 300 are needed"
    zeros = of_features(features(2).assign(precip_in=0.0), features(1))["unit/precip_in"]
    assert (zeros.status, zeros.detail) == ("unknown", "every value is zero")
    lacking = of_features(features(2), features(1).drop(columns="temp_f"))["unit/temp_f"]
    assert (lacking.status, lacking.detail) == ("unknown", "the reference has no column temp_f")


@given(
    st.sampled_from(
        [(unit, known) for unit in ("mile", "percent", "°f", "hpa", "kg", "min") for known in conversions(unit)]
    )
)
def test_every_conversion_is_undone_exactly(case: tuple[str, Any]) -> None:
    unit, known = case
    values = np.random.default_rng(7).normal(40, 5, 500)
    found = explain_shift(values * known.factor + known.offset, values, unit=unit)
    if found is None:  # a factor so near one that the samples hardly differ
        assert abs(known.factor - 1) < 0.05
        return
    assert found.after < 1e-9 or found.conversion == known


WINDOW = Window(start=day(4).start, end=day(5).end)
SNAPSHOT = Snapshot(
    snapshot_id="s", model="m", as_of=day(30).end, train_uri="t", holdout_uri="h", digest="d",
    train=Window(start=day(2).start, end=day(11).end), holdout=Window(start=day(12).start, end=day(19).end), n_train=9,
    n_holdout=9, holdout_label_coverage=1.0,
)  # fmt: skip


def flag_signal(window: Window, name: str = "flag/unit/hue") -> Signal:
    return Signal(
        model="m", window=window, as_of=day(30).end, name=name, role="alert", status="breached", value=1.0,
        threshold=0.0, version="3", detail="found",
    )  # fmt: skip


def test_a_flag_counts_where_its_rows_were_trained_or_judged_on() -> None:
    inside, before, after = flag_signal(WINDOW), flag_signal(day(1)), flag_signal(day(20))
    found = flags_on(FLIGHTS, [after, inside, before], SNAPSHOT)
    assert [flag.window for flag in found] == [WINDOW]
    assert flags_on(FLIGHTS, [flag_signal(day(19))], SNAPSHOT), "the last day of the holdout"


def test_a_flag_of_labels_speaks_of_all_that_its_window_was_judged_over() -> None:
    late = day(24)  # judged with the nine days before it, so back to day 15
    assert flags_on(FLIGHTS, [flag_signal(late, "flag/label_rate")], SNAPSHOT)
    assert not flags_on(FLIGHTS, [flag_signal(late, "flag/null_rate/hue")], SNAPSHOT)


def test_an_excluded_stretch_is_flagged_no_more_and_the_rest_of_a_window_is() -> None:
    assert not flags_on(FLIGHTS, [flag_signal(WINDOW)], SNAPSHOT, excluded=(day(4), day(5)))
    assert flags_on(FLIGHTS, [flag_signal(WINDOW)], SNAPSHOT, excluded=(day(4),))
    outside = Window(start=day(0).start, end=day(2).end)  # its only day in training is excluded
    assert not flags_on(FLIGHTS, [flag_signal(outside)], SNAPSHOT, excluded=(day(2),))


def test_flagged_data_is_never_left_to_the_policy_and_old_signoffs_have_no_flags() -> None:
    gate = Gate(name="g", passed=True, value=1.0, bound=0.0, detail="fine")
    made = Signoff(
        model="m", version="4", artifact_digest="d", champion_seen="3", gates=(gate,), passed=True, review="manual",
        as_of=day(30).end, train=SNAPSHOT.train, holdout=SNAPSHOT.holdout,
        flags=(Flag(name="flag/unit/hue", window=WINDOW, detail="found"),),
    )  # fmt: skip
    assert from_record(Signoff, to_record(made)) == made
    old = {key: value for key, value in to_record(made).items() if key != "flags"}
    assert from_record(Signoff, old).flags == ()
    with pytest.raises(ValueError, match="leaves flagged data to the policy"):
        replace(made, review="auto")
