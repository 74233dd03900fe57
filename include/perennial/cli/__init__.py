"""The perennial command: reads the store, and runs the steps without Airflow for a debugger."""

import os
import sys

import typer

from perennial.cli import acting, backtest, provenance, reading, report, runs, signoff, starting, telling
from perennial.cli.traffic import guarding, scoring, serving

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__, pretty_exceptions_show_locals=False)
app.add_typer(reading.app)
app.add_typer(report.app)
app.add_typer(runs.app, name="run")
app.add_typer(acting.app)
app.add_typer(signoff.app, name="signoff")
app.add_typer(backtest.app)
app.add_typer(provenance.app)
app.add_typer(serving.app)
app.add_typer(guarding.app)
app.add_typer(scoring.app)
app.add_typer(serving.keys, name="keys")
app.add_typer(starting.app)
app.add_typer(telling.app)


def main() -> None:
    """Entry point of the ``perennial`` command.

    Threads of numpy and scikit-learn would wait for one another as soon as anything else runs: one, unless whoever
    starts the command says otherwise. The stack hands its environment on to every task, and is left alone.
    """
    if sys.argv[1:2] != ["up"]:
        os.environ.setdefault("OMP_NUM_THREADS", "1")
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
        os.environ.setdefault("MKL_NUM_THREADS", "1")
    app()
