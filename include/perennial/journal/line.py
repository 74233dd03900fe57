"""What stands in a line, and how counts and windows are found in what a step was given and gave. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass, field, fields, is_dataclass
from datetime import datetime
from typing import Any, Literal

from perennial.contracts import Window
from perennial.errors import redacted

Outcome = Literal["ok", "skipped", "failed"]
ACCOUNTS = (
    ("n_rows",),
    ("n_staged",),
    ("n_train", "n_holdout"),
    ("n_train",),
    ("n_published", "n_quarantined", "n_duplicate"),
)
"""What the rows of a step are, in its counts: the first of these that it has all of."""
LONGEST = 500
"""Of a problem, in characters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Took:
    """What a step took: ``seconds`` of the clock, CPU seconds of its process and of those it waited for, and the most
    memory that its process or one of those ever had, in MiB."""

    seconds: float
    cpu_s: float
    peak_mb: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One step of one run, with ``at`` the moment of its end. ``problem`` is empty but for a failure or a skip."""

    at: datetime
    model: str
    dag: str
    run_id: str
    step: str
    try_number: int
    window: str | None
    outcome: Outcome
    problem: str
    seconds: float
    cpu_s: float
    peak_mb: float
    n_rows: int | None
    rows_per_s: float | None
    counts: dict[str, int] = field(default_factory=dict)


def line_of(
    *,
    at: datetime,
    model: str,
    dag: str,
    run_id: str,
    step: str,
    try_number: int,
    outcome: Outcome,
    took: Took,
    given: Iterable[Any],
    result: Any,
    problem: str = "",
    hidden: Iterable[str] = (),
) -> Line:
    """The line of a step that was ``given`` records and gave ``result``; no secret stands in it.

    >>> took = Took(seconds=2.0, cpu_s=1.0, peak_mb=300.0)
    >>> line = line_of(at=day(0).end, model="m", dag="m__monitor", run_id="r", step="stage_labels", try_number=1,
    ...     outcome="failed", took=took, given=[day(0)], result={"n_rows": 500}, problem="key s3", hidden=["s3"])
    >>> line.window, line.n_rows, line.rows_per_s, line.problem
    ('20130101T000000Z-20130102T000000Z', 500, 250.0, 'key ***')
    """
    counts = counts_in(result)
    account = next((names for names in ACCOUNTS if set(names) <= counts.keys()), None)
    n_rows = sum(counts[name] for name in account) if account else None
    return Line(
        at=at,
        model=model,
        dag=dag,
        run_id=run_id,
        step=step,
        try_number=try_number,
        window=window_in([*given, result]),
        outcome=outcome,
        problem=concealed(problem, hidden)[:LONGEST],
        seconds=round(took.seconds, 3),
        cpu_s=round(took.cpu_s, 3),
        peak_mb=round(took.peak_mb, 1),
        n_rows=n_rows,
        rows_per_s=round(n_rows / took.seconds, 1) if n_rows is not None and took.seconds > 0 else None,
        counts=counts,
    )


def counts_in(result: Any) -> dict[str, int]:
    """Every whole number called ``n_...`` in a record or a dictionary, by its name.

    >>> counts_in({"n_signals": 12, "breached": ["a"], "n_of_what": None}), counts_in("decision")
    ({'n_signals': 12}, {})
    """
    found = result if isinstance(result, dict) else {}
    if is_dataclass(result) and not isinstance(result, type):
        found = {one.name: getattr(result, one.name) for one in fields(result)}
    return {
        name: value
        for name, value in found.items()
        if name.startswith("n_") and isinstance(value, int) and not isinstance(value, bool)
    }


def window_in(given: Iterable[Any]) -> str | None:
    """The key of the first window among records, or within one of them; None without.

    >>> window_in(["labels", None, day(0)]), window_in(["labels"])
    ('20130101T000000Z-20130102T000000Z', None)
    """
    for one in given:
        window = one if isinstance(one, Window) else getattr(one, "window", None)
        if isinstance(window, Window):
            return window.key
    return None


def concealed(text: str, hidden: Iterable[str]) -> str:
    """``text`` without any of the secrets, nor what looks like one in a URL.

    >>> concealed("postgresql://u:pw@h/d refused t0ken", ["t0ken", "t0", ""])
    'postgresql://***@h/d refused ***'
    """
    for secret in sorted(filter(None, hidden), key=len, reverse=True):
        text = text.replace(secret, "***")
    return redacted(text)
