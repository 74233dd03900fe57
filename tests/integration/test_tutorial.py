"""The commands of the tutorial, as they are typed there, from the file to the rollback."""

import importlib.util
import json
import re
import shlex
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from typer.testing import CliRunner

from perennial.cli import app
from perennial.registry import Registry
from perennial.registry.versions import set_version_tags
from perennial.settings import ROOT, load_settings

PAGE = ROOT / "docs" / "tutorial" / "from-a-csv-to-a-rollback.md"
TYPED = re.compile(r"^\.venv/bin/(?:perennial|python docs/tutorial/(?=courier\.py)).*$", re.MULTILINE)
NOT_HERE = ("up", "report")  # servers are there already, and no browser is


def typed() -> list[list[str]]:
    """The commands of the page, in its order, word by word."""
    page = PAGE.read_text(encoding="utf-8")
    return [shlex.split(line)[1:] for line in TYPED.findall(page)]


def courier() -> ModuleType:
    """The program beside the page."""
    spec = importlib.util.spec_from_file_location("courier", PAGE.with_name("courier.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def approve_what_waits(said: str) -> None:
    """What the page tells to do in MLflow, where a version waits for its review."""
    if waits := re.search(r"version (\d+) waits for its review", " ".join(said.split())):
        registry = Registry(load_settings().require_mlflow_uri())
        set_version_tags(registry, "courier", waits[1], {"reviewer": "ada", "signoff": "approved"})


def test_the_commands_of_the_tutorial_lead_to_a_rollback(
    tmp_path: Path, database_url: str, mlflow_uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PERENNIAL_DATABASE_URL", database_url)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_uri)
    monkeypatch.setenv("PERENNIAL_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PERENNIAL_MODELS_DIR", str(tmp_path / "models"))
    monkeypatch.chdir(tmp_path)
    program, said = courier(), ""
    for words in typed():
        if words[0].endswith("courier.py"):
            program.main(words[1:])
        elif words[0] not in NOT_HERE:
            # the replay of the file is what test_backtest_cli.py tests, and a third of the time of all this
            done = CliRunner().invoke(app, [word for word in words if word != "--history"])
            assert done.exit_code == 0, done.output
            approve_what_waits(done.output)
            said += done.output
    standing = status()
    assert (standing["champion"], standing["stable"]) == ("1", "1")
    assert "version 2" in said


def status() -> Any:
    """What `perennial status` says of the model."""
    return json.loads(CliRunner().invoke(app, ["status", "courier", "--json"]).stdout)[0]
