"""Slices: declared ones against the metric's bound, and the worst one found, judged on rows that did not find it."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pydantic import ValidationError

from logs import day
from perennial.config import ModelConfig, load_model
from perennial.contracts import Signal, Subject
from perennial.monitoring.estimates.expectation import Expectation, learn
from perennial.monitoring.judged.slices import slice_signals

TUMOUR = load_model(Path(__file__).parents[1] / "models" / "tumour_malignant")
SUBJECT = Subject(model=TUMOUR.model, window=day(0), as_of=day(1).end, version="1")


def table(*, seed: int, n_rows: int = 2400, shock: float = 0.3) -> pa.Table:
    """Labelled rows of 24 hours: an honest score, labels whose odds share a shock with their hour."""
    chance, hours = np.random.default_rng(seed), np.arange(n_rows) * 24 // n_rows
    hidden = chance.normal(size=n_rows)
    scores = 1 / (1 + np.exp(-hidden))
    odds = hidden + shock * chance.normal(size=24)[hours]
    times = np.datetime64("2024-01-01T00:00", "us") + hours * np.timedelta64(1, "h")
    return pa.table(
        {
            "mean_radius": pa.array(10 + 5 * chance.random(n_rows)),
            "mean_texture": pa.array(20 * chance.random(n_rows)),
            "mean_smoothness": pa.array(chance.random(n_rows)),
            "n_visits": pa.array(chance.integers(0, 9, n_rows)),
            "clinic": pa.array(chance.choice(["east", "north", "west"], n_rows)),
            "screened": pa.array(chance.random(n_rows) < 0.5),
            "event_time": pa.array(times, pa.timestamp("us")).cast(pa.timestamp("us", "UTC")),
            "score": pa.array(scores),
            "predicted": pa.nulls(n_rows, pa.string()),
            "label": pa.array((chance.random(n_rows) < 1 / (1 + np.exp(-odds))).astype(float)),
        }
    )


def known() -> Expectation:
    rows = table(seed=999)
    found = learn(TUMOUR, rows.append_column("part", pa.array(["holdout"] * rows.num_rows)))
    assert isinstance(found, Expectation)
    return found


KNOWN = known()


def declared(**told: Any) -> ModelConfig:
    whole = TUMOUR.model_dump()
    whole["signals"]["slices"] = {"min_rows": 200, **told}
    return ModelConfig.model_validate(whole)


def measured(config: ModelConfig, rows: pa.Table | None, **told: Any) -> dict[str, Signal]:
    return {found.name: found for found in slice_signals(config, SUBJECT, rows, known=told.pop("known", KNOWN), **told)}


def turned(rows: pa.Table, wrong: np.ndarray) -> pa.Table:
    labels = rows["label"].to_numpy()
    return rows.set_column(rows.schema.get_field_index("label"), "label", pa.array(np.where(wrong, 1 - labels, labels)))


def test_a_slice_with_upside_down_labels_is_found_and_named() -> None:
    rows = table(seed=1)
    clinic = turned(rows, rows["clinic"].to_numpy(zero_copy_only=False) == "west")
    found = measured(declared(), clinic)["slice/found"]
    assert (found.status, found.role) == ("breached", "watch")
    assert found.detail.count("clinic in west") == 2  # as either half of the hours found it
    number = turned(rows, rows["mean_texture"].to_numpy() > 16)
    found = measured(declared(), number)["slice/found"]
    assert found.status == "breached"
    assert "mean_texture > 1" in found.detail


def test_where_nothing_is_wrong_the_worst_slice_breaches_as_seldom_as_it_says() -> None:
    """Against a bound of nothing at all: of one-sided 2.5 % some four of 150, and not the most of many looks."""
    config = declared(max_excess=1e-9)
    statuses = [measured(config, table(seed=seed, n_rows=1200))["slice/found"].status for seed in range(150)]
    assert statuses.count("breached") <= 10
    assert "unknown" not in statuses


def test_declared_slices_keep_or_break_the_bound_of_the_metric() -> None:
    rows = table(seed=2)
    config = declared(columns=["clinic", "screened"], find=False)
    usual = measured(config, rows)
    assert set(usual) == {f"slice/roc_auc/clinic={name}" for name in ("east", "north", "west")} | {
        f"slice/roc_auc/screened={name}" for name in ("true", "false")
    }
    assert "breached" not in {signal.status for signal in usual.values()}
    wrong = measured(config, turned(rows, rows["clinic"].to_numpy(zero_copy_only=False) == "west"))
    assert {name for name, signal in wrong.items() if signal.status == "breached"} >= {"slice/roc_auc/clinic=west"}
    assert wrong["slice/roc_auc/clinic=east"].status != "breached"


def test_more_slices_of_a_column_have_wider_intervals() -> None:
    rows = table(seed=3)
    one = rows.set_column(rows.schema.get_field_index("screened"), "screened", pa.array([True] * rows.num_rows))
    alone = measured(declared(columns=["screened"], find=False), one)["slice/roc_auc/screened=true"].interval
    assert alone is not None
    assert alone.confidence == TUMOUR.signals.uncertainty.confidence
    of_three = measured(declared(columns=["clinic"], find=False), rows)["slice/roc_auc/clinic=east"].interval
    assert of_three is not None
    assert of_three.confidence == pytest.approx(1 - 0.05 / 3)


@pytest.mark.parametrize(
    ("rows", "told", "said"),
    [
        (None, {"why": "overdue"}, "overdue"),
        (table(seed=1), {"known": "gone"}, "gone"),
        (table(seed=1, n_rows=60), {}, "no rows on one of both sides"),
    ],
)
def test_what_can_not_be_told_is_unknown_and_says_why(rows: pa.Table | None, told: dict[str, Any], said: str) -> None:
    found = measured(declared(), rows, **told)["slice/found"]
    assert found.status == "unknown"
    assert said in found.detail


def test_a_declared_column_without_large_values_is_unknown_and_a_number_is_refused() -> None:
    found = measured(declared(columns=["clinic"], min_rows=5000, find=False), table(seed=1))
    assert [(signal.name, signal.status) for signal in found.values()] == [("slice/roc_auc/clinic", "unknown")]
    with pytest.raises(ValidationError, match=r"slices\.columns mean_radius"):
        declared(columns=["mean_radius"])
