"""The perennial command: reads the store, and runs the steps without Airflow for a debugger."""

import typer

from perennial.cli import acting, backtest, provenance, reading, runs, serving, signoff, starting, telling

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__, pretty_exceptions_show_locals=False)
app.add_typer(reading.app)
app.add_typer(runs.app, name="run")
app.add_typer(acting.app)
app.add_typer(signoff.app, name="signoff")
app.add_typer(backtest.app)
app.add_typer(provenance.app)
app.add_typer(serving.app)
app.add_typer(serving.keys, name="keys")
app.add_typer(starting.app)
app.add_typer(telling.app)


def main() -> None:
    """Entry point of the ``perennial`` command."""
    app()
