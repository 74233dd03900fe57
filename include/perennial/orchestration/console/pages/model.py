"""One model: where it stands, everything over one axis of time, signal by window, and what happened."""

from collections.abc import Sequence
from html import escape

from perennial.config import ModelConfig
from perennial.contracts import ReleaseState, SignalStatus, Signoff, Window
from perennial.orchestration.console.pages.beside import apart_over_time, costs, labels_in, policy, tracks
from perennial.orchestration.console.pages.parts import (
    OF_ACTIONS,
    dated,
    days,
    folded,
    spanned,
    standing_of,
    trail,
    whole,
)
from perennial.pages.chart import Curve, Datum, Marker, Panel, chart
from perennial.pages.html import Cell, Link, Marked, table
from perennial.pipeline.health.grid import Grid, SignalRow
from perennial.pipeline.health.overview import Health
from perennial.pipeline.health.series import Figure, Kind, Series, WindowFigures
from perennial.pipeline.health.whole import ModelHealth

WINDOWS_SHOWN = 60
LETTERS: dict[Kind, str] = {
    "promoted": "P", "by shares": "%", "bake passed": "✓", "bake failed": "✗", "rolled back": "R", "halted": "H",
    "blind": "?", "retrain": "T",
}  # fmt: skip
_SIGNS: dict[SignalStatus | None, tuple[str, str]] = {
    "breached": ("bad", "✗"), "undecided": ("odd", "~"), "unknown": ("odd", "?"), "ok": ("good", "·"), None: ("", ""),
}  # fmt: skip


def model_page(config: ModelConfig, found: ModelHealth, *, root: str) -> str:
    """The page of a model; ``root`` is where the console lies, without a slash at its end."""
    place, series = f"{root}/models/{config.model}", found.series
    parts = [
        f"<h1>{escape(config.title)}</h1>",
        _facts(config, found.health, found.state, place),
        _holds(found.state, place),
        "<h2>Over time</h2>",
        chart(f"{config.model} over time", _panels(series), _markers(series)),
        f"<p>{'; '.join(f'{letter} {kind}' for kind, letter in LETTERS.items())}.</p>",
        _figures(series, place),
        "<h2>Signal by window</h2>",
        _grid(found.grid, place),
        '<h2 id="labels">Labels, as they came in</h2>',
        labels_in(found.arrivals, place),
        '<h2 id="slices">Slices</h2>',
        tracks(found.slices, "No slice was measured: none is declared, and none was looked for or found."),
        '<h2 id="fairness">Fairness</h2>',
        apart_over_time(found.fairness) if found.fairness else "",
        tracks(found.fairness, "No protected column is declared (signals.fairness.columns), or none measured yet."),
        '<h2 id="costs">What training cost</h2>',
        costs(config, found.spent),
        "<h2>What happened</h2>",
        _happened(series),
        '<h2 id="policy">The policy in words</h2>',
        policy(config),
    ]
    return whole(config.model, parts, trail=trail(root, (config.model, f"models/{config.model}")))


def _facts(config: ModelConfig, health: Health, state: ReleaseState, place: str) -> str:
    status, said = health.status, standing_of(health)
    dags = [f"{config.model}__{kind}" for kind in ("monitor", "retrain", "rollback")]
    serves = f"{status.champion}, since {dated(status.champion_since)}" if status.champion else "none"
    rows: list[tuple[Cell, Cell]] = [
        ("where it stands", said.words),
        ("champion", serves + (", in its bake" if status.in_bake else "")),
        *((("released by shares", health.status.shared),) if health.status.shared else ()),
        ("last stable version", status.stable or "none"),
        ("versions rolled back", ", ".join(status.rolled_back) or "none"),
        *((("past its gates", status.past_gates),) if status.past_gates else ()),
        *(_review(one, place) for one in health.open_reviews),
        ("gain of a retrain", "-" if health.gain is None else _said(health.gain)),
        *((("take it back", Link("roll back", f"{place}/rollback", within=True)),) if state.trusted else ()),
        ("rows kept back", Link("quarantine", f"{place}/quarantine", within=True)),
        ("owner", config.owner),
        *(("runs in Airflow", Link(dag, f"/dags/{dag}")) for dag in dags),
    ]
    return table(("what", config.model), rows, marks=[said.mark])


def _review(signoff: Signoff, place: str) -> tuple[str, Link]:
    words = f"version {signoff.version} waits for its review"
    return ("review", Link(words, f"{place}/reviews/{signoff.signoff_id}", within=True))


def _holds(state: ReleaseState, place: str) -> str:
    waiting = [hold for hold in state.holds if not hold.acknowledged]
    if not waiting:
        return ""
    rows = [
        (days(hold.stretch), hold.reason, Link("acknowledge", f"{place}/holds/{hold.entry_id}", within=True))
        for hold in waiting
    ]
    return f'<h2 id="holds">Held</h2>{table(("stretch", "why", "your word"), rows)}'


def _panels(series: Series) -> list[Panel]:
    rows = series.windows
    realised, expected = _points(rows, "quality"), _points(rows, "estimate")
    counts = tuple(Datum(row.window.start, float(row.n_published)) for row in rows)
    share = tuple(
        Datum(row.window.start, None if not row.n_expected else row.n_published / row.n_expected) for row in rows
    )
    return [
        Panel(
            title=f"quality: {series.metric}, dotted where it is expected without labels",
            curves=(
                Curve(name="realised", points=realised),
                Curve(name="expected", points=expected, look="guess"),
            ),
            bounds=_bounds(rows, "quality"),
        ),
        Panel(
            title=f"gain of a retrain, {series.gain_metric}, added up since the last one",
            curves=(Curve(name="gain", points=_points(rows, "gain")),),
            bounds=_bounds(rows, "gain"),
        ),
        Panel(
            title="drift: share of the champion's importance in drifted features",
            curves=(Curve(name="drift", points=_points(rows, "drift")),),
            bounds=_bounds(rows, "drift"),
        ),
        Panel(title="published rows", curves=(Curve(name="rows", points=counts, look="bars"),)),
        Panel(title="completeness: published of promised", curves=(Curve(name="share", points=share),), bounds=(1.0,)),
    ]


def _points(rows: Sequence[WindowFigures], what: str) -> tuple[Datum, ...]:
    found: list[tuple[Window, Figure | None]] = [(row.window, getattr(row, what)) for row in rows]
    return tuple(
        Datum(window.start, None) if figure is None else Datum(window.start, figure.value, figure.low, figure.high)
        for window, figure in found
    )


def _bounds(rows: Sequence[WindowFigures], what: str) -> tuple[float, ...]:
    """The bound that holds now."""
    known = [figure.bound for row in rows if (figure := getattr(row, what)) is not None and figure.bound is not None]
    return (known[-1],) if known else ()


def _markers(series: Series) -> list[Marker]:
    return [Marker(one.at, LETTERS[one.kind], f"{one.kind}: {one.words}") for one in series.happenings]


def _figures(series: Series, place: str) -> str:
    rows = [
        (
            Link(days(row.window), f"{place}/windows/{row.window.key}", within=True),
            row.action,
            _said(row.quality),
            _said(row.estimate),
            _said(row.gain),
            _said(row.drift),
            f"{row.n_published:,}" + (f" of {row.n_expected:,}" if row.n_expected is not None else ""),
            f"{row.n_quarantined:,}",
        )
        for row in reversed(series.windows)
    ]
    if not rows:
        return "<p>No window was decided yet.</p>"
    headings = ("window", "decision", series.metric, "expected", "gain", "drift", "published", "quarantined")
    marks = [OF_ACTIONS.get(row.action, "") for row in reversed(series.windows)]
    newest = table(headings, rows[:WINDOWS_SHOWN], marks=marks, caption="The figures, the newest window first")
    if len(rows) <= WINDOWS_SHOWN:
        return newest
    earlier = table(headings, rows[WINDOWS_SHOWN:], marks=marks[WINDOWS_SHOWN:])
    return newest + folded(f"{len(rows) - WINDOWS_SHOWN} earlier windows", earlier)


def _said(figure: Figure | None) -> str:
    return "-" if figure is None else spanned(figure.value, figure.low, figure.high)


def _grid(grid: Grid, place: str) -> str:
    loud, quiet = [row for row in grid.rows if not row.quiet], [row for row in grid.rows if row.quiet]
    if not grid.rows:
        return "<p>Nothing was measured yet.</p>"
    note = "✗ breached, ~ undecided, ? unknown, · ok. A cell leads to what it rests on."
    parts = [f"<p>{note} The newest {len(grid.windows)} windows, the newest on the right.</p>"]
    if loud:
        parts.append(_cells(loud, grid, place))
    if quiet:
        parts.append(folded(f"{len(quiet)} signals, ok wherever they were measured", _cells(quiet, grid, place)))
    return "".join(parts)


def _cells(rows: Sequence[SignalRow], grid: Grid, place: str) -> str:
    head = "".join(f'<th scope="col" title="{days(one)}">{one.start:%d}</th>' for one in grid.windows)
    body = []
    for row in rows:
        cells = "".join(_cell(row, number, grid, place) for number in range(len(grid.windows)))
        body.append(f'<tr><th scope="row">{escape(row.name)} <small>{row.role}</small></th>{cells}</tr>')
    return f'<table class="grid"><tr><th scope="col">signal</th>{head}</tr>{"".join(body)}</table>'


def _cell(row: SignalRow, number: int, grid: Grid, place: str) -> str:
    status, window = row.statuses[number], grid.windows[number]
    mark, sign = _SIGNS[status]
    if status is None:
        return "<td></td>"
    href = f"{place}/windows/{window.key}#{escape(row.name)}"
    return f'<td class="{mark}"><a href="{href}" title="{status}, {days(window)}" aria-label="{status}">{sign}</a></td>'


def _happened(series: Series) -> str:
    rows: list[tuple[Cell, ...]] = [
        (dated(one.at), Marked(one.kind, {"promoted": "good", "bake passed": "good"}.get(one.kind, "odd")), one.words)
        for one in reversed(series.happenings)
    ]
    if not rows:
        return "<p>Nothing but decisions to stay.</p>"
    first = table(("when", "what", "in words"), rows[:WINDOWS_SHOWN])
    rest = table(("when", "what", "in words"), rows[WINDOWS_SHOWN:]) if len(rows) > WINDOWS_SHOWN else ""
    return first + (folded(f"{len(rows) - WINDOWS_SHOWN} earlier", rest) if rest else "")
