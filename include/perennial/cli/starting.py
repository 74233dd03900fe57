"""``perennial init``: from a table of your own to a model folder."""

import getpass
import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from perennial.cli import asking
from perennial.cli.backtest import backtest
from perennial.cli.printing import err, out, speaks_plainly
from perennial.cli.waiting import at_work

app = typer.Typer()


@app.command()
@speaks_plainly
def init(
    model: Annotated[str, typer.Argument(help="Name of the new model: a plain word.")],
    *,
    source: Annotated[
        str,
        typer.Option("--from", help="Your rows: .csv, .parquet, .jsonl, .ndjson, or a PostgreSQL's URL, with --table."),
    ],
    table: Annotated[
        str | None, typer.Option(help="The table or view of that PostgreSQL, as orders or shop.orders.")
    ] = None,
    labels: Annotated[Path | None, typer.Option(help="Labels in a file of their own, by the same id.")] = None,
    time: Annotated[str | None, typer.Option(help="Column: when the event of a row happened.")] = None,
    label: Annotated[str | None, typer.Option(help="Column: the truth that is to be predicted.")] = None,
    row_id: Annotated[str | None, typer.Option("--id", help="Column: names a row; rows are numbered without.")] = None,
    score: Annotated[str | None, typer.Option(help="Column: what a model answered for the row.")] = None,
    labelled_at: Annotated[str | None, typer.Option(help="Column: when the truth became known.")] = None,
    label_delay: Annotated[str, typer.Option(help="How long after its event a label is known, without that.")] = "0h",
    positive: Annotated[str | None, typer.Option(help="Binary: the value of the label that counts as 1.")] = None,
    task: Annotated[
        Literal["binary", "multiclass", "regression"] | None, typer.Option(help="Unless the label decides.")
    ] = None,
    leave_out: Annotated[list[str] | None, typer.Option(help="Column that is no feature; may be repeated.")] = None,
    owner: Annotated[str | None, typer.Option(help="Whose model it is; your account unless given.")] = None,
    history: Annotated[bool, typer.Option("--history", help="Replay the file, and write the report.")] = False,
) -> None:
    """Propose a model from your own table: columns, thresholds, a recipe; its rows become the history."""
    from perennial.onboarding.roles import Hints
    from perennial.onboarding.start import start, table_of

    settings = asking.settings()
    rows = table_of(source, labels, table=table)
    said = Hints(
        time=time, label=label, id=row_id, score=score, labelled_at=labelled_at, positive=positive, task=task,
        leave_out=tuple(leave_out or ()),
    )  # fmt: skip
    late = asking.duration(label_delay, "--label-delay")

    def begun(said: Hints) -> Any:
        return start(
            model, rows, said, owner=owner or getpass.getuser(), delay=late, models_dir=settings.models_dir,
            home=settings.home,
        )  # fmt: skip

    made = _asked(begun, said)
    _say_what(made)
    try:
        if history:
            backtest(model, history=made.history)
    finally:
        _say_next(made, replayed=history)


def _asked(begun: Any, said: Any) -> Any:
    """What ``begun`` answers, after whoever sits there was asked what the file leaves open."""
    from perennial.onboarding.roles import Unclear

    while True:
        try:
            with at_work("reading the rows, fitting two first models"):
                return begun(said)
        except Unclear as open_:
            if not sys.stdin.isatty() or not open_.candidates:
                raise
            err.print(open_.why)
            for candidate in open_.candidates:
                err.print(f"  {candidate}", highlight=False, markup=False)
            said = replace(said, **{open_.option: typer.prompt(open_.option, err=True)})


def _say_what(made: Any) -> None:
    roles, times = made.roles, made.times
    out.print(f"[green]ok[/green] {made.folder}: {roles.task}, {len(roles.features)} features, check passed")
    for what, column in (("time", roles.time), ("label", roles.label), ("id", roles.id), ("score", roles.score)):
        out.print(f"  {what}: {column.logged if column else 'none in the file'}", markup=False, highlight=False)
    out.print(f"  rows: {made.n_rows:,}, {made.n_labelled:,} with a label", highlight=False)
    if made.n_untimed:
        out.print(f"  [yellow]{made.n_untimed:,} rows without a readable time were left out[/yellow]", highlight=False)
    for name, why in list(roles.left_out.items())[:20]:
        out.print(f"  left out: {name}: {why}", markup=False, highlight=False)
    out.print(f"  a first training is possible as of {times.first_training:%Y-%m-%d}", highlight=False)


def _say_next(made: Any, *, replayed: bool) -> None:
    window = made.window
    form = "%Y-%m-%dT%H:%M:%SZ"
    if not replayed:
        out.print("next, without any server: a report on this history")
        out.print(f"  perennial backtest {made.config.model} --history {made.history}", markup=False, soft_wrap=True)
    out.print(
        f"{'next' if replayed else 'or'}, with the store and MLflow up: take it in, and train the first candidate"
    )
    out.print("  perennial up --without-airflow", markup=False)
    out.print(
        f"  perennial run monitor {made.config.model} --start {window.start:{form}} --end {window.end:{form}}",
        markup=False, soft_wrap=True,
    )  # fmt: skip
    # of a scheduler that runs already the last window is a later one, up to which nothing can be trained
    out.print(f"  perennial run retrain {made.config.model} --as-of {window.end:{form}}", markup=False, soft_wrap=True)
