"""How the command speaks: plainly, in colour for people, in JSON for programs."""

import json
import sys
from collections.abc import Callable, Iterable
from functools import wraps
from typing import TYPE_CHECKING, Annotated, Any, ParamSpec

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from perennial.errors import PerennialError, TransientError

if TYPE_CHECKING:
    from perennial.pipeline.readings import Reading
    from perennial.pipeline.timeline import TimelineRow

out = Console()
err = Console(stderr=True)
EXIT_PERMANENT, EXIT_TRANSIENT = 1, 75
SHOWN = "%Y-%m-%d"
STATUS_COLOURS = {"ok": "green", "breached": "red", "undecided": "yellow", "unknown": "yellow"}
BOUNDS = {"least": "at least", "most": "at most", "range": "within"}
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
    """One JSON value on standard output; records of ours in it as their dictionaries."""
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False, default=_as_record) + "\n")


def _as_record(value: Any) -> Any:
    from perennial.contracts import to_record

    return to_record(value)


def as_logged(text: str) -> str:
    """A logged value for a terminal: no markup and no control character in it does anything.

    >>> print(as_logged(f"[red]a{chr(27)}[2J"))
    \\[red]a\\x1b[2J
    """
    return escape("".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text))


def progress_to(as_json: bool) -> Callable[[str], None]:
    """Where the lines of a long command go: beside the JSON, not into it."""
    return (lambda line: err.print(line, markup=False)) if as_json else (lambda line: out.print(line, markup=False))


def timeline_table(rows: "Iterable[TimelineRow]") -> Table:
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


def signals_table(readings: "Iterable[Reading]") -> Table:
    """Signals as text that fits any width: one an item, window by window."""
    table = Table.grid(padding=(0, 2))
    shown = None
    for reading in readings:
        if reading.window != shown:
            shown = reading.window
            table.add_row("", f"[bold]{shown.start:{SHOWN}} to {shown.end:{SHOWN}}[/bold]")
        value = "-" if reading.value is None else f"{reading.value:.4g}"
        interval = "" if reading.low is None else f" ({reading.low:.4g} to {reading.high:.4g})"
        bound = "" if reading.threshold is None else f", {BOUNDS[reading.direction]} {reading.threshold:.4g}"
        name = f"{reading.family}/{reading.subject}" if reading.subject else reading.family
        colour = STATUS_COLOURS[reading.status]
        figure = f"{as_logged(name)}: {value}{interval}{bound} [dim]{reading.role}[/dim]"
        table.add_row(f"[{colour}]{reading.status}[/{colour}]", f"{figure}\n[dim]{as_logged(reading.detail)}[/dim]")
    return table
