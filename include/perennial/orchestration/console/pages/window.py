"""Why something was decided about a window: each signal with interval, bound and history, and the pages."""

from collections.abc import Mapping, Sequence
from html import escape
from urllib.parse import quote

from perennial.config import ModelConfig
from perennial.ledger.decided import Decided
from perennial.orchestration.console.pages.parts import MARKS, OF_ACTIONS, days, spanned, trail, whole
from perennial.pages.html import Cell, Link, Markup, table
from perennial.pipeline.health.window import Often, WindowEvidence, name_of
from perennial.pipeline.readings import Reading

_ORDER = {"breached": 0, "undecided": 1, "unknown": 2, "ok": 3}
_BOUNDS = {"least": "at least", "most": "at most", "range": "nearest"}
_PAGES = {
    "validation-predictions": "what Great Expectations found in its predictions",
    "validation-labels": "what Great Expectations found in its labels",
    "evidently": "Evidently's report of its drift",
}


def window_page(config: ModelConfig, found: WindowEvidence, *, root: str, mlflow: str, runs: Sequence[str]) -> str:
    """The page of a window. ``runs`` are those of the monitor DAG about it, as far as Airflow knows."""
    place = f"models/{config.model}/windows/{found.window.key}"
    steps = trail(root, (config.model, f"models/{config.model}"), (days(found.window), place))
    parts = [
        f"<h1>{escape(config.model)}, {days(found.window)}</h1>",
        *(_decision(one, number == len(found.decisions) - 1) for number, one in enumerate(found.decisions)),
        "" if found.decisions else "<p>Nothing was decided about it yet.</p>",
        "<h2>Go to</h2>",
        _links(config, found, f"{root}/{place}", mlflow, runs),
        "<h2>Signals</h2>",
        _signals(found.readings, found.often),
        "<h2>Deliveries</h2>",
        _deliveries(config, found, root),
    ]
    return whole(f"{config.model}, {days(found.window)}", parts, trail=steps)


def _decision(one: Decided, newest: bool) -> str:
    reasons = "".join(f"<li>{escape(reason)}</li>" for reason in one.reasons)
    earlier = "" if newest else " (an earlier decision)"
    return (
        f'<h2>Decision: <span class="{OF_ACTIONS.get(one.action, "")}">{escape(one.action)}</span>{earlier}</h2>'
        f"<ul>{reasons}</ul><p>Champion then: {escape(one.champion or 'none')}. Written down "
        f"{one.recorded_at:%Y-%m-%d %H:%M} UTC.</p>"
    )


def _links(config: ModelConfig, found: WindowEvidence, place: str, mlflow: str, runs: Sequence[str]) -> str:
    monitor, newest = f"/dags/{config.model}__monitor", found.decisions[-1] if found.decisions else None
    rows: list[tuple[Cell]] = [(Link(_PAGES[kind], f"{place}/pages/{kind}", within=True),) for kind in found.pages]
    rows += [(Link(f"its run in Airflow, {run}", f"{monitor}/runs/{run}"),) for run in runs]
    if not runs:
        rows.append((Link("the runs of its DAG in Airflow", f"{monitor}/runs"),))
    if newest and newest.retrain_run_id:
        retrain = f"/dags/{config.model}__retrain/runs/{quote(newest.retrain_run_id, safe='')}"
        rows.append((Link("the retrain that it asked for", retrain),))
    if newest and newest.champion and mlflow:
        version = f"{mlflow}/#/models/{config.model}/versions/{newest.champion}"
        rows.append((Link(f"version {newest.champion} in MLflow, and its run", version),))
    return table(("page",), rows)


def _signals(readings: Sequence[Reading], often: Mapping[str, Often]) -> str:
    if not readings:
        return "<p>Nothing was measured of it.</p>"
    shown = sorted(readings, key=lambda one: (_ORDER.get(one.status, 9), -one.window.start.timestamp(), one.family))
    first = {name_of(one): number for number, one in reversed([*enumerate(shown)])}
    rows = [
        (
            _named(name_of(one), is_first=first[name_of(one)] == number),
            one.status,
            one.role,
            spanned(one.value, one.low, one.high),
            "-" if one.threshold is None else f"{_BOUNDS[one.direction]} {one.threshold:.4g}",
            _counted(often.get(name_of(one))),
            "-" if one.n_rows is None else f"{one.n_rows:,} in {one.n_blocks:,} blocks",
            days(one.window),
            one.detail,
        )
        for number, one in enumerate(shown)
    ]
    headings = ("signal", "status", "role", "value", "bound", "breached", "rows", "window", "what was seen")
    return table(headings, rows, marks=[MARKS.get(one.status, "") for one in shown])


def _named(name: str, *, is_first: bool) -> Cell:
    """A signal's name, to which its first row on the page is where links lead."""
    return Markup(f'<span id="{escape(name)}">{escape(name)}</span>') if is_first else name


def _counted(often: Often | None) -> str:
    return "-" if often is None else f"in {often.breached} of the last {often.of}"


def _deliveries(config: ModelConfig, found: WindowEvidence, root: str) -> str:
    if not found.batches:
        return "<p>Nothing was delivered for it.</p>"
    rows: list[tuple[Cell, ...]] = [
        (
            one.source,
            one.status,
            f"{one.n_staged:,}",
            f"{one.n_published:,}",
            Link(f"{one.n_quarantined:,}", f"{root}/models/{config.model}/quarantine/{found.window.key}", within=True),
            f"{one.n_duplicate:,}",
            one.reason or "-",
        )
        for one in found.batches
    ]
    headings = ("source", "status", "delivered", "published", "quarantined", "known before", "why")
    return table(headings, rows, marks=["bad" if one.status == "halted" else "" for one in found.batches])
