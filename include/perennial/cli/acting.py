"""Commands that act: roll back, acknowledge a hold, start and stop the local stack."""

import getpass
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer
from rich.table import Table

from perennial.cli import asking, costing, mending
from perennial.cli.printing import SHOWN, AsJson, Model, as_logged, err, out, print_json, speaks_plainly
from perennial.cli.waiting import at_work
from perennial.errors import ConfigError

if TYPE_CHECKING:
    from perennial.pipeline import Case

app = typer.Typer()
app.add_typer(mending.app)
app.add_typer(costing.app)


@app.command()
@speaks_plainly
def rollback(
    model: Model,
    reason: Annotated[str, typer.Option(help="Why; it goes to the ledger.")],
    version: Annotated[
        str | None, typer.Option(help="A version that passed its bake; the last one unless given.")
    ] = None,
) -> None:
    """Put the last version that passed its bake back in charge."""
    from perennial.provenance.taken_back import keep

    case = asking.case(model)
    case.begin()
    now = asking.now()
    run_id = f"cli__{now.isoformat()}"
    done = case.roll_back(actor=getpass.getuser(), reason=reason, at=now, run_id=run_id, version=version)
    keep(case)
    out.print(f"{model}: champion is version {done.version} again (was {done.previous})")
    out.print(f"what is known of why: `perennial lineage rollback {model}`", highlight=False)
    _say_followed(case)


@app.command()
@speaks_plainly
def promote(
    model: Model,
    version: Annotated[str, typer.Argument(help="A version that failed its gates.")],
    reason: Annotated[str, typer.Option(help="Why; it goes to the ledger.")],
    by: Annotated[list[str], typer.Option("--by", help="One of the two people whose word it is; give it twice.")],
    past_gates: Annotated[bool, typer.Option("--past-gates", help="Promote it although it failed.")] = False,
) -> None:
    """Put a version in charge that failed its gates, on the word of two people other than who asked for it."""
    if not past_gates:
        raise ConfigError(
            f"{model}: what passed its gates is promoted by its review; --past-gates promotes what failed"
        )
    case = asking.case(model)
    case.begin()
    done = case.promote_past_gates(version, by=tuple(by), reason=reason, entered_by=getpass.getuser())
    out.print(f"{model}: champion is version {done.version} (was {done.previous or 'none'}), past its gates")
    _say_followed(case)


def _say_followed(case: "Case") -> None:
    if followed := case.verify_traffic():
        out.print(f"{case.model}: {followed.reason}", highlight=False)


@app.command()
@speaks_plainly
def acknowledge(
    model: Model,
    reason: Annotated[str, typer.Option(help="What the cause was; it goes to the ledger.")],
    hold: Annotated[
        str | None, typer.Option(help="Id of the hold, from `perennial status`; the only open one unless given.")
    ] = None,
    exclude: Annotated[
        bool, typer.Option("--exclude/--include", help="Leave the held rows out of training, or not.")
    ] = True,
    at: Annotated[str | None, typer.Option(help="Event time of your word; now unless given.")] = None,
) -> None:
    """Say that the cause of a rollback is understood, so that retraining may go on."""
    case = asking.case(model)
    open_holds = [item.entry_id for item in case.state().holds if not item.acknowledged]
    chosen = hold or (open_holds[0] if len(open_holds) == 1 else _ask_for_hold(model, open_holds))
    case.acknowledge(
        chosen,
        actor=getpass.getuser(),
        reason=reason,
        exclude=exclude,
        at=asking.moment(at) if at else asking.now(),
    )
    out.print(f"{model}: hold {chosen} acknowledged, its rows are {'left out of' if exclude else 'kept for'} training")


@app.command()
@speaks_plainly
def reprocess(
    model: Model,
    start: Annotated[str, typer.Option("--from", help="Start of the first window, like 2013-01-01T00:00:00Z.")],
    end: Annotated[str, typer.Option("--to", help="End of the last window.")],
    as_json: AsJson = False,
) -> None:
    """After a rule was mended: audit what is halted or in quarantine once more, and publish what passes now."""
    case = asking.case(model)
    case.prepare()
    found = case.reprocess(asking.window(start, end))
    if as_json:
        print_json(list(found))
        return
    if not found:
        out.print("nothing is halted or in quarantine")
    for one in found:
        span = f"{one.window.start:{SHOWN}} to {one.window.end:{SHOWN}}"
        corrected = f", {one.n_corrected:,} of them corrections" if one.n_corrected else ""
        out.print(f"[bold]{one.source} of {span}[/bold]: {one.n_published:,} rows published{corrected}")
        out.print(f"  {as_logged(one.outcome)}", highlight=False, soft_wrap=True)
    if changed := sorted({one.window for one in found if one.n_published}, key=lambda window: window.start):
        first, last = changed[0], changed[-1]
        out.print(
            f"{len(changed)} windows have other rows now; measure each again with perennial run monitor {model} "
            f"--start ... --end ..., from {first.start:%Y-%m-%dT%H:%M:%SZ} to {last.end:%Y-%m-%dT%H:%M:%SZ}",
            highlight=False,
            soft_wrap=True,
        )


def _ask_for_hold(model: str, open_holds: list[str]) -> NoReturn:
    known = f"give --hold, one of {', '.join(open_holds)}" if open_holds else "nothing is held"
    raise ConfigError(f"{model}: {known}")


@app.command()
@speaks_plainly
def up(
    *,
    without_airflow: Annotated[
        bool, typer.Option("--without-airflow", help="No scheduler: runs are those of `perennial run`, on a history.")
    ] = False,
) -> None:
    """Start PostgreSQL, MLflow, Airflow and scoring services on this machine; says where they are and how to get in."""
    import stack
    from perennial.serving.declared import served_models
    from stack.credentials import load as load_credentials
    from stack.environment import ADMIN, REVIEWER

    settings = asking.settings()
    served, problems = served_models(settings)
    for problem in problems:
        err.print(f"not served: {problem}", markup=False, highlight=False, soft_wrap=True)
    ports = stack.Ports(
        airflow=settings.airflow_port,
        mlflow=settings.mlflow_port,
        postgres=settings.postgres_port,
        serving=settings.serving_port,
    )
    layout = stack.StackLayout(home=settings.home, ports=ports, served=served)
    components = {"components": ("postgres", "mlflow")} if without_airflow else {}
    with at_work("starting what is not up yet"):
        running = stack.up(layout, progress=lambda line: out.print(line, markup=False, highlight=False), **components)
    credentials = load_credentials(running.credentials_file)
    table = Table("open", "at", "log in as")
    if not without_airflow:
        table.add_row("Airflow", running.airflow_url, f"{ADMIN} / {credentials.airflow_admin_password}")
    table.add_row("MLflow", running.mlflow_url, f"{REVIEWER} / {credentials.mlflow_reviewer_password}")
    for service in running.services:
        table.add_row(f"{service.model}, served", service.url, "no login on this machine")
    out.print(table)
    out.print(f"All generated credentials: {running.credentials_file}", soft_wrap=True, highlight=False)


@app.command()
@speaks_plainly
def down() -> None:
    """Stop everything that `perennial up` started; the data stays."""
    import stack

    stopped = stack.down(asking.settings().home, progress=lambda line: out.print(line, markup=False, highlight=False))
    out.print(f"stopped {', '.join(stopped)}" if stopped else "nothing was running")
