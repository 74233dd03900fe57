"""The command that scores a file as the service does."""

from typing import Annotated

import typer

from perennial.cli import asking
from perennial.cli.printing import EXIT_PERMANENT, AsJson, Model, as_logged, err, out, print_json, speaks_plainly
from perennial.cli.waiting import at_work

app = typer.Typer()


@app.command()
@speaks_plainly
def score(  # noqa: PLR0917 - the options of a command
    model: Model,
    source: Annotated[str, typer.Option("--from", help="Rows: a path or URI of .jsonl or .parquet.")],
    target: Annotated[str, typer.Option("--to", help="Where the answers go: .jsonl or .parquet, not there yet.")],
    version: Annotated[str | None, typer.Option(help="A version; the champion unless given.")] = None,
    no_log: Annotated[bool, typer.Option("--no-log", help="Leave no lines where ingest reads.")] = False,
    as_json: AsJson = False,
) -> None:
    """Score a file as the service answers requests; ends with 1 where rows were faulty, which are named."""
    from perennial.serving.batches.scoring import by_command

    places = (_uri(source), _uri(target))
    with at_work(f"scoring by {model}"):
        done = by_command(asking.settings(), model, *places, version=version, log=not no_log, now=asking.now())
    if as_json:
        print_json(done)
    else:
        logged = "logged" if done.logged else "not logged"
        out.print(f"{model}: {done.n_rows:,} rows scored by version {done.version}, {logged}", highlight=False)
        for fault in done.faults:
            where = f"row {fault.row}" + (f", {fault.field}" if fault.field else "")
            value = f" {fault.value}" if fault.value else ""
            err.print(f"{where}:{as_logged(value)}: {as_logged(fault.allowed)}", highlight=False, soft_wrap=True)
        if done.n_faulty:
            err.print(f"{done.n_faulty:,} rows were faulty, all in {done.faults_uri}", highlight=False, soft_wrap=True)
    if done.n_faulty:
        raise typer.Exit(EXIT_PERMANENT)


def _uri(text: str) -> str:
    """A path as a URI."""
    from pathlib import Path

    return text if "://" in text else Path(text).absolute().as_uri()
