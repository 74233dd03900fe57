"""The reference says what the code says, and the code keeps to the tables that the reference is made of."""

import ast
import doctest
import importlib.util
import re
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import ModuleType

import pytest

from perennial.contracts import tags

ROOT = Path(__file__).parents[2]
INCLUDE = ROOT / "include"
REFERENCE = ROOT / "docs" / "reference"
PAGES = sorted(page.name for page in REFERENCE.glob("*.md"))
READERS_OF_THE_ENVIRONMENT = {
    "perennial/__init__.py",
    "perennial/cli/__init__.py",
    "perennial/orchestration/preload.py",
    "perennial/registry/client.py",
    "perennial/settings.py",
    "perennial/validation/gx_imports.py",
    "stack/migrate_airflow.py",
    "stack/mlflow_accounts.py",
    "perennial/apart/environment.py",  # hands a few names on to the recipe
    "perennial/apart/forking.py",  # a home of its own for what it forks
    "perennial/serving/process.py",  # hands all of it on to the service that it becomes
    "perennial/serving/metrics.py",  # where prometheus-client keeps the figures of several processes
    "perennial/serving/following/watching.py",  # MLflow's patience, before it is imported
    "stack/supervision.py",  # hands all of it on to the processes
}


@cache
def generator() -> ModuleType:
    """docs/generate_reference.py, which finds its pages beside it."""
    with pytest.MonkeyPatch.context() as context:
        context.syspath_prepend(ROOT / "docs")
        spec = importlib.util.spec_from_file_location("generate_reference", ROOT / "docs" / "generate_reference.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return module


def code_of(*packages: str) -> Iterator[tuple[str, ast.Module]]:
    for package in packages:
        for path in sorted((INCLUDE / package).rglob("*.py")):
            yield path.relative_to(INCLUDE).as_posix(), ast.parse(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", PAGES)
def test_a_page_of_the_reference_is_up_to_date(name: str) -> None:
    made = generator().PAGES[name]()
    assert (REFERENCE / name).read_text(encoding="utf-8") == made, f"docs/reference/{name} is stale; run make docs"


def test_every_page_that_can_be_made_is_there() -> None:
    assert sorted(generator().PAGES) == PAGES


def test_the_doctests_of_the_pages_hold() -> None:
    """They lie outside of the folders that are searched for doctests."""
    generator()
    pages = [module for name, module in sys.modules.items() if name.startswith("reference_pages.")]
    assert sum(doctest.testmod(module).attempted for module in pages) > 0
    assert sum(doctest.testmod(module).failed for module in pages) == 0


def test_no_tag_is_made_outside_of_its_table() -> None:
    """Neither a key in another module nor an alias written out where it is moved or asked for."""
    found = [
        f"{path}:{node.lineno}: {node.value}"
        for path, tree in code_of("perennial")
        if path != "perennial/contracts/tags.py"
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and re.fullmatch(r"perennial\.\w+", node.value)
        and not (INCLUDE / node.value.replace(".", "/")).is_dir()  # the name of a room
    ]
    written_out = [
        f"{path}:{node.lineno}: {ast.unparse(node)}"
        for path, tree in code_of("perennial")
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("alias_version", "set_alias", "delete_alias")
        if any(isinstance(argument, ast.Constant) for argument in node.args)
    ]
    assert (found, written_out) == ([], [])


def test_every_tag_stands_in_one_table_and_is_used() -> None:
    keys = {name: value for name, value in vars(tags).items() if name.endswith("_TAG")}
    told = [*tags.RUN_TAGS, *tags.TRIED_TAGS, *tags.VERSION_TAGS]
    assert sorted(keys.values()) == sorted(told)
    used = {
        node.id
        for path, tree in code_of("perennial")
        if path != "perennial/contracts/tags.py"
        for node in ast.walk(tree)
        if isinstance(node, ast.Name)
    }
    assert set(keys) - used == set()


def test_the_environment_is_asked_in_known_places() -> None:
    """Each of them stands on the page of the settings."""
    found = {
        path
        for path, tree in code_of("perennial", "stack", "demo")
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and ast.unparse(node) in ("os.environ", "os.getenv")
    }
    assert found == READERS_OF_THE_ENVIRONMENT
