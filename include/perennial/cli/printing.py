"""How the command speaks: plainly, in colour for people, in JSON for programs."""

import json
import sys
from collections.abc import Callable, Iterable
from functools import wraps
from typing import Annotated, Any, ParamSpec

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from perennial.errors import PerennialError, TransientError
from perennial.pipeline import timeline

out = Console()
err = Console(stderr=True)
EXIT_PERMANENT, EXIT_TRANSIENT = 1, 75
SHOWN = "%Y-%m-%d"
COLOURS = {"stay": "green", "halt": "red", "blind": "red", "rollback": "red", "retrain": "yellow"}

Model = Annotated[str, typer.Argument(help="Name of a folder under the models folder.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON with stable field names.")]
Start = Annotated[str | None, typer.Option(help="Start of the window, like 2013-01-01T00:00:00Z.")]
End = Annotated[str | None, typer.Option(help="End of the window, not part of it.")]
Reason = Annotated[str, typer.Option(help="Why; it goes to the ledger.")]
P = ParamSpec("P")


def speaks_plainly(command: Callable[P, None]) -> Callable[P, None]:
    """Perennial's own errors end a command with their message; exit code 1, or 75 when trying again may help."""

    @wraps(command)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except PerennialError as error:
            err.print(f"[red]{type(error).__name__}[/red]: ", end="")
            err.print(str(error), markup=False, highlight=False, soft_wrap=True)
            raise typer.Exit(EXIT_TRANSIENT if isinstance(error, TransientError) else EXIT_PERMANENT) from error

    return guarded


def print_json(value: Any) -> None:
    """One JSON value on standard output."""
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def as_logged(text: str) -> str:
    """A logged value for a terminal: no markup and no control character in it does anything.

    >>> print(as_logged(f"[red]a{chr(27)}[2J"))
    \\[red]a\\x1b[2J
    """
    return escape("".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text))


def progress_to(as_json: bool) -> Callable[[str], None]:
    """Where the lines of a long command go: beside the JSON, not into it."""
    return (lambda line: err.print(line, markup=False)) if as_json else (lambda line: out.print(line, markup=False))


def timeline_table(rows: Iterable[timeline.TimelineRow]) -> Table:
    """The timeline as text that fits any width: one decision an item, in the order of its window."""
    table = Table.grid(padding=(0, 2))
    for row in rows:
        counts = f"{row.n_published:,} published, {row.n_quarantined:,} quarantined, {row.n_duplicate:,} duplicate"
        performance = ", ".join(f"{metric} {value:.3f}" for metric, value in row.performance.items())
        watched = f" ({len(row.watched)} more watched)" if row.watched else ""
        colour = COLOURS[row.action]
        table.add_row(
            f"[bold]{row.window.start:{SHOWN}}[/bold]",
            "\n".join(
                [
                    f"{counts}; with labels: {performance or '-'}",
                    f"breached: {escape(', '.join(row.breached) or '-')}{watched}",
                    *([f"unknown: {escape(', '.join(row.unknown))}"] if row.unknown else []),
                    f"[bold {colour}]{row.action}[/bold {colour}]: {escape('; '.join(row.reasons))}",
                    *(f"[italic]{escape(event)}[/italic]" for event in row.events),
                    f"champion {row.champion or '-'}, stable {row.stable or '-'}\n",
                ]
            ),
        )
    return table
