"""What the service counts of each version: every request once, over processes and restarts, in the route."""

import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from perennial.config.release.declared import Releases
from perennial.config.release.guards import Guards
from perennial.guards.figures import LATENCY_S, ArmFigures, score_edges
from perennial.serving.measured.counting import Counting
from serving import TUMOUR, TestClient, opened, rows

NAMES = tuple(TUMOUR.features)


def counting(folder: Path, name: str = "a", **rules: Any) -> Counting:
    releases = Releases(guards=Guards(**rules))
    return Counting(TUMOUR.model_copy(update={"release": releases}), folder, name)


def answers(counting: Counting, n_rows: int, score: float = 0.3, **missing: None) -> None:
    row = tuple(missing.get(name, 1.0) if name in missing else 1.0 for name in NAMES)
    counting.answered("7", "champion", [row] * n_rows, [score] * n_rows, 0.004)


def one(told: dict[str, list[ArmFigures]], kind: str = "recent") -> ArmFigures:
    (found,) = told[kind]
    return found


def test_requests_rows_scores_and_missing_features_are_counted_alike_however_many_rows_come_at_once(
    tmp_path: Path,
) -> None:
    few, many = counting(tmp_path / "few"), counting(tmp_path / "many")
    for _ in range(40):
        answers(few, 1, clinic=None)
    answers(many, 40, clinic=None)
    small, large = one(few.with_others(few.mine())), one(many.with_others(many.mine()))
    assert small.scores == large.scores
    assert (small.rows, small.missing, large.missing) == (40, {**dict.fromkeys(NAMES, 0), "clinic": 40}, small.missing)
    assert (small.requests, large.requests, small.n_independent, large.n_independent) == (40, 1, 40.0, 1.0)
    place = int(np.searchsorted(score_edges("binary"), 0.3, side="right"))
    assert small.scores[place] == 40
    assert small.latency[int(np.searchsorted(LATENCY_S, 0.004, side="right"))] == 40


def test_a_request_that_was_not_answered_is_an_error_of_its_version(tmp_path: Path) -> None:
    counted = counting(tmp_path)
    counted.failed("7", "champion", 0.1)
    answers(counted, 1)
    found = one(counted.with_others(counted.mine()))
    assert (found.requests, found.errors, found.rows) == (2, 1, 1)


def test_other_processes_and_those_before_a_restart_are_added_up(tmp_path: Path) -> None:
    first, second = counting(tmp_path, "a"), counting(tmp_path, "b")
    for process in (first, second):
        answers(process, 2)
        process.keep(process.changed() or [])
        assert process.changed() is None
    (tmp_path / "1-c.json").write_bytes(b"[{")  # one that a full disk cut off
    assert one(first.with_others(first.mine())).rows == one(second.with_others(second.mine())).rows == 4
    assert one(counting(tmp_path, "after").with_others([])).requests == 2


def test_what_is_recent_ends_and_the_total_does_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counted, began = counting(tmp_path, over=timedelta(hours=1)), time.time()
    for number in range(20):
        monkeypatch.setattr(time, "time", lambda number=number: began + 300 * number)
        answers(counted, 1)
    told = counted.with_others(counted.mine())
    assert (one(told).requests, one(told, "total").requests) == (12, 20)


def test_the_route_tells_every_version_that_answered(tmp_path: Path) -> None:
    client = opened(tmp_path)
    try:
        asked(client)
    finally:
        client.__exit__(None, None, None)
    kept = list((tmp_path / "serving" / TUMOUR.model / "measured").glob("*.json"))
    assert len(kept) == 1, "what was counted is there after the end"


def asked(client: TestClient) -> None:
    for _ in range(3):
        assert client.post("/predict", json={"rows": rows(TUMOUR, 2)}).status_code == 200
    assert client.post("/predict", json={"rows": []}).status_code == 422
    told = client.get("/figures").json()
    assert (told["model"], told["version"]) == (TUMOUR.model, "7")
    (found,) = told["recent"]
    assert (found["version"], found["arm"], found["requests"], found["errors"], found["rows"]) == (
        *("7", "champion"),
        *(3, 0, 6),
    )
    assert sum(found["scores"]) == 6
    assert sum(found["latency"]) == 3
    elsewhere = client.get("/figures", headers={"host": "example.org"})
    assert elsewhere.status_code == 403


def test_a_request_of_few_rows_asks_numpy_for_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A call of numpy costs more than what it counts of a row; what a row costs is for tests/bench/bench_serve.py."""

    class Unasked:
        def __getattr__(self, name: str) -> Any:
            raise AssertionError(f"numpy was asked for {name}")

    counted = counting(tmp_path)
    monkeypatch.setattr("perennial.serving.measured.counting.np", Unasked())
    answers(counted, 1, clinic=None)
    answers(counted, 16)
    assert one(counted.with_others(counted.mine())).rows == 17
    with pytest.raises(AssertionError, match="numpy was asked"):
        answers(counted, 17)
