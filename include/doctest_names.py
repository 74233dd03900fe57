"""Names that the doctests share, so that each needs two or three lines: a plugin of pytest, see ``pyproject.toml``.

``flights`` is the model flight_delay, ``day(0)`` the window of 1 January 2013, ``subject`` what a signal of ``day(1)``
under version 3 speaks about. ``evaluation`` compares a candidate with champion 3, ``signed`` is a passed signoff of it
as version 4, and ``entry(kind, ...)`` a line of the ledger. ``around(value, error, n_rows, n_blocks, confidence)``
makes an interval for an ``Estimate``, and ``compute`` all metrics of a task.

It is no ``conftest.py``: two of that name would be one module, and the tests import from theirs.
"""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from perennial.config import load_model
from perennial.contracts import (
    DataFacts,
    Estimate,
    Evaluation,
    Gate,
    GroupFacts,
    Interval,
    LedgerEntry,
    LedgerKind,
    Robustness,
    Signoff,
    SliceGain,
    SliceGains,
    Subject,
    Window,
    to_record,
)
from perennial.statistics.intervals import around
from perennial.statistics.metrics import compute

_FLIGHTS = Path(__file__).parent / "models" / "flight_delay"
_ORIGIN = datetime(2013, 1, 1, tzinfo=UTC)


def _day(number: int) -> Window:
    return Window(start=_ORIGIN + timedelta(days=number), end=_ORIGIN + timedelta(days=number + 1))


def _entry(kind: LedgerKind, version: str | None = None, number: int = 0, **payload: Any) -> LedgerEntry:
    return LedgerEntry(
        entry_id=f"{kind}-{number}",
        model="flight_delay",
        kind=kind,
        at=_day(number).end,
        actor="ada",
        reason="a reason",
        version=version,
        payload={key: to_record(value) if isinstance(value, Window) else value for key, value in payload.items()},
        seq=number,
    )


def _signed() -> Signoff:
    gate = Gate(name="metric/roc_auc", passed=True, value=0.7, bound=0.6, detail="roc_auc 0.7 keeps the minimum 0.6")
    return Signoff(
        model="flight_delay",
        version="4",
        artifact_digest="d",
        champion_seen="3",
        gates=(gate,),
        passed=True,
        review="auto",
        as_of=_day(9).end,
        train=Window(start=_day(0).start, end=_day(6).end),
        holdout=Window(start=_day(7).start, end=_day(9).end),
    )


def _evaluation() -> Evaluation:
    gain = Estimate(value=0.01, interval=around(0.01, 0.002, 900, 14, 0.95))
    kept = SliceGains(slices=(SliceGain(name="origin=JFK", n_rows=900, gain=gain),))
    return Evaluation(
        model="flight_delay",
        mlflow_run_id="run",
        n_rows=6000,
        label_coverage=0.9,
        candidate={"roc_auc": 0.7, "accuracy": 0.75},
        baseline="3",
        baseline_metrics={"roc_auc": 0.65},
        n_paired_rows=6000,
        candidate_paired={"roc_auc": 0.7},
        groups=GroupFacts(slices={"origin": kept, "carrier": kept, "found": kept}),
        data=DataFacts(n_same_ids=0, shared_entities=None, gap_s=0.0, least_class={"train": 900, "holdout": 300}),
        gains={
            "roc_auc": Estimate(value=0.05, interval=around(0.05, 0.02, 6000, 14, 0.95)),
            "log_loss": Estimate(value=0.01, interval=around(0.01, 0.005, 6000, 14, 0.95)),
        },
    )


@pytest.fixture(autouse=True, scope="session")
def shared_names(doctest_namespace: dict[str, Any]) -> None:
    """Give the doctests their names."""
    doctest_namespace.update(
        flights=load_model(_FLIGHTS),
        day=_day,
        subject=Subject.of_run("flight_delay", _day(1), "3"),
        evaluation=_evaluation(),
        signed=_signed(),
        entry=_entry,
        Estimate=Estimate,
        Interval=Interval,
        Robustness=Robustness,
        around=around,
        compute=compute,
        to_record=to_record,
    )
