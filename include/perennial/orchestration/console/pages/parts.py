"""What every page of the console has: where one is, its colours, how moments and figures are written."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from html import escape

from perennial.contracts import Window
from perennial.orchestration.console.pages.leaving import OUT_OF_THE_FRAME
from perennial.pages.chart import CHART_STYLE
from perennial.pages.html import Link, document
from perennial.pipeline.health.overview import Health
from perennial.reporting.standing import Mark, standing

MARKS = {"breached": "bad", "undecided": "odd", "unknown": "odd", "ok": "good"}
OF_ACTIONS = {"halt": "bad", "blind": "bad", "rollback": "bad", "retrain": "odd", "stay": "good"}
_STYLE = CHART_STYLE + (
    "nav{display:flex;flex-wrap:wrap;gap:.3em 1em}"
    "form{display:grid;gap:.6em;max-width:40em;margin:1em 0}form div{display:flex;gap:1em;flex-wrap:wrap}"
    "label{font-weight:600}textarea,select,button{font:inherit;padding:.4em}button{cursor:pointer}"
    ".grid td{padding:0;text-align:center}"
    ".grid td a{display:block;min-width:1.5em;padding:.2em;text-decoration:none;color:inherit}"
    ".grid th[scope=row]{text-align:left;font-weight:400;white-space:nowrap;position:sticky;left:0;background:Canvas}"
    ".grid td.bad{background:color-mix(in srgb,var(--bad) 30%,transparent)}"
    ".grid td.odd{background:color-mix(in srgb,var(--odd) 22%,transparent)}"
    ".grid td.good{background:color-mix(in srgb,var(--good) 12%,transparent)}"
    ".spark svg{min-width:0;vertical-align:middle}pre{overflow-x:auto}"
    "@media(max-width:40em){body{margin:1em auto;padding:0 .6em;font-size:14px}h1{font-size:1.5em}}"
)


def whole(title: str, parts: Iterable[str], *, trail: Sequence[Link] = ()) -> str:
    """A page of the console: the way back to where one came from, then its parts."""
    links = "".join(f'<a href="{escape(one.href)}">{escape(one.text)}</a>' for one in trail)
    nav = f'<nav aria-label="Where you are">{links}</nav>' if links else ""
    return document(title, [nav, "<main>", *parts, "</main>"], style=_STYLE, script=OUT_OF_THE_FRAME)


def trail(root: str, *steps: tuple[str, str]) -> list[Link]:
    """The way from the overview: each step with its path below ``root``.

    >>> [one.href for one in trail("/perennial", ("flights", "models/flights"))]
    ['/perennial/', '/perennial/models/flights']
    """
    return [Link("all models", f"{root}/"), *(Link(text, f"{root}/{path}") for text, path in steps)]


def dated(moment: datetime | None) -> str:
    """A moment as a day; a dash where there is none.

    >>> dated(None)
    '-'
    """
    return "-" if moment is None else f"{moment:%Y-%m-%d}"


def days(window: Window | None) -> str:
    """A window by its days, with hours where it does not begin and end at midnight."""
    if window is None:
        return "-"
    form = "%Y-%m-%d" if f"{window.start:%H%M}{window.end:%H%M}" == "00000000" else "%Y-%m-%d %H:%M"
    return f"{window.start:{form}} to {window.end:{form}}"


def spanned(value: float | None, low: float | None, high: float | None) -> str:
    """A value with its interval.

    >>> spanned(0.71234, 0.7, 0.72), spanned(0.5, None, None), spanned(None, None, None)
    ('0.7123 (0.7 to 0.72)', '0.5', '-')
    """
    if value is None:
        return "-"
    return f"{value:.4g}" + ("" if low is None or high is None else f" ({low:.4g} to {high:.4g})")


def folded(summary: str, inside: str) -> str:
    """What is read by whoever opens it."""
    return f"<details><summary>{escape(summary)}</summary>{inside}</details>"


def standing_of(health: Health) -> Mark:
    """The most urgent thing that is to be said of a model."""
    return standing(health.status, n_reviews=len(health.open_reviews), n_breached=health.n_breached)
