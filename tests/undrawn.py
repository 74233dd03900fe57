"""What no test looks at is not drawn: Evidently's figures of a page, and the pictures in a run of MLflow.

Drawing takes a seventh of a monitor's and of a retrain's CPU time. The pages are made and kept all the same, without
what is drawn in them; pictures are made, and neither drawn nor logged. Tests that look ask for the fixture ``drawn``;
what runs in processes of its own, the loop under a scheduler above all, draws as ever.
"""

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from typing import Any

import pytest

_looked_at: list[bool] = []  # not empty while a test looks


@contextmanager
def undrawn() -> Iterator[None]:
    """Nothing is drawn within, but where :func:`drawn`. Evidently is imported by who uses it."""
    from perennial.monitoring.drift import drawing, evidently_report

    measure = evidently_report.measure
    with pytest.MonkeyPatch.context() as patched:

        @wraps(measure)
        def undrawing(pairs: Sequence[Any]) -> Any:
            _replace_render(patched)
            return measure(pairs)

        for module in (evidently_report, drawing):
            patched.setattr(module, "measure", undrawing)
        yield


@contextmanager
def drawn() -> Iterator[None]:
    """Everything is drawn within."""
    _looked_at.append(True)
    try:
        yield
    finally:
        _looked_at.pop()


def _replace_render(patched: pytest.MonkeyPatch) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its import warns
        from evidently.metrics.column_statistics import ValueDriftCalculation
    render = ValueDriftCalculation._render
    if not hasattr(render, "__wrapped__"):
        patched.setattr(ValueDriftCalculation, "_render", _unless_looked_at(render, lambda *_: []))


def undrawn_pictures(patched: pytest.MonkeyPatch) -> None:
    """From now on no picture is logged: each is drawn, and is a request or two."""
    from mlflow import MlflowClient

    log_figure = _unless_looked_at(MlflowClient.log_figure, lambda *_, **__: None)
    patched.setattr(MlflowClient, "log_figure", log_figure)


def _unless_looked_at(draw: Callable[..., Any], instead: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(draw)
    def either(*given: Any, **options: Any) -> Any:
        return (draw if _looked_at else instead)(*given, **options)

    return either
