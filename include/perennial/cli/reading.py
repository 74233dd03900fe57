"""Commands that read: is all declared well, where does a model stand, what happened and why."""

from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from perennial.cli.asking import case, moment, runtime, settings, window_if_given
from perennial.cli.printing import (
    SHOWN,
    AsJson,
    End,
    Model,
    Start,
    as_logged,
    out,
    print_json,
    signals_table,
    speaks_plainly,
    timeline_table,
)
from perennial.cli.waiting import at_work
from perennial.errors import ConfigError

if TYPE_CHECKING:
    from perennial.pipeline import Runtime

app = typer.Typer()


@app.command()
@speaks_plainly
def check(as_json: AsJson = False) -> None:
    """Validate every model.yaml and build every recipe."""
    from perennial.pipeline.checking import check_models

    with at_work("building every recipe"):
        configs = check_models(settings().models_dir)
    if as_json:
        print_json([{"model": config.model, "task": config.task, "digest": config.digest} for config in configs])
        return
    for config in configs:
        out.print(f"[green]ok[/green] {config.model}: {config.task}, {len(config.features)} features, {config.title}")


@app.command()
@speaks_plainly
def status(
    model: Annotated[str | None, typer.Argument(help="One model; all unless given.")] = None, as_json: AsJson = False
) -> None:
    """Where every model, or one, stands: champion, bake, stable version, shares, holds, last decision."""
    from perennial.config import load_models
    from perennial.pipeline.timeline import status as status_of

    there = runtime()
    configs = [there.config(model)] if model else list(load_models(there.settings.models_dir))
    found = [status_of(config, store=there.store) for config in configs]
    if as_json:
        print_json(list(found))
        return
    table = Table.grid(padding=(0, 2))
    for item in found:
        last = f" on {item.last_window.start:{SHOWN}} to {item.last_window.end:{SHOWN}}" if item.last_window else ""
        bake = ", in its bake" if item.in_bake else ""
        reasons = ["; ".join(item.last_reasons)] if item.last_reasons else []
        table.add_row(
            f"[bold]{item.model}[/bold]",
            "\n".join(
                [
                    f"champion {item.champion or '-'}{bake}, stable {item.stable or '-'}",
                    *([f"[bold red]promoted {escape(item.past_gates)}[/bold red]"] if item.past_gates else []),
                    *([escape(item.shared)] if item.shared else []),
                    escape(f"last decision{last}: {': '.join((item.last_action or 'none yet', *reasons))}"),
                    *(escape(f"open hold {hold}") for hold in item.open_holds),
                ]
            ),
        )
    out.print(table)


@app.command()
@speaks_plainly
def timeline(model: Model, as_json: AsJson = False) -> None:
    """Every window of a model: rows, signals, performance, decision, champion and stable afterwards."""
    from perennial.pipeline.timeline import timeline as timeline_of

    one = case(model)
    rows = timeline_of(one.config, store=one.store)
    if as_json:
        print_json(list(rows))
        return
    out.print(timeline_table(rows))


@app.command()
@speaks_plainly
def signals(
    model: Model,
    window: Annotated[
        str | None, typer.Option(help="Start of the window; the newest measured one unless given.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Every signal of a window, with its interval and its threshold, and what its run measured of earlier windows."""
    from perennial.pipeline.readings import read_signals

    one = case(model)
    found = read_signals(one.config, moment(window) if window else None, store=one.store)
    if as_json:
        print_json(list(found))
        return
    if not found:
        out.print("no run has measured a window yet")
        return
    out.print(signals_table(found))


@app.command()
@speaks_plainly
def quarantine(
    model: Model,
    start: Start = None,
    end: End = None,
    examples: Annotated[int, typer.Option(min=0, max=100, help="Rows to show of each cause.")] = 3,
    as_json: AsJson = False,
) -> None:
    """What rows are in quarantine for, counted, with examples: of all windows, or one; of halted batches too."""
    found = case(model).quarantine(window_if_given(start, end), n_examples=examples)
    if as_json:
        print_json(list(found))
        return
    if not found:
        out.print("nothing is in quarantine")
    for batch in found:
        span = f"{batch.window.start:{SHOWN}} to {batch.window.end:{SHOWN}}"
        out.print(f"[bold]{batch.source} of {span}[/bold]: {batch.status}, {batch.n_quarantined:,} rows in quarantine")
        for cause in batch.causes.first:
            out.print(f"  [yellow]{as_logged(cause.cause)}[/yellow]: {cause.n_rows:,} rows", soft_wrap=True)
            for row in cause.examples:
                out.print(f"    row {row.row_number}: {as_logged(row.reason)}", highlight=False, soft_wrap=True)
                out.print(f"      {as_logged(row.raw)}", highlight=False, soft_wrap=True)
        if batch.causes.n_more:
            out.print(f"  and {batch.causes.n_more} more causes")
        if batch.status == "halted":
            out.print(f"  [red]halted[/red]: {as_logged(batch.reason)}", soft_wrap=True)


@app.command(name="ledger")
@speaks_plainly
def show_ledger(
    model: Annotated[str | None, typer.Argument(help="One model; all unless given.")] = None,
    last: Annotated[int | None, typer.Option(help="Only the newest so many entries.")] = None,
    verify: Annotated[bool, typer.Option("--verify", help="Prove that nothing was changed or taken out.")] = False,
    head: Annotated[
        str | None, typer.Option(help="With --verify: a digest that it said before, whose entry has to stand still.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """The ledger: who, when, why, on what evidence; or the proof that it is what was written."""
    from perennial import ledger

    there = runtime()
    if verify or head:
        _prove(there, model, head, as_json=as_json)
        return
    found = ledger.entries(there.store, model, last=last)
    if as_json:
        print_json(list(found))
        return
    table = Table.grid(padding=(0, 2))
    for entry in found:
        version = f" of version {entry.version}" if entry.version else ""
        what = f"{entry.model}: [bold]{entry.kind}[/bold]{version} by {escape(entry.actor)}"
        table.add_row(str(entry.seq), f"{entry.at:%Y-%m-%d %H:%M}", f"{what}\n{escape(entry.reason)}")
    out.print(table)


def _prove(there: "Runtime", model: str | None, head: str | None, *, as_json: bool) -> None:
    if head and not model:
        raise ConfigError("--head is the digest of one model's entry: name the model")
    proven, unprotected = there.prove_ledger(model, known=head), there.why_unprotected()
    if as_json:
        print_json({"proven": list(proven), "unprotected": unprotected})
        return
    for one in proven:
        out.print(f"[green]whole[/green] {one.model}: {one.n_entries} entries, head {one.head or '-'}", soft_wrap=True)
    if unprotected:
        out.print(f"[yellow]but[/yellow] {escape(unprotected)}", soft_wrap=True)
