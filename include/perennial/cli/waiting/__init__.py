"""What who waits at a terminal sees of a command that takes long."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Timer

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from perennial.cli.printing import err

AFTER_S = 5.0


@contextmanager
def at_work(what: str, *, console: Console = err, after_s: float = AFTER_S) -> Iterator[None]:
    """Within, from ``after_s`` seconds on, a line says that it goes on and since when; it is gone at the end.

    Only at a terminal: a pipe or a file gets nothing of it. What is printed meanwhile stands above the line.
    """
    if not (console.is_interactive and console.file.isatty()):
        yield
        return
    shown = Progress(
        SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn(), console=console, transient=True,
        redirect_stdout=sys.stdout.isatty(),
    )  # fmt: skip
    shown.add_task(what, total=None)
    clock = Timer(after_s, shown.start)
    clock.daemon = True
    clock.start()
    try:
        yield
    finally:
        clock.cancel()
        clock.join()
        shown.stop()
