from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from logs import day
from monitored import even_importance, log_of, reference_of, rows_of
from perennial.config import DriftMethod, ModelConfig, load_model
from perennial.contracts import Signal, Subject
from perennial.monitoring.drift import drift_signals, without_reference
from perennial.monitoring.screening import Pair, Refusal, quantile_psi, screen

WINE = load_model(Path(__file__).parents[1] / "models" / "wine_cultivar")
REFERENCE = reference_of(WINE)
ROWS = rows_of(WINE, log_of(WINE, 0, n_rows=300))


def about(config: ModelConfig = WINE) -> Subject:
    return Subject.of_run(config.model, day(0), "1")


def measured(
    rows: pa.Table = ROWS,
    reference: pa.Table = REFERENCE,
    importance: dict[str, float] | None = None,
    *,
    config: ModelConfig = WINE,
) -> dict[str, Signal]:
    weights = even_importance(config) if importance is None else importance
    found, _ = drift_signals(config, about(config), rows, reference=reference, importance=weights)
    return {signal.name: signal for signal in found}


def with_features(*names: str, config: ModelConfig = WINE) -> ModelConfig:
    """The model with these features only: Evidently draws every column, which takes most of the time of a test."""
    return config.model_copy(update={"features": {name: config.features[name] for name in names}})


def replaced(rows: pa.Table, name: str, values: Any) -> pa.Table:
    return rows.set_column(rows.schema.get_field_index(name), name, values)


def test_like_rows_do_not_drift_and_every_feature_has_its_signal() -> None:
    found = measured()
    assert set(found) == {f"drift/{name}" for name in (*WINE.features, "score", "weighted_share")}
    assert {name for name, signal in found.items() if signal.status != "ok"} == set()
    assert found["drift/weighted_share"].value == 0
    assert (found["drift/hue"].role, found["drift/score"].role) == ("watch", "alert")


def test_shifted_features_drift_and_weigh_what_the_champion_gives_them() -> None:
    rows = replaced(ROWS, "hue", pc.add(ROWS["hue"], 1.0))
    rows = replaced(rows, "cellar", pa.array(["north"] * 300))
    rows = replaced(rows, "organic", pa.array([True] * 300))
    weights = dict.fromkeys(WINE.features, 0.0) | {"hue": 0.5, "cellar": 0.25, "ash": 0.25}
    config = with_features("alcohol", "ash", "hue", "cellar", "organic")
    found = measured(rows, importance=weights, config=config)
    drifted = {name for name, signal in found.items() if signal.status == "breached"}
    assert drifted == {"drift/hue", "drift/cellar", "drift/organic", "drift/weighted_share"}
    assert found["drift/weighted_share"].value == 0.75
    assert found["drift/weighted_share"].detail == "drifted: hue, cellar, organic"


def test_the_page_draws_every_column() -> None:
    _, html = drift_signals(WINE, about(), ROWS, reference=REFERENCE, importance=None)
    assert html is not None
    assert "color_intensity" in html


@pytest.mark.parametrize(
    ("values", "why"),
    [
        (pa.nulls(300, pa.float64()), "the window: 0 of 300 rows have a value"),
        (pa.array([np.inf] * 300), "300 of 300 values are infinite"),
        (pa.array([1.0] * 299 + [-np.inf]), "1 of 300 values are infinite"),
        (pa.array([np.nan] * 280 + [1.0] * 20), "20 of 300 rows have a value"),
        (pa.array(["much"] * 300), "string where a number was declared"),
        (pa.array([True] * 300), "bool where a number was declared"),
    ],
)
def test_a_column_without_a_distance_is_unknown_and_spoils_no_other(values: pa.Array, why: str) -> None:
    found = measured(replaced(ROWS, "hue", values), config=with_features("ash", "hue", "cellar"))
    assert found["drift/hue"].status == "unknown"
    assert why in found["drift/hue"].detail
    assert {name for name, signal in found.items() if signal.status == "unknown"} == {"drift/hue"}


@pytest.mark.parametrize("side", ["window", "reference"])
def test_a_column_on_one_side_only_is_unknown(side: str) -> None:
    rows = ROWS.drop_columns(["cellar"]) if side == "window" else ROWS
    reference = REFERENCE.drop_columns(["cellar"]) if side == "reference" else REFERENCE
    found = measured(rows, reference, config=with_features("hue", "cellar"))
    assert found["drift/cellar"].detail == f"the {side} has no column cellar"
    assert found["drift/hue"].status == "ok"


@pytest.mark.parametrize("method", ["wasserstein", "psi_quantile", "jensenshannon", "hellinger", "kl_div"])
def test_what_differs_from_a_constant_reference_has_drifted(method: str) -> None:
    config = with_features("hue", config=with_methods(number=method))
    reference = replaced(REFERENCE, "hue", pa.array([0.9] * REFERENCE.num_rows))

    def hue(values: list[float | None]) -> Signal:
        rows = replaced(ROWS, "hue", pa.array(values, pa.float64()))
        found, _ = drift_signals(config, about(config), rows, reference=reference, importance=None)
        return next(signal for signal in found if signal.name == "drift/hue")

    assert (hue([0.9] * 300).status, hue([0.9] * 300).value) == ("ok", 0.0)
    assert (hue([0.9] * 270 + [None] * 30).status, hue([2.5] * 300).value) == ("ok", 1.0)
    assert hue([2.5] * 300).status == "breached"
    some = hue([0.9] * 297 + [0.8, 1.0, 2.0])
    assert (some.status, some.value, some.threshold) == ("breached", 0.01, 0.0)
    assert some.detail == "the reference is constant (0.9); the share of values that differ"
    zero = replaced(REFERENCE, "hue", pa.array([0.0] * REFERENCE.num_rows))
    tiny = measured(replaced(ROWS, "hue", pa.array([1e-15] * 300)), zero, config=with_features("hue"))
    assert tiny["drift/hue"].status == "breached"


def test_a_constant_window_drifts() -> None:
    found = measured(replaced(ROWS, "hue", pa.array([2.5] * 300)), config=with_features("hue"))
    assert found["drift/hue"].status == "breached"


def test_a_tiny_unit_drifts_like_any_other() -> None:
    rows = replaced(ROWS, "hue", pc.multiply(pc.add(ROWS["hue"], 1.0), 1e-9))
    reference = replaced(REFERENCE, "hue", pc.multiply(REFERENCE["hue"], 1e-9))
    config = with_features("hue")
    plain = measured(replaced(ROWS, "hue", pc.add(ROWS["hue"], 1.0)), config=config)["drift/hue"]
    assert measured(rows, reference, config=config)["drift/hue"].value == pytest.approx(plain.value, rel=1e-6)


def test_identifiers_taken_for_categories_are_refused() -> None:
    ids = pa.array([f"id{i}" for i in range(1200)])
    found = screen("c", "category", WINE.signals.drift.category, current=ids, reference=ids, min_values=30)
    assert isinstance(found, Refusal)
    assert "1200 distinct values" in found.why


@pytest.mark.parametrize("n_rows", [0, 1])
def test_an_empty_or_one_row_window_knows_nothing(n_rows: int) -> None:
    found = measured(ROWS.slice(0, n_rows))
    assert {signal.status for signal in found.values()} == {"unknown"}


def test_rows_of_another_version_give_no_score_drift() -> None:
    found = measured(replaced(ROWS, "model_version", pa.array(["7"] * 300)), config=with_features("hue"))
    assert found["drift/score"].status == "unknown"
    assert "all by 7" in found["drift/score"].detail
    assert found["drift/hue"].status == "ok"


def test_without_importance_there_is_no_weighted_share() -> None:
    config = with_features("hue")
    found, _ = drift_signals(config, about(), ROWS, reference=REFERENCE, importance=None)
    assert (found[-1].name, found[-1].status) == ("drift/weighted_share", "unknown")
    unimportant = measured(importance=dict.fromkeys(WINE.features, 0.0), config=config)
    assert unimportant["drift/weighted_share"].status == "unknown"


@pytest.mark.parametrize(
    ("drifted", "unknown", "status", "value"),
    [
        (0.5, 0.0, "breached", 0.5),
        (0.5, 0.5, "breached", 0.5),
        (0.4, 0.2, "unknown", None),
        (0.4, 0.1, "unknown", None),
        (0.0, 0.5, "unknown", None),
        (0.4, 0.05, "ok", 0.4),
        (0.0, 0.4, "ok", 0.0),
    ],
)
def test_the_weighted_share_is_only_ok_when_the_unknown_could_not_change_it(
    drifted: float, unknown: float, status: str, value: float | None
) -> None:
    rows = replaced(ROWS, "hue", pa.nulls(300, pa.float64()))
    rows = replaced(rows, "cellar", pa.array(["north"] * 300))
    weights = dict.fromkeys(WINE.features, 0.0) | {"cellar": drifted, "hue": unknown, "ash": 1 - drifted - unknown}
    config = with_features("ash", "hue", "cellar")
    found = measured(rows, importance=weights, config=config)["drift/weighted_share"]
    assert (found.status, found.value) == (status, value)


def test_a_gone_reference_makes_every_signal_unknown() -> None:
    found = without_reference(WINE, about(), "gone")
    assert {signal.status for signal in found} == {"unknown"}
    assert len(found) == len(WINE.features) + 2


def test_what_evidently_raises_is_the_detail_of_every_column_it_was_to_measure() -> None:
    from perennial.monitoring.evidently_report import measure

    text = Pair("hue", "number", WINE.signals.drift.number, pd.Series(["a"] * 40), pd.Series(["b"] * 40))
    found = measure([text])
    assert found.values == {}
    assert found.problem is not None
    assert found.problem.startswith("Evidently: ")


@pytest.mark.parametrize("kind", ["number", "category"])
@pytest.mark.parametrize("method", ["jensenshannon", "hellinger", "kl_div", "psi_quantile", "wasserstein"])
def test_every_declared_method_tells_near_from_far(kind: str, method: str) -> None:
    if (kind, method) == ("category", "wasserstein"):
        with pytest.raises(ValueError, match="wasserstein measures numbers"):
            with_methods(category=method)
        return
    config = with_features("hue", "cellar", config=with_methods(**{kind: method}))
    name, far = ("hue", pc.add(ROWS["hue"], 1.0)) if kind == "number" else ("cellar", pa.array(["north"] * 300))
    distances = []
    for rows in (ROWS, replaced(ROWS, name, far)):
        found, _ = drift_signals(config, about(config), rows, reference=REFERENCE, importance=None)
        distances.append(next(signal.value for signal in found if signal.name == f"drift/{name}"))
    assert distances[0] is not None
    assert distances[1] is not None
    assert 0 <= distances[0] < 0.1 < distances[1]


def with_methods(**kinds: str) -> ModelConfig:
    declared = WINE.model_dump()
    for kind, method in kinds.items():
        declared["signals"]["drift"][kind] = {"method": method, "threshold": 0.2}
    return ModelConfig.model_validate(declared)


def psi(current: Any, reference: Any, kind: Any = "number") -> float:
    method = DriftMethod(method="psi_quantile", threshold=0.2)
    return quantile_psi(Pair("x", kind, method, pd.Series(current), pd.Series(reference)))


def test_psi_is_that_of_a_hand_count_and_blind_to_an_outlier() -> None:
    assert psi(["a"] * 8 + ["b"] * 2, ["a"] * 5 + ["b"] * 5, "category") == pytest.approx(
        0.3 * np.log(0.8 / 0.5) - 0.3 * np.log(0.2 / 0.5)
    )
    rng = np.random.default_rng(3)
    reference, current = rng.lognormal(0, 0.5, 20_000), rng.lognormal(0, 0.5, 20_000) * 1.4
    with_outlier = np.append(current, 1e12)
    assert psi(current, reference) > 0.25
    assert psi(with_outlier, reference) == pytest.approx(psi(current, reference), abs=0.01)
    assert psi(reference, reference) == 0


OF_EVERY_TYPE = with_features("ash", "magnesium", "cellar", "organic")


@cache
def in_their_order() -> dict[str, Signal]:
    return measured(config=OF_EVERY_TYPE)


@settings(deadline=None, max_examples=5)
@given(st.randoms(use_true_random=False))
def test_row_order_never_matters(random: Any) -> None:
    order, reference_order = list(range(ROWS.num_rows)), list(range(REFERENCE.num_rows))
    random.shuffle(order)
    random.shuffle(reference_order)
    shuffled = measured(ROWS.take(order), REFERENCE.take(reference_order), config=OF_EVERY_TYPE)
    assert shuffled == in_their_order()
