"""The two runs of a model here, without Airflow, for a debugger."""

import getpass
from typing import Annotated

import typer

from perennial.cli import asking
from perennial.cli.printing import (
    EXIT_PERMANENT,
    AsJson,
    End,
    Model,
    Reason,
    Start,
    out,
    print_json,
    progress_to,
    speaks_plainly,
)
from perennial.cli.waiting import at_work
from perennial.errors import ConfigError, TrainingError

app = typer.Typer(no_args_is_help=True, help="Run the steps of a DAG here, without Airflow.")


@app.command()
@speaks_plainly
def monitor(
    model: Model,
    start: Start = None,
    end: End = None,
    page: Annotated[
        bool,
        typer.Option("--page", help="Draw Evidently's page of the drift as well, as the DAG does; it takes longer."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Ingest, measure and decide for one window: the last complete one unless given."""
    from perennial.pipeline import loops

    case = asking.case(model)
    window = asking.window_if_given(start, end) or asking.last_window(case.config, asking.now())
    with at_work(f"monitoring {model}"):
        decided = loops.monitor(case, window, page=page, progress=progress_to(as_json))
    if as_json:
        print_json(decided)
    elif decided.action == "retrain":
        out.print(f"now: perennial run retrain {model} --as-of {window.end:%Y-%m-%dT%H:%M:%SZ}", soft_wrap=True)
    if decided.action in ("halt", "blind"):
        raise typer.Exit(EXIT_PERMANENT)


@app.command()
@speaks_plainly
def retrain(
    model: Model,
    *,
    as_of: Annotated[
        str | None,
        typer.Option(
            help="Only labels that had arrived by then count; unless given, the end of the last monitored window."
        ),
    ] = None,
    reason: Reason = "asked for on the command line",
    without_comparison: Annotated[
        bool, typer.Option(help="Take it upon yourself: the champion can not be scored. A person has to review.")
    ] = False,
    anyway: Annotated[bool, typer.Option("--anyway", help="Make the candidate though it can not pay.")] = False,
    as_json: AsJson = False,
) -> None:
    """Snapshot, fit, evaluate, register, judge and promote, as of a moment."""
    from perennial import ledger
    from perennial.contracts import RetrainRequest, digest_of
    from perennial.pipeline import loops

    case = asking.case(model)
    moment = asking.moment(as_of) if as_of else case.last_monitored() or asking.now()
    if moment > asking.now():
        raise ConfigError(f"--as-of {moment.isoformat()} lies ahead: it would hold back every retrain until then")
    n_before = len(ledger.entries(case.store, model, kinds=["retrain_outcome"]))
    own = RetrainRequest(
        model=model,
        run_id=f"cli__{digest_of(model, moment, n_before)}",
        as_of=moment,
        cause=reason,
        requested_by=getpass.getuser(),
        without_comparison=without_comparison,
        anyway=anyway,
    )
    # what was decided or asked for and never ran to its end is taken up, not asked for a second time
    request = own if without_comparison else case.open_request_as_of(moment) or own
    if why := case.cannot_pay(request):
        raise TrainingError(
            f"{model}: a retrain as of {moment.isoformat()} can not pay, and nothing was begun: {'; '.join(why)}. "
            "--anyway makes the candidate all the same"
        )
    with at_work(f"retraining {model}"):
        ended = loops.retrain(case, request, progress=progress_to(as_json))
    if as_json:
        print_json(ended)
    else:
        out.print(ended.outcome, markup=False, soft_wrap=True)
