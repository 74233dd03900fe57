"""Fairness by groups: Fairlearn's figures, with intervals that hold the truth, and never a pass without evidence."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from fairlearn.metrics import (
    demographic_parity_difference,
    equal_opportunity_difference,
    equalized_odds_difference,
)
from pydantic import ValidationError

from logs import day
from perennial.config import ModelConfig, load_model
from perennial.contracts import Signal, Subject
from perennial.monitoring.judged.fairness import fairness_signals
from perennial.statistics.comparing.fairness import MEASURES, Grouped
from perennial.statistics.rows import Rows

MODELS = Path(__file__).parents[1] / "models"
TUMOUR = load_model(MODELS / "tumour_malignant")
RATES = {"east": 0.3, "north": 0.45, "west": 0.5}
"""How often a group is predicted positive, whatever its label."""
MEANS = {"statistical_parity": 0.2, "equal_opportunity": 0.2, "average_odds": 0.2}


def drawn(n_rows: int, *, seed: int, spread: float = 0.1) -> Grouped:
    """Groups whose rates differ by 0.2, and share a shift with the other rows of their day."""
    chance, blocks = np.random.default_rng(seed), np.arange(n_rows) * 14 // n_rows
    groups = chance.choice(list(RATES), n_rows)
    shifts = spread * chance.normal(size=(14, 3))
    rates = np.array([RATES[name] for name in groups]) + shifts[blocks, np.searchsorted(list(RATES), groups)]
    predicted = (chance.random(n_rows) < rates).astype(np.int8)
    truth = (chance.random(n_rows) < 0.4).astype(np.int8)
    return Grouped(Rows(truth, predicted.astype(float), predicted), groups, blocks)


def test_figures_are_those_of_fairlearn() -> None:
    side = drawn(3000, seed=1)
    told = (side.rows.truth, side.rows.predicted)
    assert {name: function(side).value for name, function in MEASURES.items()} == pytest.approx(
        {
            "statistical_parity": demographic_parity_difference(*told, sensitive_features=side.groups),
            "equal_opportunity": equal_opportunity_difference(*told, sensitive_features=side.groups),
            "average_odds": equalized_odds_difference(*told, sensitive_features=side.groups, agg="mean"),
        }
    )


@pytest.mark.parametrize("name", list(MEASURES))
def test_the_interval_holds_the_true_difference(name: str) -> None:
    held = []
    for seed in range(100):
        found = MEASURES[name](drawn(2800, seed=seed))
        assert found.interval is not None
        held.append(found.interval.low <= MEANS[name] <= found.interval.high)
    assert np.mean(held) >= 0.93


def test_a_day_that_moves_every_group_alike_is_no_doubt_about_their_difference() -> None:
    chance, blocks = np.random.default_rng(4), np.repeat(np.arange(14), 200)
    groups = np.tile(["east", "north"], 1400)
    rates = 0.5 + 0.2 * chance.choice([-1, 1], 14)[blocks] + 0.1 * (groups == "east")
    predicted = (chance.random(2800) < rates).astype(np.int8)
    found = MEASURES["statistical_parity"](Grouped(Rows(predicted, rates, predicted), groups, blocks))
    assert found.interval is not None
    assert found.interval.standard_error < 0.03  # that of one group alone is 0.05


def table(*, blocks: int = 14, n_rows: int = 2800, seed: int = 1, **changed: Any) -> pa.Table:
    side = drawn(n_rows, seed=seed, spread=0.02)
    hours = np.datetime64("2024-01-01T00:00", "us") + (side.blocks % blocks) * np.timedelta64(1, "h")
    columns = {
        "event_time": pa.array(hours, pa.timestamp("us")).cast(pa.timestamp("us", "UTC")),
        "clinic": pa.array(side.groups),
        "score": pa.array(side.rows.scores),
        "label": pa.array(side.rows.truth.astype(float)),
    }
    return pa.table({**columns, **changed})


def declared(**told: Any) -> ModelConfig:
    whole = TUMOUR.model_dump()
    whole["signals"]["fairness"] = {"columns": ["clinic"], **told}
    return ModelConfig.model_validate(whole)


def measured(config: ModelConfig, rows: pa.Table | None, why: str | None = None) -> dict[str, Signal]:
    subject = Subject(model=config.model, window=day(0), as_of=day(1).end, version="1")
    return {signal.name: signal for signal in fairness_signals(config, subject, rows, why=why)}


def test_groups_that_are_treated_apart_breach_and_a_wider_bound_is_kept() -> None:
    assert {signal.status for signal in measured(declared(bound=0.05), table()).values()} == {"breached"}
    wide = measured(declared(bound=0.4, role="watch"), table())
    assert {(signal.status, signal.role) for signal in wide.values()} == {("ok", "watch")}
    assert set(wide) == {f"fairness/{name}/clinic" for name in MEASURES}


def test_small_groups_are_left_out_and_named() -> None:
    rows = table()
    clinic = rows["clinic"].to_numpy(zero_copy_only=False).astype(object)
    clinic[:40] = "south"
    found = measured(declared(), table(clinic=pa.array(clinic)))["fairness/statistical_parity/clinic"]
    assert found.detail.endswith("left out, too small: south")
    assert found.status == "breached"


@pytest.mark.parametrize(
    ("rows", "why", "said"),
    [
        (None, "overdue", "overdue"),
        (table(clinic=pa.array(["east"] * 2800)), None, "1 groups of clinic have 100 rows"),
        (table(score=pa.nulls(2800, pa.float64())), None, "a score that is missing"),
        (table().drop_columns(["event_time"]), None, "no event time"),
        (table(label=pa.array([0.0] * 2800)), None, "0 rows of east; 2 are needed"),
    ],
)
def test_what_can_not_be_told_is_unknown_and_says_why(rows: pa.Table | None, why: str | None, said: str) -> None:
    found = measured(declared(), rows, why)["fairness/equal_opportunity/clinic"]
    assert found.status == "unknown"
    assert said in found.detail


def test_few_blocks_decide_nothing() -> None:
    found = measured(declared(), table(blocks=4))
    assert {signal.status for signal in found.values()} == {"undecided"}


@pytest.mark.parametrize("columns", [["mean_radius"], ["nobody"]])
def test_numbers_and_unknown_columns_are_no_groups(columns: list[str]) -> None:
    with pytest.raises(ValidationError, match="no category and no boolean"):
        declared(columns=columns)


def test_off_unless_declared() -> None:
    assert measured(TUMOUR, table()) == {}
