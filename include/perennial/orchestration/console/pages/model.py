"""The two pages: all models, the most urgent first, and one of them window by window. Pure."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from html import escape

from perennial.config import ModelConfig
from perennial.contracts import Window
from perennial.orchestration.console.standing import standing
from perennial.pages.html import Link, document, table
from perennial.pipeline.readings import Reading
from perennial.pipeline.timeline import Status, TimelineRow

WINDOWS_SHOWN = 60
_MARKS = {"halt": "bad", "blind": "bad", "rollback": "bad", "retrain": "odd", "stay": "good"}


def overview(found: Iterable[tuple[ModelConfig, Status]], *, root: str) -> str:
    """Every model in one row, the most urgent first. ``root`` is where the console lies, without a slash at its end."""
    ordered = sorted(found, key=lambda one: (standing(one[1]).urgency, one[0].model))
    told = [standing(status) for _, status in ordered]
    rows = [
        (
            Link(config.model, f"{root}/models/{config.model}", within=True),
            said.words,
            status.champion or "-",
            _day(status.champion_since),
            status.stable or "-",
            _days(status.last_window),
            config.owner,
            "; ".join(status.last_reasons) or "-",
        )
        for (config, status), said in zip(ordered, told, strict=True)
    ]
    headings = ("model", "where it stands", "champion", "since", "stable", "last window", "owner", "its last decision")
    body = table(headings, rows, marks=[said.mark for said in told]) if rows else "<p>You may see no model here.</p>"
    return document("Models", ["<h1>Models</h1>", body])


def model_page(
    config: ModelConfig, status: Status, rows: Sequence[TimelineRow], readings: Sequence[Reading], *, root: str
) -> str:
    """One model: where it stands, its newest signals, its windows from the newest back."""
    said = standing(status)
    facts = [
        ("where it stands", said.words),
        (
            "champion",
            f"{status.champion or 'none'}{f', since {_day(status.champion_since)}' if status.champion else ''}",
        ),
        ("last stable version", status.stable or "none"),
        ("versions rolled back", ", ".join(status.rolled_back) or "none"),
        *(("hold", hold) for hold in status.open_holds),
        *((("past its gates", status.past_gates),) if status.past_gates else ()),
        ("owner", config.owner),
    ]
    dags = (f"{config.model}__{kind}" for kind in ("monitor", "retrain", "rollback"))
    runs = [[Link(dag_id, f"/dags/{dag_id}")] for dag_id in dags]
    parts = [
        f"<h1>{escape(config.title)}</h1>",
        table(("what", config.model), facts, marks=[said.mark]),
        table(("runs in Airflow",), runs),
        "<h2>Signals of the newest window</h2>",
        _signals(readings),
        "<h2>Windows</h2>",
        _windows(rows),
        table(("go to",), [[Link("all models", f"{root}/", within=True)]]),
    ]
    return document(config.model, parts)


def _signals(readings: Sequence[Reading]) -> str:
    if not readings:
        return "<p>Nothing was measured yet.</p>"
    order = {"breached": 0, "undecided": 1, "unknown": 2, "ok": 3}
    marks = {"breached": "bad", "undecided": "odd", "unknown": "odd", "ok": "good"}
    shown = sorted(readings, key=lambda one: (order.get(one.status, 9), -one.window.start.timestamp(), one.family))
    rows = [
        (
            f"{one.family}/{one.subject}" if one.subject else one.family,
            one.status,
            one.role,
            _value(one),
            "-" if one.threshold is None else f"{one.threshold:.4g}",
            _days(one.window),
            one.detail,
        )
        for one in shown
    ]
    headings = ("signal", "status", "role", "value", "bound", "window", "what was seen")
    return table(headings, rows, marks=[marks.get(one.status, "") for one in shown])


def _windows(rows: Sequence[TimelineRow]) -> str:
    if not rows:
        return "<p>No window was decided yet.</p>"
    newest = list(rows)[: -WINDOWS_SHOWN - 1 : -1]
    shown = [
        (
            _days(row.window),
            row.action,
            "; ".join(row.reasons),
            f"{row.n_published:,}",
            f"{row.n_quarantined:,}",
            ", ".join(f"{name} {value:.4g}" for name, value in row.performance.items()) or "-",
            row.champion or "-",
            "; ".join(row.events) or "-",
        )
        for row in newest
    ]
    headings = ("window", "decision", "why", "published", "quarantined", "quality", "champion", "what happened")
    note = f"<p>The newest {WINDOWS_SHOWN} of {len(rows)} decisions.</p>" if len(rows) > WINDOWS_SHOWN else ""
    return table(headings, shown, marks=[_MARKS.get(row.action, "") for row in newest]) + note


def _value(one: Reading) -> str:
    if one.value is None:
        return "-"
    span = "" if one.low is None or one.high is None else f" ({one.low:.4g} to {one.high:.4g})"
    return f"{one.value:.4g}{span}"


def _day(moment: datetime | None) -> str:
    return "-" if moment is None else f"{moment:%Y-%m-%d}"


def _days(window: Window | None) -> str:
    return "-" if window is None else f"{window.start:%Y-%m-%d} to {window.end:%Y-%m-%d}"
