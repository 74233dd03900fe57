from pathlib import Path

import numpy as np
import pyarrow as pa

from logs import day
from monitored import reference_of
from perennial.config import load_model
from perennial.contracts import Signal, Subject
from perennial.evidence.samples import Counts
from perennial.monitoring.quality import (
    Audited,
    KnownValues,
    add_up,
    audit_signals,
    row_signals,
    summarise,
    without_reference,
)
from perennial.statistics.comparing.shares import share

WINE = load_model(Path(__file__).parents[1] / "models" / "wine_cultivar")
ABOUT = Subject.of_run(WINE.model, day(0), "1")
REFERENCE = summarise(WINE, reference_of(WINE))


def counted(n_rows: int = 100, *, seen: dict[str, int] | None = None, unseen: int = 0) -> dict[str, Signal]:
    n_seen = dict.fromkeys(WINE.features, n_rows) | (seen or {})
    counts = Counts(n_rows, n_seen, {"cellar": unseen})
    return {signal.name: signal for signal in row_signals(WINE, ABOUT, counts, REFERENCE)}


def test_full_columns_are_ok_and_only_categories_can_be_unseen() -> None:
    found = counted()
    assert {signal.status for signal in found.values()} == {"ok"}
    assert {name for name in found if "unseen" in name} == {"quality/unseen/cellar"}
    assert len(found) == len(WINE.features) + 1


def test_a_null_rate_is_breached_by_its_increase_not_by_its_height() -> None:
    hole = reference_of(WINE).set_column(2, "ash", pa.array([None] * 400 + [2.0] * 400))
    counts = Counts(100, dict.fromkeys(WINE.features, 100) | {"ash": 45, "hue": 85}, {"cellar": 0})
    found = {signal.name: signal for signal in row_signals(WINE, ABOUT, counts, summarise(WINE, hole))}
    assert found["quality/null_rate/ash"].status == "ok"
    assert found["quality/null_rate/hue"].status == "breached"
    assert found["quality/null_rate/hue"].detail == "0.1500 of 100 rows, 0.0000 in the reference"


def test_holes_in_a_few_blocks_are_no_proof_of_more_of_them_and_in_all_blocks_they_are() -> None:
    known = KnownValues({"ash": 0.0}, {}, {"ash": share(np.zeros(20, int), np.full(20, 50))})
    n_rows = np.full(14, 100)

    def status(n_nulls: list[int]) -> str:
        nulls = np.array(n_nulls)
        seen, by_block = {"ash": int((n_rows - nulls).sum())}, {"": tuple(n_rows), "ash": tuple(n_rows - nulls)}
        counts = Counts(1400, dict.fromkeys(WINE.features, 1400) | seen, {}, by_block)
        found = {signal.name: signal for signal in row_signals(WINE, ABOUT, counts, known)}
        assert found["quality/null_rate/ash"].value == nulls.sum() / 1400
        return found["quality/null_rate/ash"].status

    at_most = WINE.signals.quality.max_null_increase
    assert at_most < 0.2
    assert status([100, 100, 80, *[0] * 11]) == "undecided"
    assert status([20] * 14) == "breached"
    assert status([0] * 14) == "ok"


def test_unseen_categories_are_a_share_of_the_values_that_are_there() -> None:
    found = counted(seen={"cellar": 50}, unseen=1)
    assert found["quality/unseen/cellar"].value == 0.02
    assert found["quality/unseen/cellar"].status == "breached"


def test_an_all_null_category_is_a_null_rate_and_an_unknown_share() -> None:
    found = counted(seen={"cellar": 0})
    assert found["quality/null_rate/cellar"].status == "breached"
    assert (found["quality/unseen/cellar"].status, found["quality/unseen/cellar"].detail) == (
        "unknown",
        "every value is null",
    )


def test_an_empty_window_and_a_gone_reference_are_unknown() -> None:
    assert {signal.status for signal in counted(0).values()} == {"unknown"}
    found = list(without_reference(WINE, ABOUT, "gone"))
    assert {(signal.status, signal.detail) for signal in found} == {("unknown", "gone")}
    assert {signal.name for signal in found} == set(counted())


def test_a_feature_that_the_reference_lacks_is_unknown() -> None:
    reference = summarise(WINE, reference_of(WINE).drop_columns(["cellar", "ash"]))
    counts = Counts(100, dict.fromkeys(WINE.features, 100))
    found = {signal.name: signal.status for signal in row_signals(WINE, ABOUT, counts, reference)}
    assert {name for name, status in found.items() if status == "unknown"} == {
        "quality/null_rate/cellar",
        "quality/unseen/cellar",
        "quality/null_rate/ash",
    }


def test_what_audits_counted_is_a_share_of_the_delivered_rows() -> None:
    audits = [
        {"n_rows": 60, "n_type_errors": {"hue": 2}, "n_out_of_range": {"ash": 1}},
        {"n_rows": 40, "n_type_errors": {"hue": 1}, "n_out_of_range": {}},
    ]
    found = {signal.name: signal for signal in audit_signals(WINE, ABOUT, add_up(audits))}
    assert (found["quality/type_error/hue"].value, found["quality/type_error/hue"].status) == (0.03, "breached")
    assert (found["quality/out_of_range/ash"].value, found["quality/out_of_range/ash"].status) == (0.01, "ok")
    assert "quality/out_of_range/cellar" not in found
    assert "quality/type_error/cellar" not in found


def test_a_window_without_an_audited_delivery_is_unknown() -> None:
    found = list(audit_signals(WINE, ABOUT, Audited(0, {}, {})))
    assert {signal.status for signal in found} == {"unknown"}
