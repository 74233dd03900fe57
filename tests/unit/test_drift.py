from datetime import timedelta
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

from drifting import compared_of, drift_of
from logs import day
from monitored import even_importance, log_of, reference_of, rows_of
from perennial.config import ModelConfig, load_model
from perennial.contracts import Signal, Subject
from perennial.monitoring.drift.comparing import Compared
from perennial.monitoring.drift.screening import Pair, Unmeasured, screen
from perennial.monitoring.drift.signals import nullable, unmeasured

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
    return drift_of(config, rows, reference, importance=weights)


def with_features(*names: str, config: ModelConfig = WINE) -> ModelConfig:
    """The model with these features only: Evidently draws every column, which takes most of the time of a test."""
    return config.model_copy(update={"features": {name: config.features[name] for name in names}})


def replaced(rows: pa.Table, name: str, values: Any) -> pa.Table:
    return rows.set_column(rows.schema.get_field_index(name), name, values)


def test_like_rows_do_not_drift_and_every_feature_has_its_signal() -> None:
    found = measured()
    names = {f"drift/{name}" for name in (*WINE.features, "score", "weighted_share")}
    assert set(found) == names | {"drift/ash/nulls", "drift/organic/nulls"}
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
        return drift_of(config, rows, reference)["drift/hue"]

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
    assert isinstance(found, Unmeasured)
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
    assert drift_of(config, ROWS, REFERENCE)["drift/weighted_share"].status == "unknown"
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
    found = unmeasured(WINE, about(), "gone")
    assert {signal.status for signal in found} == {"unknown"}
    assert len(found) == len(WINE.features) + 2 + len(nullable(WINE))


def test_what_evidently_raises_is_told_and_leaves_no_page(caplog: pytest.LogCaptureFixture) -> None:
    from perennial.monitoring.drift.evidently_report import measure

    text = Pair("hue", "number", WINE.signals.drift.number, pd.Series(["a"] * 40), pd.Series(["b"] * 40))
    found = measure([text])
    assert (found.values, found.html) == ({}, None)
    assert "no page: Evidently: " in caplog.text
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
    both = (ROWS, replaced(ROWS, name, far))
    distances = [drift_of(config, rows, REFERENCE)[f"drift/{name}"].value for rows in both]
    assert distances[0] is not None
    assert distances[1] is not None
    assert 0 <= distances[0] < 0.1 < distances[1]


def with_methods(**kinds: str) -> ModelConfig:
    declared = WINE.model_dump()
    for kind, method in kinds.items():
        declared["signals"]["drift"][kind] = {"method": method, "threshold": 0.2}
    return ModelConfig.model_validate(declared)


def test_psi_is_blind_to_an_outlier_and_so_is_wasserstein() -> None:
    rng = np.random.default_rng(3)
    like, wider = rng.lognormal(0, 0.5, 300), rng.lognormal(0, 0.5, 300) * 1.8
    reference = replaced(REFERENCE, "hue", pa.array(rng.lognormal(0, 0.5, REFERENCE.num_rows)))
    for method in ("psi_quantile", "wasserstein"):
        config = with_features("hue", config=with_methods(number=method))

        def hue(values: Any, config: ModelConfig = config) -> Signal:
            return measured(replaced(ROWS, "hue", pa.array(values)), reference, config=config)["drift/hue"]

        spoilt = pa.array(np.append(reference["hue"].to_numpy()[1:], 1e12))
        in_reference = measured(
            replaced(ROWS, "hue", pa.array(wider)), replaced(reference, "hue", spoilt), config=config
        )["drift/hue"]
        assert in_reference.value == pytest.approx(hue(wider).value, abs=0.05)
        assert hue(np.append(wider[1:], 1e12)).value == pytest.approx(hue(wider).value, abs=0.02)
        assert hue(np.append(wider[1:], 1e12)).status == "breached"
        assert hue(np.append(like[1:], 1e12)).status == "ok"


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


def test_a_distance_that_chance_makes_as_well_is_undecided() -> None:
    """Forty rows in twenty blocks: the threshold lies within what chance does."""
    config = with_drift(with_features("hue", "ash"), number={"method": "wasserstein", "threshold": 0.05})
    found = measured(ROWS.slice(0, 40), config=config)["drift/hue"]
    assert found.status == "undecided"
    assert found.chance is not None
    assert found.chance.p > 0.05
    assert found.chance.quantile > 0.05
    assert (found.chance.n_rows, found.chance.n_blocks) == (40, len(blocks_of(ROWS.slice(0, 40))) + 44)


def test_too_few_blocks_to_alarm_are_no_pass() -> None:
    one_block = replaced(ROWS, "event_time", pa.array([day(0).start] * 300, pa.timestamp("us", "UTC")))
    found = measured(one_block, config=with_features("hue", "ash"))
    assert {found[name].status for name in ("drift/hue", "drift/ash", "drift/ash/nulls", "drift/score")} == {
        "undecided"
    }
    assert "1 blocks against 44: too few, p is 0.022 at least" in found["drift/hue"].detail
    assert found["drift/weighted_share"].status == "undecided"
    without_times = measured(ROWS, REFERENCE.drop_columns(["event_time"]), config=with_features("hue"))
    assert without_times["drift/hue"].status == "undecided"


def test_the_budget_decides_how_small_p_has_to_be() -> None:
    shifted = replaced(ROWS, "hue", pc.add(ROWS["hue"], 1.0))
    strict = with_budget(with_features("hue"), per=timedelta(days=900), share=0.0001)
    assert measured(shifted, config=with_features("hue"))["drift/hue"].status == "breached"
    found = measured(shifted, config=strict)["drift/hue"]
    assert found.status == "undecided", "more permutations than are worth their time"


def test_nulls_that_come_have_a_signal_of_their_own() -> None:
    values = ROWS["ash"].to_numpy().copy()
    values[::6] = np.nan
    found = measured(replaced(ROWS, "ash", pa.array(values, from_pandas=True)), config=with_features("hue", "ash"))
    nulls = found["drift/ash/nulls"]
    assert (nulls.status, nulls.role, nulls.threshold) == ("breached", "watch", 0.03)
    assert nulls.value == pytest.approx(1 / 6)
    assert found["drift/ash"].status == "ok"


def test_a_large_p_of_another_column_does_not_hide_one_that_moved() -> None:
    config = with_features("alcohol", "ash", "hue", "cellar", "organic")
    found = measured(replaced(ROWS, "hue", pc.add(ROWS["hue"], 1.0)), config=config)
    assert {name for name, signal in found.items() if signal.status == "breached"} == {"drift/hue"}


def test_a_year_of_history_gives_the_verdict_to_the_season() -> None:
    """The window is as it was a year ago, and unlike the reference."""
    config = with_features("hue", "ash")
    rows = replaced(ROWS, "hue", pc.add(ROWS["hue"], 1.0))
    own = compared_of(config, rows, REFERENCE)
    like = compared_of(
        config, replaced(rows_of(WINE, log_of(WINE, 1, n_rows=300, seed=9)), "hue", shifted(9)), REFERENCE
    )
    season = Compared(since="season", reference=like.window, window=own.window)
    found = drift_of(config, rows, REFERENCE, importance=even_importance(WINE), more=(season,))
    assert (found["drift/hue"].status, found["drift/hue"].role) == ("breached", "watch")
    assert (found["drift/hue/vs_season"].status, found["drift/score/vs_season"].role) == ("ok", "alert")
    assert found["drift/score"].role == "watch"
    assert found["drift/weighted_share"].value == 0
    by_reference = with_drift(config, verdict="reference")
    found = drift_of(by_reference, rows, REFERENCE, importance=even_importance(WINE), more=(season,))
    assert found["drift/weighted_share"].value == 0.5
    assert found["drift/score"].role == "alert"


def test_a_short_season_has_no_verdict() -> None:
    config = with_features("hue", "ash")
    few = compared_of(config, ROWS, REFERENCE)
    season = Compared(
        since="season", reference=few.window.among(few.window.blocks < few.window.blocks[3]), window=few.window
    )
    found = drift_of(config, ROWS, REFERENCE, more=(season,))
    assert found["drift/score"].role == "alert"
    assert found["drift/score/vs_season"].role == "watch"


def shifted(seed: int) -> pa.Array:
    return pc.add(rows_of(WINE, log_of(WINE, 1, n_rows=300, seed=seed))["hue"], 1.0)


def with_drift(config: ModelConfig, **values: Any) -> ModelConfig:
    plain = config.model_dump()
    plain["signals"]["drift"] |= values
    return ModelConfig.model_validate(plain)


def with_budget(config: ModelConfig, **values: Any) -> ModelConfig:
    plain = config.model_dump()
    plain["signals"]["false_alarms"] |= values
    return ModelConfig.model_validate(plain)


def blocks_of(rows: pa.Table) -> set[int]:
    return set((rows["event_time"].cast(pa.int64()).to_numpy() // 3_600_000_000).tolist())


def test_no_block_is_compared_with_itself() -> None:
    """Before the window the reference has precedence; of the window's own blocks, the window."""
    config = with_features("hue")
    known = rows_of(WINE, log_of(WINE, -1, n_rows=300))
    both = pa.concat_tables([known, ROWS])
    parts = pa.array(["train"] * 300 + ["holdout"] * 300)
    reference = both.drop_columns(["model_version"]).append_column("part", parts)
    found = compared_of(config, both, reference)
    start = int(day(0).start.timestamp() * 1e6)
    assert (found.window.blocks.min(), found.reference.blocks.max()) == (start, start - 3 * 3_600_000_000)
    assert (found.window.n_rows.sum(), found.reference.n_rows.sum()) == (300, 300)
    later = compared_of(config, both, REFERENCE)
    assert later.window.n_rows.sum() == 600, (
        "days before the window that the reference does not hold are judged with it"
    )
