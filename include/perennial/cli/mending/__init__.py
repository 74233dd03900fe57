"""The command that mends what ledger and registry disagree about."""

from typing import Annotated

import typer

from perennial.cli import asking
from perennial.cli.printing import EXIT_PERMANENT, AsJson, Model, as_logged, out, print_json, speaks_plainly

app = typer.Typer()


@app.command()
@speaks_plainly
def repair(
    model: Model,
    moved_alias: Annotated[
        str | None,
        typer.Option(help="For an alias moved by hand: report, revert or adopt; release.moved_alias unless given."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Find where MLflow and the ledger disagree, and mend it; ends with 1 when something is left to a person."""
    from perennial.pipeline import mending

    found = mending.repair(asking.case(model), moved_alias=moved_alias)
    if as_json:
        print_json(list(found))
    elif not found:
        out.print(f"{model}: ledger and registry agree")
    else:
        for item in found:
            word = "[green]mended[/green]" if item.mended else "[red]to be mended[/red]"
            out.print(f"{word}: {as_logged(item.said)}", highlight=False, soft_wrap=True)
    if not all(item.mended for item in found):
        raise typer.Exit(EXIT_PERMANENT)
