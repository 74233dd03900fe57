"""The command that looks once at a version in its bake."""

import typer

from perennial.cli import asking
from perennial.cli.printing import (
    EXIT_PERMANENT,
    STATUS_COLOURS,
    AsJson,
    Model,
    as_logged,
    out,
    print_json,
    speaks_plainly,
)

app = typer.Typer()


@app.command()
@speaks_plainly
def guard(model: Model, as_json: AsJson = False) -> None:
    """Look once at the version in its bake, without labels, and roll it back on a breach; ends with 1 on a breach."""
    from perennial.pipeline.guarded import guard as look_once
    from perennial.provenance.taken_back import keep

    case = asking.case(model)
    case.begin()
    done = look_once(case, now=asking.now())
    if done.release is not None:
        keep(case)
    if as_json:
        print_json(done)
    else:
        out.print(f"{model}: {done.look.status}: {as_logged(done.look.reason)}", highlight=False, soft_wrap=True)
        for signal in done.look.signals:
            colour = STATUS_COLOURS[signal.status]
            value = "unknown" if signal.value is None else f"{signal.value:.4g} ({signal.interval})"
            line = f"[{colour}]{signal.status}[/{colour}] {signal.name} {value} against {signal.threshold:.4g}"
            out.print(f"  {line}: {as_logged(signal.detail)}", highlight=False, soft_wrap=True)
        if done.release is not None:
            out.print(f"{model}: champion is version {done.release.version} again (was {done.release.previous})")
        if done.followed is not None:
            out.print(f"{model}: {done.followed.reason}", highlight=False)
    if done.look.status == "breached":
        raise typer.Exit(EXIT_PERMANENT)
