"""Commands about signoffs."""

import typer
from rich.markup import escape
from rich.table import Table

from perennial.cli import asking
from perennial.cli.printing import SHOWN, AsJson, Model, out, print_json, speaks_plainly

app = typer.Typer(no_args_is_help=True, help="What the gates said, and whether they were right.")


@app.callback()
def _group() -> None:
    """Keep the word ``record`` when it is the only command."""


@app.command()
@speaks_plainly
def record(model: Model, as_json: AsJson = False) -> None:
    """Was each promotion right, on the labelled rows after it? With the rate, and a proposal for min_gain."""
    from perennial.contracts import to_record

    case = asking.case(model)
    found = case.gate_record(case.last_monitored() or asking.now())
    if as_json:
        print_json({**to_record(found), "rate": found.rate})
        return
    table = Table("version", "over", "after", "gain judged", "gain that came", "")
    for one in found.promotions:
        verdict = {True: "[green]right[/green]", False: "[red]wrong[/red]", None: "unknown"}[one.right]
        span = f"{one.stretch.start:{SHOWN}} to {one.stretch.end:{SHOWN}}"
        judged = "-" if one.judged is None else f"{one.judged:.4g}"
        table.add_row(one.version, one.previous, span, judged, escape(str(one.realised)), verdict)
    if found.promotions:
        out.print(table)
    out.print(f"{model}: {found}", soft_wrap=True)
