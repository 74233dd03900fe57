"""How serving went: latency, errors and memory against their bounds, or against their own past."""

from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pydantic import ValidationError

from logs import day
from perennial.config import ModelConfig, load_model
from perennial.contracts import Signal, Subject
from perennial.monitoring.system.requests import system_signals
from perennial.statistics.comparing.quantiles import quantile

WINE = load_model(Path(__file__).parents[1] / "models" / "wine_cultivar")


def told(columns: dict[str, str], **system: float) -> ModelConfig:
    plain = WINE.model_dump()
    plain["columns"] |= columns
    plain["signals"] |= {"system": system}
    return ModelConfig.model_validate(plain)


ALL = told({"latency_ms": "took_ms", "memory_mb": "rss_mb", "error": "failed"}, max_latency_p99_ms=200.0)
ABOUT = Subject.of_run(WINE.model, day(20), "1")


def requests(n_days: int = 12, *, slow: float = 1.0, share_failed: float = 0.0, seed: int = 1) -> pa.Table:
    rng, n = np.random.default_rng(seed), n_days * 200
    times = [day(9 + int(number) // 200).start + timedelta(seconds=int(number) % 200) for number in range(n)]
    return pa.table(
        {
            "prediction_id": [f"p{number}" for number in range(n)],
            "event_time": pa.array(times, pa.timestamp("us", "UTC")),
            "_latency_ms": slow * np.exp(3 + 0.5 * rng.normal(size=n)),
            "_memory_mb": pa.array(300 + rng.normal(size=n)),
            "_error": pa.array(rng.random(n) < share_failed),
        }
    )


def by_name(config: ModelConfig, rows: pa.Table, history: list[Signal] | None = None) -> dict[str, Signal]:
    return {one.name: one for one in system_signals(config, ABOUT, rows, history=history or [])}


def test_a_log_that_says_nothing_of_it_has_no_such_signal_and_each_column_its_own() -> None:
    assert by_name(WINE, requests()) == {}
    assert set(by_name(told({"error": "failed"}), requests())) == {"system/error_rate"}
    assert set(by_name(ALL, requests())) == {
        "system/latency_p50_ms",
        "system/latency_p95_ms",
        "system/latency_p99_ms",
        "system/error_rate",
        "system/memory_p95_mb",
    }


@pytest.mark.parametrize(("slow", "status"), [(1.0, "ok"), (10.0, "breached"), (3.1, "undecided")])
def test_a_bound_is_broken_by_the_whole_interval_alone(slow: float, status: str) -> None:
    found = by_name(ALL, requests(slow=slow))["system/latency_p99_ms"]
    assert (found.status, found.threshold, found.role) == (status, 200.0, "alert")
    assert found.interval is not None
    assert found.interval.n_blocks == 12


def test_failed_requests_are_a_share_of_those_that_say_whether_they_failed() -> None:
    rows = requests(share_failed=0.05)
    failed = rows["_error"].to_pylist()
    rows = rows.set_column(4, "_error", pa.array([None if number % 2 else one for number, one in enumerate(failed)]))
    found = by_name(ALL, rows)["system/error_rate"]
    assert found.status == "breached"
    assert found.value == pytest.approx(np.mean(failed[::2]))
    assert "1200 of 2400 requests say it, in 12 blocks" in found.detail
    assert by_name(ALL, requests())["system/error_rate"].status == "ok"


def test_without_a_bound_a_figure_has_to_go_on_as_it_did() -> None:
    history: list[Signal] = []
    for number in range(6):
        about = Subject.of_run(WINE.model, day(number), "1")
        history += system_signals(ALL, about, requests(seed=number), history=history)
    assert {one.status for one in history if one.name == "system/latency_p50_ms"} == {"undecided", "ok"}
    usual, slower = (by_name(ALL, requests(slow=slow, seed=9), history) for slow in (1.0, 1.5))
    assert usual["system/latency_p50_ms"].status == "ok"
    assert slower["system/latency_p50_ms"].status == "breached"
    assert "after 6 earlier windows; 2400 of 2400 requests say it" in slower["system/latency_p50_ms"].detail
    assert slower["system/latency_p50_ms"].interval is not None


def test_a_later_window_is_no_past_of_an_earlier_one() -> None:
    later = Subject.of_run(WINE.model, day(30), "1")
    history = [one for number in range(6) for one in system_signals(ALL, later, requests(seed=number))]
    assert by_name(ALL, requests(), history)["system/latency_p50_ms"].detail.startswith("0 earlier windows")


def test_a_column_that_nobody_fills_is_unknown_and_few_blocks_decide_nothing() -> None:
    rows = requests()
    empty = rows.set_column(2, "_latency_ms", pa.nulls(rows.num_rows, pa.float64()))
    found = by_name(ALL, empty)["system/latency_p99_ms"]
    assert (found.status, found.detail) == ("unknown", "no request says it")
    few = by_name(ALL, requests(3, slow=10.0))["system/latency_p99_ms"]
    assert few.status == "undecided"
    assert "3 blocks; an interval needs 5" in few.detail


def test_a_name_that_is_no_column_of_the_log_is_refused_and_no_column_has_two_uses() -> None:
    with pytest.raises(ValidationError, match="latency_s"):
        told({"latency_s": "took"})
    with pytest.raises(ValidationError, match="delivered column ash is named for two things"):
        told({"latency_ms": "ash"})


def test_the_interval_of_a_quantile_covers_it_about_as_often_as_it_says() -> None:
    """Days that share a level: rows taken for independent cover it in a third of the cases."""
    inside, truth = [], 1.645 * 1.25**0.5
    for seed in range(150):
        rng = np.random.default_rng(seed)
        blocks = np.repeat(np.arange(28), 150)
        values = rng.normal(size=len(blocks)) + 0.5 * rng.normal(size=28)[blocks]
        found = quantile(values, 0.95, blocks)
        assert found.interval is not None
        inside.append(found.interval.low <= truth <= found.interval.high)
    assert 0.89 <= np.mean(inside) <= 0.99
