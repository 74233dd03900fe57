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
    """Was each promotion and rollback right, on the labelled rows after it? With rates, and a proposal for min_gain."""
    from perennial.contracts import to_record

    case = asking.case(model)
    found = case.gate_record(case.last_monitored() or asking.now())
    if as_json:
        print_json(
            {**to_record(found), "rates": {"promoted": found.promoted.rate, "rolled_back": found.rolled_back.rate}}
        )
        return
    table = Table("release", "version", "over", "after", "gain judged", "gain that came", "")
    for one in (*found.promotions, *found.rollbacks):
        verdict = {True: "[green]right[/green]", False: "[red]wrong[/red]", None: "unknown"}[one.right]
        span = f"{one.stretch.start:{SHOWN}} to {one.stretch.end:{SHOWN}}"
        judged = "-" if one.judged is None else f"{one.judged:.4g}"
        table.add_row(one.kind, one.version, one.previous, span, judged, escape(str(one.realised)), verdict)
    if table.row_count:
        out.print(table)
    out.print(f"{model}: {found}", soft_wrap=True)
