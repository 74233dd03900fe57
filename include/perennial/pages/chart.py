"""Curves over one time axis as inline SVG: no script, no file, the page's colours. A table of figures goes behind."""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from html import escape
from typing import Literal

WIDTH, HEIGHT, LEFT, LANE, GAP = 960, 96, 70, 26, 30
_TICKS = 6
APART = 16
"""Markers that lie nearer to one another than this, in units of the drawing, share a place."""

CHART_STYLE = (
    ".chart{overflow-x:auto}"
    ".chart svg{min-width:44em;background:none;color-scheme:inherit;font-size:12px}"
    ".chart text{fill:currentColor}.chart .axis{stroke:var(--line)}.chart .mark{stroke:currentColor;opacity:.28}"
    ".chart .bound{stroke:var(--bad);stroke-dasharray:6 4}"
    ".chart .line{fill:none;stroke:var(--ink);stroke-width:1.6}"
    ".chart .guess{fill:none;stroke:var(--odd);stroke-width:1.4;stroke-dasharray:2 3}"
    ".chart .band{fill:var(--ink);opacity:.18}.chart .bars{fill:var(--ink);opacity:.55}.chart .dot{fill:var(--ink)}"
)


@dataclass(frozen=True, slots=True)
class Datum:
    """A value at a moment, with its interval where it has one; without a value it is a gap in its curve."""

    at: datetime
    value: float | None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """Points in the order of time. ``guess`` is dashed, ``bars`` stand on zero."""

    name: str
    points: tuple[Datum, ...]
    look: Literal["line", "guess", "bars"] = "line"


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """Curves in one unit, with bounds drawn across them."""

    title: str
    curves: tuple[Curve, ...]
    bounds: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Marker:
    """Something that happened: one letter above the panels, and a line down through them."""

    at: datetime
    letter: str
    words: str


def chart(title: str, panels: Sequence[Panel], markers: Sequence[Marker]) -> str:
    """The panels above one another, the markers through all of them; a sentence where there is nothing to draw.

    >>> from datetime import UTC
    >>> at = [datetime(2013, 1, number, tzinfo=UTC) for number in (1, 2, 3)]
    >>> curve = Curve(name="a<b", points=tuple(Datum(moment, 0.5, 0.4, 0.6) for moment in at))
    >>> drawn = chart("Quality", [Panel(title="auc", curves=(curve,), bounds=(0.3,))], [Marker(at[1], "P", "promoted")])
    >>> drawn.count("<svg"), "a&lt;b" in drawn, "<title>2013-01-02: promoted</title>" in drawn
    (1, True, True)
    >>> chart("Quality", [], [])
    '<p>Nothing to draw yet.</p>'
    """
    shown = [panel for panel in panels if any(point.value is not None for point in _points(panel))]
    moments = sorted({point.at for panel in shown for point in _points(panel)})
    if not moments:
        return "<p>Nothing to draw yet.</p>"
    across = _Across(moments[0], max(moments[-1], moments[0] + timedelta(hours=1)))
    height = LANE + len(shown) * (HEIGHT + GAP) + 18
    inside = [one for one in markers if across.start <= one.at <= across.end]
    parts = [_marker(one, across, height - 30) for one in _together(inside, across)]
    parts += [_panel(panel, across, LANE + GAP + number * (HEIGHT + GAP)) for number, panel in enumerate(shown)]
    parts += [_tick(moment, across, height - 6) for moment in across.ticks()]
    description = "; ".join(_described(panel) for panel in shown)
    return (
        f'<div class="chart" tabindex="0"><svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(title)}: '
        f'{escape(description)}. The table below has every figure.">{"".join(parts)}</svg></div>'
    )


def spark(points: Sequence[Datum], words: str) -> str:
    """A curve with its band, as small as a word. ``words`` say what it shows.

    >>> spark([], "nothing")
    ''
    """
    known = [point for point in points if point.value is not None]
    if not known:
        return ""
    low, high = _range(known, ())
    across = _Across(points[0].at, max(points[-1].at, points[0].at + timedelta(hours=1)), left=2, width=118)
    up = _Up(low, high, top=2, height=24)
    drawn = "".join(_curve(Curve(name="", points=tuple(points)), across, up))
    return (
        f'<span class="chart spark"><svg viewBox="0 0 120 28" width="120" height="28" role="img" '
        f'aria-label="{escape(words)}">{drawn}</svg></span>'
    )


@dataclass(frozen=True, slots=True)
class _Across:
    """From moments to the horizontal place."""

    start: datetime
    end: datetime
    left: int = LEFT
    width: int = WIDTH - 8

    def place(self, at: datetime) -> float:
        return round(self.left + (at - self.start) / (self.end - self.start) * (self.width - self.left), 1)

    def ticks(self) -> list[datetime]:
        step = (self.end - self.start) / (_TICKS - 1)
        return [self.start + number * step for number in range(_TICKS)]


@dataclass(frozen=True, slots=True)
class _Up:
    """From values to the vertical place."""

    low: float
    high: float
    top: int
    height: int = HEIGHT

    def place(self, value: float) -> float:
        return round(self.top + (self.high - value) / (self.high - self.low) * self.height, 1)


def _short(value: float) -> str:
    """A value beside its axis.

    >>> _short(10490.4), _short(0.6667)
    ('10,490', '0.667')
    """
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"  # noqa: PLR2004


def _points(panel: Panel) -> list[Datum]:
    return [point for curve in panel.curves for point in curve.points]


def _range(points: Sequence[Datum], others: Sequence[float]) -> tuple[float, float]:
    """From the least to the largest that is drawn, never empty."""
    found = [value for point in points for value in (point.value, point.low, point.high) if value is not None]
    low, high = min([*found, *others]), max([*found, *others])
    margin = (high - low) * 0.06 or abs(high) * 0.1 or 1.0
    return low - margin, high + margin


def _panel(panel: Panel, across: _Across, top: int) -> str:
    bars = any(curve.look == "bars" for curve in panel.curves)
    low, high = _range(_points(panel), [*panel.bounds, *([0.0] if bars else [])])
    up = _Up(max(low, 0.0) if bars else low, high, top)
    parts = [
        f'<text x="{LEFT}" y="{top - 6}" font-weight="600">{escape(panel.title)}</text>',
        *(
            f'<line class="axis" x1="{LEFT}" x2="{across.width}" y1="{up.place(value)}" y2="{up.place(value)}"/>'
            f'<text x="{LEFT - 6}" y="{up.place(value) + 4}" text-anchor="end">{_short(value)}</text>'
            for value in (up.low, (up.low + up.high) / 2, up.high)
        ),
        *(
            f'<line class="bound" x1="{LEFT}" x2="{across.width}" y1="{up.place(bound)}" y2="{up.place(bound)}">'
            f"<title>bound {bound:.4g}</title></line>"
            for bound in panel.bounds
        ),
        *(shape for curve in panel.curves for shape in _curve(curve, across, up)),
    ]
    return "".join(parts)


def _curve(curve: Curve, across: _Across, up: _Up) -> list[str]:
    if curve.look == "bars":
        return _bars(curve, across, up)
    shapes = []
    for stretch in _stretches(curve.points):
        banded = [point for point in stretch if point.low is not None and point.high is not None]
        if len(banded) > 1:
            upper = [f"{across.place(point.at)},{up.place(point.high or 0.0)}" for point in banded]
            lower = [f"{across.place(point.at)},{up.place(point.low or 0.0)}" for point in reversed(banded)]
            shapes.append(f'<polygon class="band" points="{" ".join([*upper, *lower])}"/>')
        places = [f"{across.place(point.at)},{up.place(point.value or 0.0)}" for point in stretch]
        kind = "guess" if curve.look == "guess" else "line"
        x, _, y = places[0].partition(",")
        shapes.append(
            f'<polyline class="{kind}" points="{" ".join(places)}"/>'
            if len(places) > 1
            else f'<circle class="dot" r="2.2" cx="{x}" cy="{y}"/>'
        )
    return shapes


def _bars(curve: Curve, across: _Across, up: _Up) -> list[str]:
    width = max(1.0, round(0.7 * (across.width - across.left) / max(len(curve.points), 1), 1))
    return [
        f'<rect class="bars" x="{max(across.place(point.at) - width / 2, LEFT):.1f}" width="{width}" '
        f'y="{up.place(point.value)}" height="{max(up.place(up.low) - up.place(point.value), 0):.1f}"/>'
        for point in curve.points
        if point.value is not None
    ]


def _stretches(points: Sequence[Datum]) -> list[list[Datum]]:
    """The points between gaps."""
    found: list[list[Datum]] = [[]]
    for point in points:
        if point.value is None:
            found.append([])
        else:
            found[-1].append(point)
    return [stretch for stretch in found if stretch]


def _together(markers: Sequence[Marker], across: _Across) -> list[Marker]:
    """Those too close for a letter each are one, with the letters of all beside one another. Pure.

    >>> from datetime import UTC
    >>> at = [datetime(2013, 1, number, tzinfo=UTC) for number in (1, 2, 31)]
    >>> marks = [Marker(at[2], "R", "back"), Marker(at[1], "T", "asked"), Marker(at[1], "P", "promoted")]
    >>> [(one.letter, one.words) for one in _together(marks, _Across(at[0], at[2]))]
    [('TP', 'asked; 2013-01-02: promoted'), ('R', 'back')]
    """
    found: list[Marker] = []
    for one in sorted(markers, key=lambda marker: marker.at):
        if not found or across.place(one.at) - across.place(found[-1].at) >= APART:
            found.append(one)
            continue
        first = found[-1]
        letters = first.letter if one.letter in first.letter else first.letter + one.letter
        found[-1] = replace(first, letter=letters, words=f"{first.words}; {one.at:%Y-%m-%d}: {one.words}")
    return found


def _marker(one: Marker, across: _Across, bottom: int) -> str:
    x = across.place(one.at)
    return (
        f'<g><title>{one.at:%Y-%m-%d}: {escape(one.words)}</title><line class="mark" x1="{x}" x2="{x}" y1="{LANE}" '
        f'y2="{bottom}"/><text x="{x}" y="{LANE - 8}" text-anchor="middle" font-weight="600">{escape(one.letter)}'
        "</text></g>"
    )


def _tick(moment: datetime, across: _Across, y: int) -> str:
    x, ends = across.place(moment), (across.start, across.end)
    anchor = "middle" if moment not in ends else ("start", "end")[bisect_left(ends, moment)]
    return f'<text x="{x}" y="{y}" text-anchor="{anchor}">{moment:%Y-%m-%d}</text>'


def _described(panel: Panel) -> str:
    """What a panel shows, in words: the last value of each curve."""
    said = []
    for curve in panel.curves:
        known = [point.value for point in curve.points if point.value is not None]
        if known:
            said.append(f"{curve.name} {known[-1]:.4g} at last, from {min(known):.4g} to {max(known):.4g}")
    bounds = f", bound {', '.join(f'{bound:.4g}' for bound in panel.bounds)}" if panel.bounds else ""
    return f"{panel.title}: {', '.join(said)}{bounds}"
