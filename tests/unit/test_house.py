"""A room is a folder of modules, and neither grows past what one reads in a go."""

import ast
from collections import defaultdict
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODULES = [path for top in ("include", "dags", "plugins") for path in sorted((ROOT / top).rglob("*.py"))]
ROOMS = sorted({path.parent for path in MODULES})
LARGEST_MODULE, LARGEST_ROOM = 300, 1300


def n_lines(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())


def test_no_module_is_longer_than_its_reader_is_patient() -> None:
    assert {str(path.relative_to(ROOT)): n for path in MODULES if (n := n_lines(path)) > LARGEST_MODULE} == {}


@pytest.mark.parametrize(
    "room", sorted({path.parent for path in MODULES}), ids=lambda path: str(path.relative_to(ROOT))
)
def test_no_room_is_larger_than_one_head(room: Path) -> None:
    """What grows past it is two rooms: a folder in it, with a sentence of its own that says what lives there."""
    assert sum(n_lines(path) for path in room.glob("*.py")) <= LARGEST_ROOM


def test_every_room_says_what_lives_there() -> None:
    packages = [path for path in MODULES if path.name == "__init__.py"]
    silent = [
        str(path.relative_to(ROOT)) for path in packages if not path.read_text(encoding="utf-8").startswith('"""')
    ]
    assert silent == []


TWO_ENDS = {"Refused", "Wrong"}
"""What a service answers, and what its client makes of it."""
ONE_WORD = {"Canary", "Look"}
"""The same thing as it is declared and as it stands in the ledger; of a canary, and of a bake by its guards."""


def test_a_type_has_a_name_of_its_own_in_all_rooms() -> None:
    rooms = defaultdict(list)
    for path in MODULES:
        for found in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(found, ast.ClassDef) and not found.name.startswith("_"):
                rooms[found.name].append(str(path.relative_to(ROOT)))
    twice = {name: paths for name, paths in rooms.items() if len(paths) > 1}
    assert set(twice) == TWO_ENDS | ONE_WORD, twice


REPLACED = {"about", "fresh", "ripe", "settled", "told", "vendor"}
"""Words that stood for something else in each place; the glossary has those that replaced them."""
OF_MODEL_YAML = {("include/perennial/config/model.py", "about")}


def test_a_word_that_was_replaced_names_nothing_again() -> None:
    found = set()
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            match node:
                case ast.Name(id=name, ctx=ast.Store()) | ast.arg(arg=name):
                    found.add((str(path.relative_to(ROOT)), name))
                case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                    found.add((str(path.relative_to(ROOT)), name))
    assert {(path, name) for path, name in found if name.strip("_") in REPLACED} == OF_MODEL_YAML
