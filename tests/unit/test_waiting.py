"""What a long command shows at a terminal, and that a pipe sees nothing of it."""

import io
import os
import pty
from collections.abc import Iterator

import pytest
from rich.console import Console

from perennial.cli.waiting import at_work


@pytest.fixture
def terminal() -> Iterator[tuple[Console, int]]:
    """A console at a terminal, and the other end of that."""
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "w") as file:
        yield Console(file=file, force_terminal=True, force_interactive=True, width=80), ours
    os.close(ours)


def seen(end: int, word: bytes) -> bytes:
    """All that came up to a word."""
    found = b""
    while word not in found:
        found += os.read(end, 4096)
    return found


def test_who_waits_at_a_terminal_sees_what_is_done_and_since_when(terminal: tuple[Console, int]) -> None:
    console, end = terminal
    with at_work("monitoring courier", console=console, after_s=0):
        shown = seen(end, b"monitoring courier")
        shown += seen(end, b"0:00:0")
    assert shown


def test_what_is_done_sooner_shows_nothing(terminal: tuple[Console, int]) -> None:
    console, end = terminal
    with at_work("monitoring courier", console=console, after_s=3600):
        pass
    console.print("done")
    assert seen(end, b"done").split() == [b"done"]


def test_a_pipe_sees_nothing_even_where_colours_are_forced() -> None:
    file = io.StringIO()
    with at_work("monitoring courier", console=Console(file=file, force_terminal=True), after_s=0):
        pass
    assert file.getvalue() == ""
