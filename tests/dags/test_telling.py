"""What the last task of a run knows of the others, and what it does with a channel that fails."""

from types import SimpleNamespace
from typing import Any

import pytest

from perennial.notifying import Told
from perennial.orchestration.tasks import telling

TOLD = Told(sent=("CRITICAL m: halted",), failed=(), n_quiet=0, unrouted=())


def running(monkeypatch: pytest.MonkeyPatch, states: dict[str, str], failures: dict[str, str]) -> None:
    ti = SimpleNamespace(
        dag_id="m__monitor",
        task_id="tell",
        get_task_states=lambda _, run_ids: {run_ids[0]: states},
        xcom_pull=lambda name, **_: failures.get(name),
    )
    context = {"ti": ti, "dag_run": SimpleNamespace(run_id="r1")}
    monkeypatch.setattr(telling, "get_current_context", lambda: context)


def test_a_red_task_is_a_fault_unless_the_ledger_tells_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    states = {"stage_labels": "failed", "stage_predictions": "success", "decide": "upstream_failed", "halt": "failed",
              "blind": "skipped", "tell": "running", "measure_drift": "failed"}  # fmt: skip
    running(monkeypatch, states, {"stage_labels": "StorageUnavailable: gone"})
    assert telling.tasks_of_run("monitor") == {
        "monitor: stage_labels": "StorageUnavailable: gone",
        "monitor: stage_predictions": None,
        "monitor: measure_drift": "see its log",
    }


def test_a_channel_that_fails_is_said_and_raises_nothing(caplog: Any) -> None:
    failed = Told(sent=(), failed=(("CHAT_URL", "CHAT_URL is not set"),), n_quiet=1, unrouted=("INFO m: promoted",))
    assert telling.said(failed) == ["CHAT_URL is not set"]
    assert "CHAT_URL is not set; the maintenance tries again" in caplog.text
    assert "nobody is told, no channel is declared for it (notify in model.yaml): INFO m: promoted" in caplog.text
    assert telling.said(TOLD) == []


def test_a_review_waits_though_nobody_could_be_told(monkeypatch: pytest.MonkeyPatch, caplog: Any) -> None:
    monkeypatch.setattr(telling, "told_of", lambda *_: 1 / 0)
    telling.told_anyway(SimpleNamespace(model="m"))  # type: ignore[arg-type]
    assert "m: nobody could be told now; the maintenance tries again" in caplog.text
