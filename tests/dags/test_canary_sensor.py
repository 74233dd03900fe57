"""The canary's task: it gives its slot back while it waits, and ends skipped when the version was taken back."""

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowSkipException, TaskDeferred

from perennial.orchestration import canary
from perennial.release.canary.ramp import Look


def run(monkeypatch: pytest.MonkeyPatch, *looks: Look) -> tuple[str, int]:
    """What the task ends with, and how often it gave its slot back."""
    said = list(looks)
    case = SimpleNamespace(
        signoff=lambda _: SimpleNamespace(version="4"), canary=lambda _id, *, now: said.pop(0) if now.tzinfo else None
    )

    @contextmanager
    def opened(_: str) -> Iterator[Any]:
        yield case

    monkeypatch.setattr(canary, "opened", opened)
    monkeypatch.setattr(canary, "leave_link", lambda *_: None)
    sensor, n_waited = canary.CanarySensor(model="m", signoff="s"), 0
    begin: Any = sensor.execute
    while True:
        try:
            return begin({"ti": None}), n_waited
        except TaskDeferred as deferred:
            n_waited += 1
            assert deferred.trigger.moment is not None
            begin = lambda context, method=deferred.method_name: getattr(sensor, method)(context, event=None)  # noqa: E731


WAITS = Look(state="waiting", reason="0 rows")


def test_it_looks_until_it_has_passed_or_none_was_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(monkeypatch, WAITS, WAITS, Look(state="passed", reason="good")) == ("good", 2)
    assert run(monkeypatch, Look(state="none", reason="no share")) == ("no share", 0)


def test_taken_back_it_ends_skipped_and_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(AirflowSkipException, match="harm"):
        run(monkeypatch, WAITS, Look(state="taken_back", reason="it did harm"))
