"""The report of a model as one HTML page that needs nothing else. Pure: every text that was logged is escaped."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from html import escape

from perennial.config import ModelConfig
from perennial.contracts import Window
from perennial.pages.chart import CHART_STYLE, Curve, Datum, Marker, Panel, chart
from perennial.pages.html import document, table
from perennial.pipeline.readings import Reading
from perennial.pipeline.timeline import TimelineRow
from perennial.reporting.gathered import Gathered, Happened, drift_names, quality_names
from perennial.reporting.standing import standing

WINDOWS_SHOWN, FEATURES_DRAWN, CAUSES_SHOWN = 60, 6, 8
DECIDED = {
    "stay": "nothing had to be done",
    "retrain": "a retrain was asked for",
    "rollback": "the champion was rolled back",
    "halt": "the delivery is broken and was not published",
    "blind": "what would judge the model is missing",
}
BOUNDS = {"least": "at least", "most": "at most", "range": "within"}
_MARKS = {"halt": "bad", "blind": "bad", "rollback": "bad", "retrain": "odd", "stay": "good"}
_STATUS = {"breached": "bad", "undecided": "odd", "unknown": "odd", "ok": "good"}
_LETTERS = {
    "P": "promoted",
    "B": "its bake ended",
    "R": "rolled back",
    "T": "a retrain was asked for",
    "H": "halted",
    "!": "blind",
}
_HAPPENED = {"promotion": "good", "rollback": "bad", "hold": "bad", "integrity": "bad"}


def page(found: Gathered, *, made_at: datetime) -> str:
    """The whole page."""
    config = found.config
    parts = [
        f"<h1>{escape(config.title)}</h1>",
        _standing(found),
        "<h2>What was decided</h2>",
        _decision(found),
        "<h2>Over time: how good it is, what drifted, what came in</h2>",
        *_over_time(found),
        "<h2>Releases</h2>",
        _history(found.history),
        "<h2>What is in quarantine, and why</h2>",
        *_quarantine(found),
        "<h2>Every window</h2>",
        _windows(found.rows),
        f"<p>Made on {made_at:%Y-%m-%d %H:%M} UTC; configuration {escape(config.digest[:16])}.</p>",
    ]
    return document(f"{config.model}: report", parts, style=CHART_STYLE)


def _standing(found: Gathered) -> str:
    config, status = found.config, found.status
    n_breached = len(found.rows[-1].breached) if found.rows else 0
    said = standing(status, n_reviews=found.n_reviews, n_breached=n_breached)
    since = f", since {_day(status.champion_since)}" if status.champion_since else ""
    facts = [
        ("where it stands", said.words),
        ("champion", f"version {status.champion}{since}" if status.champion else "none yet"),
        *((("released by shares", status.shared),) if status.shared else ()),
        ("last stable version", status.stable or "none"),
        ("versions rolled back", ", ".join(status.rolled_back) or "none"),
        *(("hold", hold) for hold in status.open_holds),
        *((("past its gates", status.past_gates),) if status.past_gates else ()),
        ("owner", config.owner),
        ("task", f"{config.task}, {len(config.features)} features"),
    ]
    return table(("what", config.model), facts, marks=[said.mark])


def _decision(found: Gathered) -> str:
    if found.window is None:
        return "<p>No window was decided yet.</p>"
    row = found.decided
    parts = [f"<p>Window {_days(found.window)}: it was measured, and not decided.</p>"]
    if row is not None:
        mark, said = _MARKS.get(row.action, ""), DECIDED.get(row.action, "")
        parts = [
            f'<p>Window {_days(row.window)}: <span class="{mark}">{escape(row.action)}</span>, {escape(said)}.</p>',
            f"<ul>{''.join(f'<li>{escape(reason)}</li>' for reason in row.reasons)}</ul>",
        ]
    to_show = [one for one in found.readings if one.status != "ok"]
    quiet = [one for one in found.readings if one.status == "ok"]
    parts.append(_signals(to_show) if to_show else "<p>Every signal that was measured keeps its bound.</p>")
    if quiet:
        summary = f"<summary>{len(quiet)} signals that keep their bounds</summary>"
        parts.append(f"<details>{summary}{_signals(quiet)}</details>")
    return "".join(parts)


def _signals(readings: Sequence[Reading]) -> str:
    shown = sorted(readings, key=lambda one: (list(_STATUS).index(one.status), -one.window.end.timestamp()))
    rows = [
        (
            f"{one.family}/{one.subject}" if one.subject else one.family,
            one.status,
            "-" if one.value is None else f"{one.value:.4g}",
            interval_of(one),
            "-" if one.threshold is None else f"{BOUNDS[one.direction]} {one.threshold:.4g}",
            one.role,
            _days(one.window),
            one.detail,
        )
        for one in shown
    ]
    headings = ("signal", "status", "value", "interval", "bound", "role", "window", "what was seen")
    return table(headings, rows, marks=[_STATUS[one.status] for one in shown])


def interval_of(one: Reading) -> str:
    """The interval of a reading in words.

    >>> from perennial.contracts import SignalName
    >>> from perennial.pipeline.readings import reading_of
    >>> interval_of(reading_of(flights, subject.unknown(SignalName.drift("temp_f"), "watch", "gone")))
    '-'
    """
    if one.low is None or one.high is None:
        return "-"
    return f"{one.low:.4g} to {one.high:.4g}" + (f", {one.n_blocks} blocks" if one.n_blocks else "")


def _over_time(found: Gathered) -> list[str]:
    """One axis of time: quality with its intervals, drift, volume; what happened goes through all of it."""
    quality = [_panel(str(name), found, _bound(str(name), found.config)) for name in quality_names(found.config)]
    score, share, *features = (
        _panel(str(name), found, _threshold(str(name), found)) for name in drift_names(found.config)
    )
    furthest = sorted((one for one in features if _last(one) is not None), key=lambda one: -(_last(one) or 0.0))
    markers = _happened(found)
    drawn = chart(
        f"{found.config.model} over time",
        [*quality, score, share, *furthest[:FEATURES_DRAWN], _volume(found.rows)],
        markers,
    )
    letters = {one.letter: one.words for one in reversed(markers)}
    key = ", ".join(f"{letter}: {escape(_LETTERS[letter])}" for letter in _LETTERS if letter in letters)
    hidden = len(furthest) - FEATURES_DRAWN
    more = f" Of {len(furthest)} features, the {FEATURES_DRAWN} that lie furthest are drawn." if hidden > 0 else ""
    return [drawn, f"<p>Each point is a window, at its end; bands are intervals, dashes are bounds.{more} {key}</p>"]


def _panel(name: str, found: Gathered, bound: float | None) -> Panel:
    points = [
        Datum(one.window.end, one.value, *((one.interval.low, one.interval.high) if one.interval else ()))
        for one in found.series.get(name, ())
    ]
    return Panel(title=name, curves=(Curve(name=name, points=tuple(points)),), bounds=() if bound is None else (bound,))


def _last(panel: Panel) -> float | None:
    points = panel.curves[0].points
    return points[-1].value if points else None


def _bound(name: str, config: ModelConfig) -> float | None:
    """The bound of a metric, or the price of a retrain, as ``model.yaml`` says it."""
    family, _, metric = name.partition("/")
    return config.price if family == "gain" else config.signals.performance[metric].bound


def _threshold(name: str, found: Gathered) -> float | None:
    """What the newest value of a signal was held against."""
    return next((one.threshold for one in reversed(found.series.get(name, ()))), None)


def _happened(found: Gathered) -> list[Marker]:
    """What changed who serves, and windows that did not pass; a retrain that was asked for as well."""
    letters = {"promotion": "P", "rollback": "R", "bake": "B"}
    releases = [Marker(one.at, letters[one.kind], one.sentence) for one in found.history if one.kind in letters]
    asked = {"retrain": "T", "halt": "H", "blind": "!"}
    return releases + [
        Marker(row.window.end, asked[row.action], DECIDED[row.action]) for row in found.rows if row.action in asked
    ]


def _volume(rows: Sequence[TimelineRow]) -> Panel:
    newest = {row.window.end: Datum(row.window.end, float(row.n_published)) for row in rows}
    return Panel(title="rows published", curves=(Curve(name="rows", points=tuple(newest.values()), look="bars"),))


def _history(happened: Sequence[Happened]) -> str:
    if not happened:
        return "<p>Nothing was signed off or released yet.</p>"
    rows = [(f"{one.at:%Y-%m-%d %H:%M}", one.kind, one.sentence, one.actor) for one in reversed(happened)]
    marks = [_HAPPENED.get(one.kind, "") for one in reversed(happened)]
    return table(("when (event time)", "what", "in words", "by"), rows, marks=marks)


def _quarantine(found: Gathered) -> Iterable[str]:
    if not found.quarantine:
        yield "<p>Nothing is in quarantine.</p>"
    for batch in found.quarantine:
        yield (
            f"<h3>{escape(batch.source)} of {_days(batch.window)}: {batch.n_quarantined:,} rows, the batch is "
            f"{escape(batch.status)}</h3>"
        )
        rows = [
            (cause.cause, f"{cause.n_rows:,}", "\n".join(f"row {one.row_number}: {one.raw}" for one in cause.examples))
            for cause in batch.causes.first[:CAUSES_SHOWN]
        ]
        yield table(("why", "rows", "for example"), rows)


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


def _day(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d}"


def _days(window: Window) -> str:
    """Its days; with the hours where it is no whole number of them."""
    form = "%Y-%m-%d" if window.start.hour == window.end.hour == 0 else "%Y-%m-%d %H:%M"
    return f"{window.start:{form}} to {window.end:{form}}"
