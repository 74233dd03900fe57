"""The simulations behind docs/statistics.md run by hand alone: here they run once, far too short to tell anything."""

import runpy
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "docs" / "simulations"


@pytest.mark.parametrize(
    ("script", "options", "n_lines"),
    [
        ("coverage.py", ["--blocks", "14", "--truth-blocks", "100"], 6),
        ("false_alarms.py", ["--permutations", "19", "--window-days", "7"], 3),
        ("since_promotion.py", [], 7),
    ],
)
def test_a_simulation_prints_its_table(
    script: str, options: list[str], n_lines: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", [script, "--repetitions", "2", *options])
    runpy.run_path(str(FOLDER / script), run_name="__main__")
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == n_lines
    assert len({line.count("|") for line in lines}) == 1
