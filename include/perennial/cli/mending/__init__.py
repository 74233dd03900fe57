"""Commands about what stands in ledger and registry: the one that mends it, and one look at a canary."""

from typing import Annotated

import typer

from perennial.cli import asking
from perennial.cli.printing import EXIT_PERMANENT, AsJson, Model, as_logged, out, print_json, speaks_plainly

app = typer.Typer()
_WORDS = {True: "[green]mended[/green]", False: "[red]to be mended[/red]", None: "[yellow]not known[/yellow]"}


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
    """Find where ledger, MLflow and the scoring service disagree, and mend it; ends with 1 when something is left."""
    from perennial.pipeline import mending

    case = asking.case(model)
    found = mending.repair(case, moved_alias=moved_alias)
    asked = case.settings.serving_url(model) is not None
    if as_json:
        print_json(list(found))
    elif not found:
        out.print(f"{model}: {'ledger, registry and service' if asked else 'ledger and registry'} agree")
    else:
        for item in found:
            out.print(f"{_WORDS[item.mended]}: {as_logged(item.said)}", highlight=False, soft_wrap=True)
    if any(item.mended is False for item in found):
        raise typer.Exit(EXIT_PERMANENT)


@app.command()
@speaks_plainly
def canary(model: Model, as_json: AsJson = False) -> None:
    """Look once at the version that answers a share of the requests: it waits, goes on, or is taken back."""
    case = asking.case(model)
    found = case.look_at_canary(now=asking.now())
    if as_json:
        print_json(found)
    elif found is None:
        out.print(f"{model}: no version is canary")
    else:
        out.print(f"{model}: {found.state}: {as_logged(found.reason)}", highlight=False, soft_wrap=True)
        if found.state == "passed":
            out.print(f"the next `perennial run retrain {model} --as-of ...`, or its task in Airflow, promotes it")
