"""``perennial backtest``: policies tried on logged history."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.measure import Measurement
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from perennial.cli import asking
from perennial.cli.printing import AsJson, Model, err, out, print_json, speaks_plainly

if TYPE_CHECKING:
    from perennial.contracts import Window

app = typer.Typer()


@app.command()
@speaks_plainly
def backtest(
    model: Model,
    *,
    policy: Annotated[
        list[Path] | None, typer.Option(help="A YAML file with parts of model.yaml to lay over it; may be repeated.")
    ] = None,
    since: Annotated[str | None, typer.Option("--from", help="Replay windows from here on.")] = None,
    until: Annotated[str | None, typer.Option("--to", help="Replay windows up to here.")] = None,
    history: Annotated[
        Path | None, typer.Option(help="Predictions with labels, .parquet, .jsonl or .csv; else what was published.")
    ] = None,
    change: Annotated[str | None, typer.Option(help="When the world changed, to say how soon it was seen.")] = None,
    people: Annotated[
        Literal["approve", "absent"], typer.Option(help="approve: answer reviews and holds; absent: never answer.")
    ] = "approve",
    out_folder: Annotated[
        Path | None, typer.Option("--out", help="Where backtest.html and backtest.json go, and the fits are kept.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Replay a model's history under several policies, side by side, without Airflow."""
    from perennial.backtest import command
    from perennial.config import load_model

    settings = asking.settings()
    folder = settings.models_dir / model
    config = load_model(folder)
    place = out_folder or settings.home / "backtest" / model
    begin, end, moment = (asking.moment(text) if text else None for text in (since, until, change))
    store = None if history else asking.case(model).store
    log = command.read_log(config, history=history, until=end, store=store)
    with tempfile.TemporaryDirectory() as scratch, _progress() as bar:
        task = bar.add_task("", total=None)

        def step(name: str, window: "Window") -> None:
            bar.update(task, advance=1, description=f"{name}, {window.start:%Y-%m-%d}")

        found = command.run(
            config, log, policy or [], folder=folder, scratch=Path(scratch), kept=place / "fits", since=begin,
            until=end, people=people, change=moment, progress=step,
        )  # fmt: skip
    command.write(found, place)
    if as_json:
        print_json(found)
        return
    _show(found, place)


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), console=err
    )


def _table(rows: Sequence[tuple[str, ...]], headings: tuple[str, ...], title: str, width: int) -> Table:
    """A policy a row; where that is wider than the terminal, an item each, without what did not happen."""
    wide = Table(*headings, title=title)
    for row in rows:
        wide.add_row(*row)
    if Measurement.get(out, out.options.update(width=1000), wide).maximum <= width:
        return wide
    narrow = Table(show_header=False, title=title)
    for policy, *cells in rows:
        items = zip(headings[1:], cells, strict=True)
        narrow.add_row(
            policy, ", ".join(f"{name} {value}" for name, value in items if value not in {"0", "-", "0.0 + 0.0"})
        )
    return narrow


def _show(found: Any, place: Path) -> None:
    from perennial.backtest import command

    out.print(
        _table(
            [command.row_of(outcome) for outcome in found.outcomes],
            command.HEADINGS,
            f"{found.model}: {found.metric}, {len(found.windows)} windows",
            out.width,
        )
    )
    proposal = Table("key", "now", "proposed", "why")
    for item in found.proposal:
        proposal.add_row(item.key, f"{item.now:g}", "-" if item.proposed is None else f"{item.proposed:g}", item.why)
    out.print(proposal)
    out.print(
        f"plots and figures: {place / 'backtest.html'}, {place / 'backtest.json'}", soft_wrap=True, highlight=False
    )
