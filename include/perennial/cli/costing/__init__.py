"""The command that says what a model cost."""

from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from perennial.cli import asking
from perennial.cli.printing import AsJson, Model, as_logged, out, print_json, speaks_plainly

if TYPE_CHECKING:
    from perennial.pipeline.cost import Cost

app = typer.Typer()


@app.command()
@speaks_plainly
def cost(
    model: Model,
    since: Annotated[str | None, typer.Option("--from", help="What was spent from then on, by the clock.")] = None,
    until: Annotated[str | None, typer.Option("--to", help="And until then.")] = None,
    as_json: AsJson = False,
) -> None:
    """What a model took, by month and step, and what its promotions gained for it: as far as it was recorded."""
    from perennial.pipeline.cost import read_cost

    there = asking.runtime()
    found = read_cost(
        there.config(model),
        store=there.store,
        home=there.settings.home,
        since=asking.moment(since) if since else None,
        until=asking.moment(until) if until else None,
    )
    if as_json:
        print_json(found)
    else:
        _print(found)


def _print(found: "Cost") -> None:
    table = Table("month", "step", "runs", "failed", "seconds", "CPU s", "most MB", "rows")
    for one in found.steps:
        rows = "" if one.n_rows is None else f"{one.n_rows:,}"
        spent = f"{one.seconds:,.1f}", f"{one.cpu_s:,.1f}", f"{one.peak_mb:,.0f}"
        table.add_row(one.month, as_logged(one.step), f"{one.n_runs:,}", f"{one.n_failed:,}", *spent, rows)
    if found.steps:
        out.print(table)
        out.print(f"all steps: {found.seconds:,.1f} s, {found.cpu_s:,.1f} CPU s", highlight=False)
    out.print(f"{found.n_fits} fits of candidates: {found.fit_cpu_s:,.1f} CPU s", highlight=False)
    for gained in found.gained:
        out.print(
            f"{gained.n_measured} promotions gained {gained.gain:+.4g} {gained.metric} in all; "
            f"of {gained.n_unmeasured} it can not be known",
            highlight=False,
        )
    if found.cpu_s_per_gain is not None:
        out.print(f"{found.cpu_s_per_gain / 100:,.1f} CPU s of fits for each 0.01 gained", highlight=False)
    for what in found.unknown:
        out.print(f"[yellow]not known[/yellow]: {as_logged(what)}", highlight=False, soft_wrap=True)
