"""The benchmarks run by hand alone: what they import is held against the code here, and what makes one red."""

import ast
import importlib
import runpy
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "bench"
BENCHES = sorted(path for path in FOLDER.glob("*.py") if not path.stem.startswith("__"))


@pytest.mark.parametrize("path", BENCHES, ids=lambda path: path.stem)
def test_what_a_benchmark_imports_is_there(path: Path) -> None:
    imports = [
        (str(node.module), name.name)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and str(node.module).partition(".")[0] in ("perennial", "stack", "demo")
        for name in node.names
    ]
    missing = [f"{module}.{name}" for module, name in imports if not _is_there(module, name)]
    assert missing == []


def _is_there(module: str, name: str) -> bool:
    try:
        return hasattr(importlib.import_module(module), name) or bool(importlib.import_module(f"{module}.{name}"))
    except ModuleNotFoundError:
        return False


def test_a_benchmark_that_writes_no_figures_is_red(tmp_path: Path) -> None:
    measured = runpy.run_path(str(FOLDER / "__main__.py"), run_name="bench")["measured"]
    script = tmp_path / "bench_console.py"
    for body, expected in {
        "": ([], False),
        "import sys; open(sys.argv[2], 'w').write('[]')": ([], False),
        "import sys; open(sys.argv[2], 'w').write('[{}]')": ([{}], True),
        "import sys; open(sys.argv[2], 'w').write('[{}]'); sys.exit(1)": ([{}], False),
    }.items():
        script.write_text(body, encoding="utf-8")
        assert measured(script, []) == expected


def test_one_above_a_budget_of_nothing_is_over_it() -> None:
    over = runpy.run_path(str(FOLDER / "__main__.py"), run_name="bench")["over_budget"]
    assert [over({"ours": ours, "ratio": None, "limit": 0}) for ours in (0, 1)] == [False, True]
    assert not over({"ours": 9, "limit": None})
