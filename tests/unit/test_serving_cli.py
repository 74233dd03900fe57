"""Who may ask, on the command line; and what keeps a service from starting."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from dag_files import declare
from perennial.cli import app
from perennial.errors import ConfigError
from perennial.serving.declared import served_models
from perennial.serving.keys import Keys, whose
from perennial.settings import ROOT, Settings

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


def test_the_stack_serves_models_that_ask_for_it_or_that_a_setting_names(models_dir: Path, tmp_path: Path) -> None:
    one = '{kind: files, format: csv, uri: "/a/*.csv"}'
    landed = f"{{predictions: {one}, labels: {one}}}"
    declare(models_dir, "silent")
    for name, replaced in (("asks", {}), ("other", {"sources": landed})):
        path = declare(models_dir, name, **replaced)
        path.write_text(f"{path.read_text(encoding='utf-8')}serving: {{}}\n", encoding="utf-8")
    declare(models_dir, "broken").write_text("model: [", encoding="utf-8")

    def served(named: str | None) -> tuple[tuple[str, ...], tuple[str, ...]]:
        return served_models(Settings(home=tmp_path, models_dir=models_dir, serve=named))

    found, (problem,) = served(None)
    assert found == ("asks",)
    assert problem.startswith("other: sources.predictions: the service writes files of format jsonl")
    assert served("silent, asks") == (("silent", "asks"), ())
    assert served("") == ((), ())
    with pytest.raises(ConfigError, match=r"other: sources\.predictions"):
        served("other")


def test_the_key_of_the_settings_is_let_in_and_never_kept(
    perennial: Said, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(os, "execve", lambda *given: started.append(given))
    started: list[Any] = []
    monkeypatch.setenv("PERENNIAL_SERVING_KEY", "pk_of_the_stack")
    perennial("serve", "flight_delay", "--host", "0.0.0.0")  # noqa: S104 - it does not start
    assert len(started) == 1
    perennial("keys", "add", "desk")
    keys = Keys.below(tmp_path, "pk_of_the_stack")
    assert whose("pk_of_the_stack", keys.known()) == "PERENNIAL_SERVING_KEY"
    assert list(keys.read()) == ["desk"]
    assert "pk_of_the_stack" not in repr(keys)


def test_off_loopback_it_does_not_start_without_a_key(perennial: Said, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "execve", lambda *_: pytest.fail("it started"))
    code, said = perennial("serve", "flight_delay", "--host", "0.0.0.0")  # noqa: S104 - it is refused
    assert code == 1
    assert "make a key first, perennial keys add NAME" in said
