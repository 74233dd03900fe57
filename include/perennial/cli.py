"""The perennial command: reads the store, and runs the steps without Airflow for a debugger."""

import getpass
import json
import sys
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from functools import wraps
from typing import Annotated, Any, NoReturn, ParamSpec

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from perennial import history, pipeline
from perennial.config import ModelConfig, load_models, previous_windows
from perennial.contracts import RetrainRequest, Signoff, Window, digest_of, to_record, utc
from perennial.errors import ConfigError, PerennialError, TransientError
from perennial.settings import load_settings
from perennial.store import ledger
from stack.credentials import load as load_credentials

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__, pretty_exceptions_show_locals=False)
run_app = typer.Typer(no_args_is_help=True, help="Run the steps of a DAG here, without Airflow.")
app.add_typer(run_app, name="run")

out = Console()
err = Console(stderr=True)
EXIT_PERMANENT, EXIT_TRANSIENT = 1, 75
SHOWN = "%Y-%m-%d"
COLOURS = {"stay": "green", "halt": "red", "rollback": "red", "retrain": "yellow"}

Model = Annotated[str, typer.Argument(help="Name of a folder under the models folder.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON with stable field names.")]
Reason = Annotated[str, typer.Option(help="Why; it goes to the ledger.")]
P = ParamSpec("P")


def speaks_plainly(command: Callable[P, None]) -> Callable[P, None]:
    """Perennial's own errors end a command with their message; exit code 1, or 75 when trying again may help."""

    @wraps(command)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except PerennialError as error:
            err.print(f"[red]{type(error).__name__}[/red]: ", end="")
            err.print(str(error), markup=False, highlight=False, soft_wrap=True)
            raise typer.Exit(EXIT_TRANSIENT if isinstance(error, TransientError) else EXIT_PERMANENT) from error

    return guarded


def _runtime() -> pipeline.Runtime:
    return pipeline.open_runtime(load_settings())


def _print_json(value: Any) -> None:
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def _moment(text: str) -> datetime:
    try:
        return utc(datetime.fromisoformat(text))
    except ValueError:
        raise ConfigError(f"{text!r} is no moment with its zone; write it as 2013-01-15T00:00:00Z") from None


def _window(start: str, end: str) -> Window:
    try:
        return Window(start=_moment(start), end=_moment(end))
    except ValueError as error:
        raise ConfigError(f"--start and --end: {error}") from None


def _now() -> datetime:
    return datetime.now(UTC)


def _last_window(config: ModelConfig, now: datetime) -> Window:
    schedule = config.schedule
    found = previous_windows(schedule, min(now, schedule.end or now), 1)
    if not found:
        raise ConfigError(
            f"{config.model}: no window of its schedule is over yet; it starts {schedule.start.isoformat()}"
        )
    return found[-1]


@app.command()
@speaks_plainly
def check(as_json: AsJson = False) -> None:
    """Validate every model.yaml and build every recipe."""
    from perennial.training.recipe import blame, build_estimator

    settings = load_settings()
    configs = load_models(settings.models_dir)
    for config in configs:
        recipe = settings.models_dir / config.model / "recipe.py"
        try:
            build_estimator(recipe, seed=config.training.seed, params=config.training.params)
        except PerennialError:
            raise
        except Exception as error:  # a recipe is anyone's code
            hint = "; build takes seed and all of training.params" if isinstance(error, TypeError) else ""
            raise ConfigError(f"{blame(recipe, error)}{hint}") from error
    if as_json:
        _print_json([{"model": config.model, "task": config.task, "digest": config.digest} for config in configs])
        return
    for config in configs:
        out.print(f"[green]ok[/green] {config.model}: {config.task}, {len(config.features)} features, {config.title}")
    if not configs:
        raise ConfigError(f"{settings.models_dir}: no model folder with a model.yaml")


@app.command()
@speaks_plainly
def status(model: Annotated[str | None, typer.Argument()] = None, as_json: AsJson = False) -> None:
    """Where every model, or one, stands: champion, bake, stable version, holds, last decision."""
    runtime = _runtime()
    configs = [runtime.config(model)] if model else list(load_models(runtime.models_dir))
    found = [history.status(config, store=runtime.store) for config in configs]
    if as_json:
        _print_json([to_record(item) for item in found])
        return
    table = Table.grid(padding=(0, 2))
    for item in found:
        last = f" on {item.last_window.start:{SHOWN}} to {item.last_window.end:{SHOWN}}" if item.last_window else ""
        bake = ", in its bake" if item.in_bake else ""
        table.add_row(
            f"[bold]{item.model}[/bold]",
            "\n".join(
                [
                    f"champion {item.champion or '-'}{bake}, stable {item.stable or '-'}",
                    escape(f"last decision{last}: {item.last_action or '-'}: {'; '.join(item.last_reasons)}"),
                    *(escape(f"open hold {hold}") for hold in item.open_holds),
                ]
            ),
        )
    out.print(table)


@app.command()
@speaks_plainly
def timeline(model: Model, as_json: AsJson = False) -> None:
    """Every window of a model: rows, signals, performance, decision, champion and stable afterwards."""
    runtime = _runtime()
    rows = history.timeline(runtime.config(model), store=runtime.store)
    if as_json:
        _print_json([to_record(row) for row in rows])
        return
    out.print(timeline_table(rows))


def timeline_table(rows: Iterable[history.TimelineRow]) -> Table:
    """The timeline as text that fits any width: one decision an item, in the order of its window."""
    table = Table.grid(padding=(0, 2))
    for row in rows:
        counts = f"{row.n_published:,} published, {row.n_quarantined:,} quarantined, {row.n_duplicate:,} duplicate"
        performance = ", ".join(f"{metric} {value:.3f}" for metric, value in row.performance.items())
        watched = f" ({len(row.watched)} more watched)" if row.watched else ""
        colour = COLOURS[row.action]
        table.add_row(
            f"[bold]{row.window.start:{SHOWN}}[/bold]",
            "\n".join(
                [
                    f"{counts}; with labels: {performance or '-'}",
                    f"breached: {escape(', '.join(row.breached) or '-')}{watched}",
                    *([f"unknown: {escape(', '.join(row.unknown))}"] if row.unknown else []),
                    f"[bold {colour}]{row.action}[/bold {colour}]: {escape('; '.join(row.reasons))}",
                    *(f"[italic]{escape(event)}[/italic]" for event in row.events),
                    f"champion {row.champion or '-'}, stable {row.stable or '-'}\n",
                ]
            ),
        )
    return table


@app.command(name="ledger")
@speaks_plainly
def show_ledger(
    model: Annotated[str | None, typer.Argument()] = None,
    last: Annotated[int | None, typer.Option(help="Only the newest so many entries.")] = None,
    as_json: AsJson = False,
) -> None:
    """The ledger: who, when, why, on what evidence."""
    found = ledger.entries(_runtime().store, model, last=last)
    if as_json:
        _print_json([to_record(entry) for entry in found])
        return
    table = Table.grid(padding=(0, 2))
    for entry in found:
        version = f" of version {entry.version}" if entry.version else ""
        what = f"{entry.model}: [bold]{entry.kind}[/bold]{version} by {escape(entry.actor)}"
        table.add_row(str(entry.seq), f"{entry.at:%Y-%m-%d %H:%M}", f"{what}\n{escape(entry.reason)}")
    out.print(table)


@run_app.command(name="monitor")
@speaks_plainly
def run_monitor(
    model: Model,
    start: Annotated[str | None, typer.Option(help="Start of the window, like 2013-01-01T00:00:00Z.")] = None,
    end: Annotated[str | None, typer.Option(help="End of the window, not part of it.")] = None,
    as_json: AsJson = False,
) -> None:
    """Ingest, measure and decide for one window: the last complete one unless given."""
    runtime = _runtime()
    config = runtime.config(model)
    if (start is None) != (end is None):
        raise ConfigError("give --start and --end together, or neither")
    window = _window(start, end) if start and end else _last_window(config, _now())
    decided = pipeline.monitor(config, window, runtime=runtime, progress=_progress(as_json))
    if as_json:
        _print_json(to_record(decided))
    elif decided.action == "retrain":
        out.print(f"now: perennial run retrain {model} --as-of {window.end:%Y-%m-%dT%H:%M:%SZ}", soft_wrap=True)
    if decided.action == "halt":
        raise typer.Exit(EXIT_PERMANENT)


@run_app.command(name="retrain")
@speaks_plainly
def run_retrain(
    model: Model,
    as_of: Annotated[
        str | None, typer.Option(help="Only labels that had arrived by then count; now unless given.")
    ] = None,
    reason: Reason = "asked for on the command line",
    as_json: AsJson = False,
) -> None:
    """Snapshot, fit, evaluate, register, judge and promote, as of a moment."""
    runtime = _runtime()
    config = runtime.config(model)
    moment = _moment(as_of) if as_of else _now()
    if moment > _now():
        raise ConfigError(f"--as-of {moment.isoformat()} lies ahead: it would hold back every retrain until then")
    request = RetrainRequest(
        model=model,
        run_id=f"cli__{digest_of(model, moment)}",
        as_of=moment,
        cause=reason,
        requested_by=getpass.getuser(),
    )
    ended = pipeline.retrain(config, request, runtime=runtime, progress=_progress(as_json))
    if as_json:
        _print_json(to_record(ended))
    elif isinstance(ended, Signoff):
        out.print(f"version {ended.version} is not promoted")
    else:
        out.print(f"version {ended.version} promoted")


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
    runtime = _runtime()
    config = runtime.config(model)
    pipeline.reconcile(config, runtime=runtime)
    done = pipeline.roll_back(
        config, runtime=runtime, actor=getpass.getuser(), reason=reason, at=_now(), version=version
    )
    pipeline.verify(config, runtime=runtime)
    out.print(f"{model}: champion is version {done.version} again (was {done.previous})")


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
    runtime = _runtime()
    config = runtime.config(model)
    open_holds = [item.entry_id for item in runtime.state(model).holds if not item.acknowledged]
    chosen = hold or (open_holds[0] if len(open_holds) == 1 else _ask_for_hold(model, open_holds))
    pipeline.acknowledge(
        config,
        chosen,
        runtime=runtime,
        actor=getpass.getuser(),
        reason=reason,
        exclude=exclude,
        at=_moment(at) if at else _now(),
    )
    out.print(f"{model}: hold {chosen} acknowledged, its rows are {'left out of' if exclude else 'kept for'} training")


def _ask_for_hold(model: str, open_holds: list[str]) -> NoReturn:
    known = f"give --hold, one of {', '.join(open_holds)}" if open_holds else "nothing is held"
    raise ConfigError(f"{model}: {known}")


def _progress(as_json: bool) -> pipeline.Progress:
    return (lambda line: err.print(line, markup=False)) if as_json else (lambda line: out.print(line, markup=False))


@app.command()
@speaks_plainly
def up() -> None:
    """Start PostgreSQL, MLflow and Airflow on this machine; says where they are and how to get in."""
    import stack

    settings = load_settings()
    ports = stack.Ports(airflow=settings.airflow_port, mlflow=settings.mlflow_port, postgres=settings.postgres_port)
    layout = stack.StackLayout(home=settings.home, ports=ports)
    running = stack.up(layout, progress=lambda line: out.print(line, markup=False, highlight=False))
    password = load_credentials(running.credentials_file).airflow_admin_password
    table = Table("open", "at", "log in as")
    table.add_row("Airflow", running.airflow_url, f"admin / {password}")
    table.add_row("MLflow", running.mlflow_url, "no login; it listens on this machine only")
    out.print(table)
    out.print(f"All generated credentials: {running.credentials_file}", soft_wrap=True, highlight=False)


@app.command()
@speaks_plainly
def down() -> None:
    """Stop everything that `perennial up` started; the data stays."""
    import stack

    stopped = stack.down(load_settings().home, progress=lambda line: out.print(line, markup=False, highlight=False))
    out.print(f"stopped {', '.join(stopped)}" if stopped else "nothing was running")


def main() -> None:
    """Entry point of the ``perennial`` command."""
    app()
