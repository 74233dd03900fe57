"""``perennial report``: all that is known of a model, on one page for people."""

import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from perennial.cli import asking
from perennial.cli.printing import Model, out, speaks_plainly
from perennial.cli.waiting import at_work

app = typer.Typer()


@app.command()
@speaks_plainly
def report(
    model: Model,
    window: Annotated[
        str | None,
        typer.Option(help="Start of the window whose decision and signals are told; the newest unless given."),
    ] = None,
    place: Annotated[
        Path | None,
        typer.Option("--out", help="Where the page goes; `reports/MODEL.html` in the state folder unless given."),
    ] = None,
    show: Annotated[bool, typer.Option("--open", help="Open it in the browser of this machine.")] = False,
) -> None:
    """One page for people: standing, decision, signals, quality, drift, volume, releases, quarantine."""
    from perennial.reporting.gathered import gather
    from perennial.reporting.page import page

    one = asking.case(model)
    with at_work(f"gathering all of {model}"):
        text = page(gather(one, asking.moment(window) if window else None), made_at=asking.now())
    path = (place or one.settings.home / "reports" / f"{model}.html").resolve()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    out.print(str(path), soft_wrap=True, highlight=False, markup=False)
    if show and not webbrowser.open(path.as_uri()):
        out.print("no browser is to be had here: open the file yourself")
