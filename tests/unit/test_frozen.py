"""Whether features still are, and are still declared, as they were when the champion was fitted."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from logs import day
from monitored import log_of, reference_of, rows_of
from perennial.config import ModelConfig, load_model
from perennial.contracts import Signal, Subject
from perennial.monitoring.served.frozen import Frozen, frozen_signals, some_frozen
from perennial.registry.reference import with_declared

WINE = load_model(Path(__file__).parents[1] / "models" / "wine_cultivar")
SUBJECT = Subject.of_run(WINE.model, day(0), "1")
N_ROWS = 240


def fitted_on() -> pa.Table:
    """Rows of ten days, with their ids."""
    parts = []
    for number in range(10):
        frame = log_of(WINE, number, n_rows=N_ROWS // 10, seed=number)
        ids = pa.array(frame["prediction_id"].tolist())
        parts.append(rows_of(WINE, frame).append_column("prediction_id", ids))
    return with_declared(pa.concat_tables(parts), WINE.declared)


def by_name(frozen: Frozen | str, config: ModelConfig = WINE) -> dict[str, Signal]:
    return {one.name: one for one in frozen_signals(config, SUBJECT, frozen)}


def changed(rows: pa.Table, name: str, every: int) -> pa.Table:
    values = rows[name].to_pylist()
    values[::every] = [None if number % 2 else 99.0 for number in range(len(values[::every]))]
    return rows.set_column(rows.column_names.index(name), name, pa.array(values, rows[name].type))


def test_rows_that_are_published_as_they_were_are_no_skew_whatever_their_order() -> None:
    drawn = fitted_on()
    shuffled = drawn.take(pa.array(np.random.default_rng(1).permutation(N_ROWS)))
    found = by_name(Frozen(drawn, shuffled))
    assert {one.status for one in found.values()} == {"ok"}
    assert found["skew/snapshot"].value == 0.0


def test_values_that_were_corrected_or_lost_since_are_and_it_says_which() -> None:
    drawn = fitted_on()
    found = by_name(Frozen(drawn, changed(drawn, "hue", 4)))["skew/snapshot"]
    assert (found.status, found.value, found.role) == ("breached", 0.25, "alert")
    assert "60 of 240 rows" in found.detail
    assert "hue 60" in found.detail


def test_a_value_that_was_missing_and_still_is_did_not_change() -> None:
    drawn = changed(fitted_on(), "hue", 2)
    assert by_name(Frozen(drawn, drawn))["skew/snapshot"].value == 0.0


def test_rows_that_are_gone_are_told_and_not_counted() -> None:
    drawn = fitted_on()
    found = by_name(Frozen(drawn, drawn.slice(40)))["skew/snapshot"]
    assert (found.status, found.value) == ("ok", 0.0)
    assert found.detail.endswith("40 are not published any more")
    none = by_name(Frozen(drawn, drawn.slice(0, 0)))["skew/snapshot"]
    assert none.status == "unknown"


def test_an_older_reference_and_a_lost_one_are_unknown_and_say_why() -> None:
    older = some_frozen(WINE, reference_of(WINE))
    found = by_name(Frozen(older, fitted_on()))
    assert {one.status for one in found.values()} == {"unknown"}
    assert "made before that was kept" in found["skew/declared"].detail
    assert {one.detail for one in by_name("the reference is gone").values()} == {"the reference is gone"}


@pytest.mark.parametrize(
    ("feature", "other", "told"),
    [
        ("cellar", {"categories": ["south", "north"]}, "categories in another order"),
        ("cellar", {"categories": ["north", "south", "west"]}, ""),
        ("hue", {"unit": "per mille"}, "unit None, now per mille"),
        ("hue", {"logged_as": "tint"}, "from hue, now tint"),
    ],
)
def test_a_feature_that_is_declared_otherwise_may_mean_something_else(
    feature: str, other: dict[str, object], told: str
) -> None:
    features = {**WINE.features, feature: WINE.features[feature].model_copy(update=other)}
    config = WINE.model_copy(update={"features": features})
    drawn = fitted_on()
    found = by_name(Frozen(drawn, drawn), config)["skew/declared"]
    assert (found.status, told in found.detail) == ("breached" if told else "ok", True)


def test_classes_that_changed_places_are_told() -> None:
    classes = list(reversed(WINE.label.classes or []))
    config = WINE.model_copy(update={"label": WINE.label.model_copy(update={"classes": classes})})
    drawn = fitted_on()
    assert by_name(Frozen(drawn, drawn), config)["skew/declared"].detail.startswith("label.classes: categories")
