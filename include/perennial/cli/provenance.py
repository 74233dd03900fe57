"""Commands that ask where something came from: lineage in both directions, a version made again, an answer told."""

from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from perennial.cli.asking import case
from perennial.cli.printing import SHOWN, AsJson, Model, as_logged, out, print_json, speaks_plainly
from perennial.cli.waiting import at_work

app = typer.Typer()
lineage = typer.Typer(no_args_is_help=True, help="Where a version, a delivery or a prediction came from, or went to.")
app.add_typer(lineage, name="lineage")

Version = Annotated[str, typer.Argument(help="Number of the version in MLflow.")]
_FILES_SHOWN = 2
_ALIKE = 1e-6


@app.command()
@speaks_plainly
def reproduce(model: Model, version: Version, as_json: AsJson = False) -> None:
    """Fit a version again from its frozen rows, recipe and configuration; exit code 1 when it differs."""
    from perennial.contracts import to_record
    from perennial.provenance.reproduce import reproduce as again

    with at_work(f"fitting version {version} of {model} again"):
        found = again(case(model), version)
    if as_json:
        print_json({**to_record(found), "is_same": found.is_same})
    else:
        table = Table.grid(padding=(0, 2))
        for check in found.checks:
            colour = "green" if check.is_same else "red" if check.decides else "yellow"
            table.add_row(
                f"[{colour}]{'same' if check.is_same else 'differs'}[/{colour}]",
                check.name,
                escape(check.detail),
            )
        out.print(table)
        made = "made again" if found.is_same else "NOT made again"
        spent = f"{found.cpu_s:.1f} CPU seconds, then {found.cpu_s_then:.1f}"
        out.print(f"version {version} of {model} was {made}: {spent}", highlight=False)
    if not found.is_same:
        raise typer.Exit(1)


@app.command()
@speaks_plainly
def explain(
    model: Model,
    prediction_id: Annotated[str, typer.Argument(metavar="ID", help="Id of the prediction, as it was logged.")],
    version: Annotated[str | None, typer.Option(help="Ask this version instead of the one that answered.")] = None,
    pairs: Annotated[
        int, typer.Option(min=2, help="More walks make the errors smaller; each walks back as well.")
    ] = 200,
    as_json: AsJson = False,
) -> None:
    """Why a version answered what it did: what each feature added to its mean answer."""
    from perennial.provenance.explain import explain as why

    with at_work(f"explaining {prediction_id}"):
        found = why(case(model), prediction_id, version=version, n_pairs=pairs)
    if as_json:
        print_json(found)
        return
    answered = f"P({as_logged(found.of_class)}) = " if found.of_class else ""
    out.print(f"version {found.version} of {model} answers {answered}{found.answer:.4g}", highlight=False)
    if found.logged is not None and abs(found.logged - found.answer) > _ALIKE:
        out.print(f"[yellow]logged was {found.logged:.4g}: the row or the model was another then[/yellow]")
    table = Table("feature", "value", "usual", "added", "error")
    for part in found.parts:
        figures = f"{part.added:+.4f}", f"{part.error:.4f}"
        table.add_row(as_logged(part.feature), as_logged(part.value), as_logged(part.usual), *figures)
    out.print(table)
    out.print(
        f"to {found.base:.4g}, its mean answer for {found.n_others} rows of its training; {found.n_walks} walks",
        highlight=False,
    )


@lineage.command("version")
@speaks_plainly
def of_version(model: Model, version: Version, as_json: AsJson = False) -> None:
    """How a version came to be: cause, rows, deliveries with their files, and what became of it."""
    from perennial.provenance import lineage as tracing

    found = tracing.of_version(case(model), version)
    if as_json:
        print_json(found)
    else:
        _print_version(found)


@lineage.command("batch")
@speaks_plainly
def of_batch(
    model: Model,
    named: Annotated[str, typer.Argument(metavar="BATCH", help="A delivery: its number, its id, or one of its files.")],
    as_json: AsJson = False,
) -> None:
    """What a delivery, or a bad file, went into: the versions that were fitted or judged on its rows."""
    from perennial.provenance import lineage as tracing

    found = tracing.of_delivery(case(model), named)
    if as_json:
        print_json(list(found))
        return
    for item in found:
        out.print(_deliveries([item.delivery]))
        for used in item.used_by:
            versions = ", ".join(used.versions) or "no version"
            doubt = "" if used.is_exact else " (its stretch; the deliveries of this snapshot were not kept)"
            out.print(f"  snapshot {used.snapshot_id}: {versions}{doubt}", highlight=False)
        if not item.used_by:
            out.print("  no snapshot holds a row of it")
        if item.serving:
            out.print(f"  [red]serving, or trusted:[/red] version {', '.join(item.serving)}", highlight=False)


@lineage.command("prediction")
@speaks_plainly
def of_prediction(
    model: Model,
    prediction_id: Annotated[str, typer.Argument(metavar="ID", help="Id of the prediction, as it was logged.")],
    as_json: AsJson = False,
) -> None:
    """Where a prediction and its label came from, and how the version that answered came to be."""
    from perennial.provenance import lineage as tracing

    found = tracing.of_prediction(case(model), prediction_id)
    if as_json:
        print_json(found)
        return
    for row in found.rows:
        since = f", known from {row.known_at:{SHOWN}}" if row.known_at else ""
        answer = as_logged(row.predicted) + " " if row.predicted else ""
        out.print(
            f"{row.event_time.isoformat()} answered {answer}{row.score} by version {as_logged(row.model_version)} "
            f"as {as_logged(row.role)}, delivery {row.batch_seq}{since}",
            highlight=False,
        )
    for label in found.labels:
        since = f", known from {label.known_at:{SHOWN}}" if label.known_at else ""
        value = f"{as_logged(str(label.label))} at {label.labelled_at.isoformat()}"
        out.print(f"label {value}, delivery {label.batch_seq}{since}", highlight=False)
    if not found.labels:
        out.print("no label")
    out.print(_deliveries(found.deliveries))
    if found.scored_by is None:
        out.print("the version that answered is none of the registry's")
    else:
        _print_version(found.scored_by)


@lineage.command("rollback")
@speaks_plainly
def of_rollback(
    model: Model,
    version: Annotated[
        str | None, typer.Argument(help="The version that was taken back; the last one unless given.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Why a version was taken back: what was measured, its flags when it was approved, the data only it was made of."""
    from perennial.provenance import taken_back as telling

    found = telling.taken_back(case(model), version)
    if as_json:
        print_json(found)
        return
    out.print(as_logged(telling.summary(found)), highlight=False)
    for heading, headings, rows in telling.tables(found):
        out.print(f"[bold]{heading}[/bold]: {'' if rows else as_logged(found.why_not or 'none')}", highlight=False)
        if rows:
            table = Table()
            for name in headings:
                table.add_column(name, overflow="fold")
            for row in rows:
                table.add_row(*(as_logged(cell) for cell in row))
            out.print(table)


def _print_version(found: Any) -> None:
    named = f"[bold]version {found.version} of {found.model}[/bold]"
    out.print(f"{named}, MLflow run {found.mlflow_run_id}", highlight=False)
    for word, value in found.made_of.items():
        out.print(f"  {word}: {as_logged(value)}", highlight=False)
    if found.snapshot is None:
        out.print("  it was not made by a retrain of this database: its rows are not known")
    else:
        rows = found.snapshot
        out.print(
            f"  fitted on {rows.n_train} rows of {', '.join(one.key for one in rows.stretches[:-1])}", highlight=False
        )
        out.print(f"  judged on {rows.n_holdout} rows of {rows.holdout.key}, as of {rows.as_of}", highlight=False)
        exact = "" if found.is_exact else ", those of its stretches as they are today: they were not kept"
        out.print(f"  snapshot {rows.snapshot_id}, {len(found.deliveries)} deliveries{exact}:", highlight=False)
        out.print(_deliveries(found.deliveries))
    for sentence in found.history:
        out.print(f"  {as_logged(sentence)}", highlight=False)


def _deliveries(found: Any) -> Table:
    table = Table("delivery", "source", "window", "status", "rows", "id", "files")
    table.columns[-1].overflow = "fold"  # a file that is cut short is not found
    for item in found:
        more = f" and {len(item.files) - _FILES_SHOWN} more" if len(item.files) > _FILES_SHOWN else ""
        table.add_row(
            str(item.seq),
            item.source,
            f"{item.window.start:{SHOWN}} to {item.window.end:{SHOWN}}",
            item.status,
            f"{item.n_published:,} of {item.n_staged:,}",
            item.batch_id[:12],
            as_logged("\n".join(item.files[:_FILES_SHOWN]) + more),
        )
    return table
