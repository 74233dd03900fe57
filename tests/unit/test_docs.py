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
TYPED = re.compile(r"(?:`|bin/|^)perennial ([a-z][^`\n]*)", re.MULTILINE)
PERENNIAL = get_command(app)
OF_TABLES = {"predictions", "labels"}  # named as DAGs are
HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def unknown_of(line: str) -> list[str]:
    """Words of a command line, without ``perennial``, that the parser does not know: a command, or its options.

    What follows two spaces is an explanation, as in a table of commands; ``a|b`` is either of two commands.
    """
    words = re.sub(r"[\[\]]", "", re.split(r" {2,}| #", line)[0]).split()
    found = [(PERENNIAL, words)]
    while any(hasattr(command, "commands") and rest[:1] for command, rest in found):
        found = [
            (command.commands.get(name), rest[1:])  # type: ignore[attr-defined]
            for command, rest in found
            for name in rest[0].split("|")
        ]
        if any(command is None for command, _ in found):
            return [words[-len(found[0][1]) - 1]]
    wanted = {word.partition("=")[0] for word in words if word.startswith("--")}
    known = [{option for one in command.params for option in (*one.opts, *one.secondary_opts)} for command, _ in found]
    return sorted({option for options in known for option in wanted - options - {"--help"}})


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
    """Each command line: the command below ``perennial``, and every option that is typed after it."""
    text = page.read_text(encoding="utf-8").replace("\\\n", "")
    assert {line: wrong for line in TYPED.findall(text) if (wrong := unknown_of(line))} == {}
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert set(re.findall(r"(?:`|^)make ([a-z-]+)", text, re.MULTILINE)) - targets == set()


@pytest.mark.parametrize("page", PAGES_IN_USE, ids=name_of)
def test_dags_exist(page: Path) -> None:
    named = set(re.findall(r"`(?:<\w+>|[a-z_]+)__([a-z_]+)`", page.read_text(encoding="utf-8")))
    made = {path.stem for path in (ROOT / "dags").glob("*.py")}
    assert named - made - OF_TABLES == set()


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        ("up", []),
        ("up --nowhere", ["--nowhere"]),
        ("nothing", ["nothing"]),
        ("run", []),
        ("run audit x", ["audit"]),
        ("cost x [--from --to] [--json]", []),
        ("run monitor x --start 1 --as-of 2", ["--as-of"]),
        ("run monitor|retrain x --json", []),
        ("backtest x --windows", ["--windows"]),
    ],
)
def test_what_a_command_line_gets_wrong(line: str, wrong: list[str]) -> None:
    assert unknown_of(line) == wrong


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
