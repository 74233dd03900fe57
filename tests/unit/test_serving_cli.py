"""Who may ask, on the command line; and what keeps a service from starting."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from perennial.cli import app
from perennial.settings import ROOT

Said = Callable[..., tuple[int, str]]


@pytest.fixture
def perennial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Said:
    monkeypatch.setenv("PERENNIAL_HOME", str(tmp_path))
    monkeypatch.setenv("PERENNIAL_MODELS_DIR", str(ROOT / "include" / "models"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")

    def say(*words: str) -> tuple[int, str]:
        done = CliRunner().invoke(app, words)
        return done.exit_code, done.output

    return say


def test_keys_are_made_listed_and_forgotten_by_name(perennial: Said) -> None:
    code, key = perennial("keys", "add", "desk")
    assert (code, key[:3]) == (0, "pk_")
    assert perennial("keys", "add", "desk")[0] == 1
    assert "in lower case" in perennial("keys", "add", "The Desk")[1]
    assert list(json.loads(perennial("keys", "list", "--json")[1])) == ["desk"]
    assert perennial("keys", "remove", "desk")[0] == 0
    assert json.loads(perennial("keys", "list", "--json")[1]) == {}


def test_it_becomes_the_service_with_native_threads_pinned(perennial: Said, monkeypatch: pytest.MonkeyPatch) -> None:
    became: list[Any] = []
    monkeypatch.setattr(os, "execve", lambda *given: became.append(given))
    perennial("serve", "flight_delay", "--port", "8123")
    ((_, command, environment),) = became
    assert command[-5:] == ["perennial.serving", "flight_delay", "127.0.0.1", "8123", "1"]
    assert (environment["OMP_NUM_THREADS"], environment["OMP_WAIT_POLICY"]) == ("1", "PASSIVE")


def test_off_loopback_it_does_not_start_without_a_key(perennial: Said, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "execve", lambda *_: pytest.fail("it started"))
    code, said = perennial("serve", "flight_delay", "--host", "0.0.0.0")  # noqa: S104 - it is refused
    assert code == 1
    assert "make a key first, perennial keys add NAME" in said
