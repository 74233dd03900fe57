"""docs/reference/cli.md, from the Typer app."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from typer.main import get_command

from perennial.cli import app
from perennial.cli.printing import EXIT_PERMANENT, EXIT_TRANSIENT
from reference_pages.markdown import code, joined, table

INTRODUCTION = f"""
# The command line

Every command of `.venv/bin/perennial`. This page is generated from `include/perennial/cli/` by `make docs`; edit the
commands, not the page. A command ends with code {EXIT_PERMANENT} when someone has to act, with {EXIT_TRANSIENT} when
trying again may help, and with 2 when it was not understood.
"""
WORDS = {
    str: "text",
    int: "whole number",
    Path: "path",
    list[Path]: "path, may be repeated",
    list[str]: "text, may be repeated",
}


def page() -> str:
    """The whole page as Markdown."""
    return joined(INTRODUCTION, *(part for found in _commands(get_command(app), "perennial") for part in found))


def _commands(command: Any, name: str) -> Iterator[list[str]]:
    """Typer brings a click of its own, whose types it does not show."""
    if inner := getattr(command, "commands", None):
        for word, one in inner.items():
            yield from _commands(one, f"{name} {word}")
    else:
        yield [f"## {name}", " ".join(command.help.split()), *_parameters(command)]


def _parameters(command: Any) -> Iterator[str]:
    if command.params:
        rows = [(_names(found), _value(found), _default(found), found.help or "") for found in command.params]
        yield table(["argument or option", "value", "default", "meaning"], rows)


def _names(found: Any) -> str:
    names = [*found.opts, *found.secondary_opts] if found.param_type_name == "option" else [found.name.upper()]
    return ", ".join(code(name) for name in names)


def _value(found: Any) -> str:
    kind = found.type_descriptor.annotation
    if get_origin(kind) is Literal:
        return ", ".join(code(word) for word in get_args(kind))
    return "" if kind is bool else WORDS[kind]


def _default(found: Any) -> str:
    if found.required:
        return "**required**"
    if found.secondary_opts:
        return code((found.opts if found.default else found.secondary_opts)[0])
    if found.default is False:
        return "off"
    return "none" if found.default is None else code(found.default)
