"""Programs that are run by hand alone: what they import, of ours and of each other, is held against the code here.

And what makes a benchmark red."""

import ast
import runpy
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "tests" / "bench"
OURS = ("perennial", "stack", "demo")
PROGRAMS = [
    *sorted(FOLDER.glob("*.py")),
    *sorted((ROOT / "docs").glob("*/*.py")),
    *sorted((ROOT / "tests" / "simulations").glob("*.py")),
]


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_what_a_program_imports_is_there(path: Path) -> None:
    modules, names = _imports(path)
    missing = [f"{module}.{name}" for module, name in names if not _is_there(path, module, name)]
    assert [*missing, *(module for module in modules if _file_of(module) is None)] == []


def test_programs_are_of_every_folder() -> None:
    assert {path.parent.name for path in PROGRAMS} >= {"bench", "simulations", "tutorial", "reference_pages"}


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


def _imports(path: Path) -> tuple[list[str], list[tuple[str, str]]]:
    """Modules of ours that are imported whole, and names from modules of ours or of a file beside or in ``tests/``."""
    nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    whole = [name.name for node in nodes if isinstance(node, ast.Import) for name in node.names]
    parts = [
        (str(node.module), name.name)
        for node in nodes
        if isinstance(node, ast.ImportFrom) and node.level == 0
        for name in node.names
    ]
    return (
        [name for name in whole if name.partition(".")[0] in OURS],
        [one for one in parts if one[0].partition(".")[0] in OURS or _sibling(path, one[0])],
    )


def _sibling(path: Path, module: str) -> Path | None:
    """The file that a program means by a module: a helper of the tests, or one beside it. None for neither."""
    places = [*([ROOT / "tests"] if ROOT / "tests" in path.parents else []), path.parent]
    return next((place / f"{module}.py" for place in places if (place / f"{module}.py").exists()), None)


def _is_there(path: Path, module: str, name: str) -> bool:
    file = _file_of(module) if module.partition(".")[0] in OURS else _sibling(path, module)
    return (file is not None and name in _defined(file)) or _file_of(f"{module}.{name}") is not None


def _file_of(module: str) -> Path | None:
    """Where a module of ours lies; a folder without ``__init__.py`` is one, too."""
    place = ROOT / "include" / module.replace(".", "/")
    return next((found for found in (place.with_suffix(".py"), place / "__init__.py", place) if found.exists()), None)


@cache
def _defined(path: Path) -> set[str]:
    """The names at the top of a file, read without running it: that is cheap, and a program would begin its work.

    What is imported for types alone is there as well where the file has a ``__getattr__``, which imports it later.
    """
    if path.is_dir():
        return set()
    body = ast.parse(path.read_text(encoding="utf-8")).body
    made = {node.name for node in body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)}
    for node in body:
        of_types = isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and (
            "__getattr__" in made or not of_types
        ):
            made |= _bound(node)
    return made


def _bound(statement: ast.stmt) -> set[str]:
    nodes = list(ast.walk(statement))
    imported = [name for node in nodes if isinstance(node, ast.Import | ast.ImportFrom) for name in node.names]
    stored = {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    return stored | {name.asname or name.name.partition(".")[0] for name in imported}
