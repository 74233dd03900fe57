"""Commands about the scoring service: start it for a model, and say who may ask it."""

from typing import Annotated

import typer
from rich.table import Table

from perennial.cli import asking
from perennial.cli.printing import AsJson, Model, out, print_json, speaks_plainly

app = typer.Typer()
keys = typer.Typer(no_args_is_help=True, help="Who may ask a scoring service that others than this machine can reach.")
Name = Annotated[str, typer.Argument(help="Whose key it is: letters, digits, - and _.")]


@app.command()
@speaks_plainly
def serve(
    model: Model,
    host: Annotated[str, typer.Option(help="Address to listen on; any but loopback needs a key.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 8000,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Processes that answer.")] = 1,
) -> None:
    """Answer requests with the champion, follow it, and log every answer where ingest reads."""
    from perennial.serving.process import replace_by_service

    replace_by_service(model, host=host, port=port, workers=workers)


@keys.command("add")
@speaks_plainly
def add_key(name: Name) -> None:
    """Make a key and print it, once: only its digest is kept."""
    from perennial.serving.keys import Keys

    out.print(Keys.below(asking.settings().home).add(name, at=asking.now()), markup=False, highlight=False)


@keys.command("remove")
@speaks_plainly
def remove_key(name: Name) -> None:
    """Forget a key; a service that runs turns it away within a second or two."""
    from perennial.serving.keys import Keys

    Keys.below(asking.settings().home).remove(name)
    out.print(f"key {name} is gone")


@keys.command("list")
@speaks_plainly
def list_keys(as_json: AsJson = False) -> None:
    """The names of all keys, and when they were made."""
    from perennial.serving.keys import Keys

    known = {name: key["made"] for name, key in sorted(Keys.below(asking.settings().home).read().items())}
    if as_json:
        print_json(known)
        return
    table = Table("key", "made")
    for name, made in known.items():
        table.add_row(name, made)
    out.print(table)
