"""The documentation names only what exists, and its excerpts are of files that the tests run."""

import re
from pathlib import Path
from typing import get_args

import pytest
from typer.main import get_command

from perennial import errors
from perennial.cli import app
from perennial.contracts.decisions import Action

ROOT = Path(__file__).parents[2]
PAGES = [
    *(ROOT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]
PAGES_IN_USE = [page for page in PAGES if page.name != "0000-template.md"]
EXCERPT = re.compile(r"<!-- from (\S+) -->\n```\w+\n(.*?)```", re.DOTALL)
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)#\s]+)(#[^)]*)?\)")
CODE_FILE = re.compile(r"`([\w./]+/[\w.]+\.(?:py|sql|toml))`")
FOLDER = re.compile(r"`([a-z_]+(?:/[a-z_]+)*/)`")
PLACES = [ROOT, ROOT / "include", ROOT / "include" / "perennial"]
HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def anchors(page: Path) -> set[str]:
    headings = HEADING.findall(page.read_text(encoding="utf-8"))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES_IN_USE, ids=name_of)
def test_links_lead_to_files_that_exist(page: Path) -> None:
    links = [target for target, _ in LINK.findall(page.read_text(encoding="utf-8")) if "://" not in target]
    assert [target for target in links if not (page.parent / target).exists()] == []


@pytest.mark.parametrize("page", PAGES_IN_USE, ids=name_of)
def test_links_within_a_page_lead_to_its_headings(page: Path) -> None:
    wanted = set(re.findall(r"\]\(#([^)]*)\)", page.read_text(encoding="utf-8")))
    assert wanted - anchors(page) == set()


@pytest.mark.parametrize("page", PAGES_IN_USE, ids=name_of)
def test_excerpts_stand_in_the_files_they_name(page: Path) -> None:
    for source, excerpt in EXCERPT.findall(page.read_text(encoding="utf-8")):
        assert excerpt.rstrip() in (ROOT / source).read_text(encoding="utf-8"), f"{source} reads otherwise now"


@pytest.mark.parametrize("page", [page for page in PAGES_IN_USE if page.name != "CHANGELOG.md"], ids=name_of)
def test_files_that_are_named_exist(page: Path) -> None:
    """By their path from the top, from ``include/`` or from the package; the change log also tells of what is gone."""
    text = page.read_text(encoding="utf-8")
    rooms = (
        FOLDER.findall(text) if page.name in ("architecture.md", "CONTRIBUTING.md") else []
    )  # elsewhere of the state
    named = {*CODE_FILE.findall(text), *rooms}
    assert {name for name in named if not any((place / name).exists() for place in PLACES)} == set()


@pytest.mark.parametrize("page", PAGES_IN_USE, ids=name_of)
def test_commands_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    known = set(get_command(app).commands)  # type: ignore[attr-defined]
    assert set(re.findall(r"(?:`|bin/|^)perennial ([a-z]+)", text, re.MULTILINE)) - known == set()
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert set(re.findall(r"(?:`|^)make ([a-z]+)", text, re.MULTILINE)) - targets == set()


def test_the_runbook_knows_every_error() -> None:
    told = (ROOT / "docs" / "runbook.md").read_text(encoding="utf-8")
    known = [found for found in vars(errors).values() if isinstance(found, type) and found.__subclasses__() == []]
    assert [found.__name__ for found in known if f"| `{found.__name__}` |" not in told] == []


def test_the_runbook_knows_every_problem_of_the_service() -> None:
    told = (ROOT / "docs" / "runbook.md").read_text(encoding="utf-8")
    code = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "include/perennial/serving").rglob("*.py"))
    named = set(re.findall(r'(?:found|problems)\["([a-z_]+)"\] = ', code))
    assert {"no_champion_loaded", "log_not_written", "canary_hung", "shadow_not_scored"} <= named
    assert {name for name in named if f"| `{name}` |" not in told} == set()


def test_the_index_of_decisions_is_complete() -> None:
    folder = ROOT / "docs" / "decisions"
    index = (folder / "README.md").read_text(encoding="utf-8")
    pages = [page.name for page in folder.glob("[0-9]*.md")]
    assert [name for name in pages if f"({name})" not in index] == []


def test_the_glossary_has_a_word_once_and_every_action() -> None:
    text = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
    words = [word for word in re.findall(r"^\| ([^|]+?) \|", text, re.MULTILINE) if word != "word"]
    assert sorted({word for word in words if words.count(word) > 1}) == []
    (decision,) = re.findall(r"^\| decision \|.*$", text, re.MULTILINE)
    assert [action for action in get_args(Action) if f"`{action}`" not in decision] == []
