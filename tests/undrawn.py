"""What no test looks at is not drawn: Evidently's figures of a page, and the pictures in a run of MLflow.

Drawing takes a seventh of a monitor's and of a retrain's CPU time. The pages are made and kept and the pictures logged
all the same, without what is drawn in them. Tests that look ask for the fixture ``drawn``; what runs in processes of
its own, the loop under a scheduler above all, draws as ever.
"""

import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any

import pytest

_NO_PICTURE = b"\x89PNG\r\n\x1a\n"
_looked_at: list[bool] = []  # not empty while a test looks


@contextmanager
def undrawn() -> Iterator[None]:
    """Nothing is drawn within, but where :func:`drawn`. Evidently and matplotlib are imported by who uses them."""
    from perennial.monitoring.drift import evidently_report
    from perennial.monitoring.drift import signals as drift_signals

    measure = evidently_report.measure
    with pytest.MonkeyPatch.context() as patched:

        @wraps(measure)
        def undrawing(pairs: Sequence[Any]) -> Any:
            _replace_render(patched)
            return measure(pairs)

        for module in (evidently_report, drift_signals):
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
    """From now on a picture for a file is an empty one."""
    from matplotlib.figure import Figure

    savefig = Figure.savefig

    def saved(figure: Figure, file: Any, **options: Any) -> None:
        if isinstance(file, str | os.PathLike):
            Path(file).write_bytes(_NO_PICTURE)
        else:
            savefig(figure, file, **options)

    patched.setattr(Figure, "savefig", _unless_looked_at(savefig, saved))


def _unless_looked_at(draw: Callable[..., Any], instead: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(draw)
    def either(*given: Any, **options: Any) -> Any:
        return (draw if _looked_at else instead)(*given, **options)

    return either
