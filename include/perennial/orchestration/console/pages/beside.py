"""What the page of a model tells beside its figures over time: labels, slices, fairness, costs, and its policy."""

from collections.abc import Sequence
from datetime import timedelta
from html import escape

from perennial.config import ModelConfig
from perennial.orchestration.console.pages.parts import MARKS, dated, days, folded, spanned
from perennial.pages.chart import Curve, Datum, Panel, chart, spark
from perennial.pages.html import Cell, Link, Marked, Markup, table
from perennial.pipeline.health.arrivals import Arrivals
from perennial.pipeline.health.groups import Track
from perennial.pipeline.health.spending import Spent
from perennial.reporting.policy import policy_in_words

LOOKS_SHOWN, TRACKS_SHOWN, PANELS_SHOWN, FITS_SHOWN = 6, 40, 6, 20


def labels_in(found: Sequence[Arrivals], place: str) -> str:
    """The share of each window's labels by its age when a run counted them: the first looks, and the last."""
    if not found:
        return "<p>No labels were counted yet.</p>"
    rows: list[tuple[Cell, ...]] = []
    marks = []
    for one in reversed(found):
        looks = one.seen if len(one.seen) <= LOOKS_SHOWN else (*one.seen[: LOOKS_SHOWN - 1], one.seen[-1])
        shares = ", ".join(f"{share:.1%} after {_aged(age)}" for age, share in looks)
        mature = one.mature_after
        rows.append(
            (
                Link(days(one.window), f"{place}/windows/{one.window.key}", within=True),
                f"{one.seen[-1][1]:.1%}",
                "not yet" if mature is None else f"found after {_aged(mature)}",
                shares,
            )
        )
        marks.append("odd" if mature is None else "good")
    headings = ("window", "labels in", f"mature, at {found[-1].wanted:.0%}", "share by age of the window")
    drawn = chart(
        "Labels in, of each window",
        [
            Panel(
                title="share of labels in when a run counted last",
                curves=(Curve(name="share", points=tuple(Datum(one.window.start, one.seen[-1][1]) for one in found)),),
                bounds=(found[-1].wanted,),
            )
        ],
        [],
    )
    return drawn + table(headings, rows, marks=marks)


def tracks(found: Sequence[Track], what: str) -> str:
    """Each signal with its newest value and interval, its bound, and its windows as a small curve."""
    if not found:
        return f"<p>{escape(what)}</p>"
    shown = table(*_tracked(found[:TRACKS_SHOWN]), marks=_marks(found[:TRACKS_SHOWN]))
    rest = found[TRACKS_SHOWN:]
    more = folded(f"{len(rest)} more", table(*_tracked(rest), marks=_marks(rest))) if rest else ""
    return shown + more


def apart_over_time(found: Sequence[Track]) -> str:
    """How far groups lay apart, window by window, with interval and bound; the worst ones."""
    panels = [
        Panel(
            title=one.subject,
            curves=(
                Curve(
                    name=one.subject,
                    points=tuple(
                        Datum(window.start, figure.value, figure.low, figure.high) for window, figure in one.figures
                    ),
                ),
            ),
            bounds=() if one.newest[1].bound is None else (one.newest[1].bound,),
        )
        for one in found[:PANELS_SHOWN]
    ]
    return chart("Fairness over time", panels, [])


def costs(config: ModelConfig, found: Spent) -> str:
    """CPU seconds of each fit, what became of it, and what is left of the budget."""
    budget = config.policy.budget
    spent = "" if budget.cpu_s is None else f" of {budget.cpu_s:,.0f} allowed"
    summary = (
        f"<p>Within the newest {budget.per.days} days: {found.n_requests} of {budget.retrains} retrains requested, "
        f"{found.cpu_s:,.1f} CPU seconds of fits{spent}.</p>"
    )
    if not found.fits:
        return f"{summary}<p>No candidate was fitted yet.</p>"
    rows = [
        (
            dated(one.at),
            f"version {one.version}",
            "not kept" if one.cpu_s is None else f"{one.cpu_s:,.1f}",
            one.ended,
        )
        for one in reversed(found.fits)
    ]
    headings = ("as of", "candidate", "CPU seconds of its fits", "what became of it")
    rest = folded(f"{len(rows) - FITS_SHOWN} earlier", table(headings, rows[FITS_SHOWN:])) if rows[FITS_SHOWN:] else ""
    return summary + table(headings, rows[:FITS_SHOWN]) + rest


def policy(config: ModelConfig) -> str:
    """The policy in words."""
    return table(("about", "what holds"), policy_in_words(config)) + (
        f"<p>All of it stands in <code>{escape(config.model)}/model.yaml</code>.</p>"
    )


def _tracked(found: Sequence[Track]) -> tuple[tuple[str, ...], list[tuple[Cell, ...]]]:
    rows = [_row(one) for one in found]
    return ("what", "status", "newest", "bound", "window", "over time", "what was seen"), rows


def _row(one: Track) -> tuple[Cell, ...]:
    window, figure = one.newest
    points = [Datum(at.start, each.value, each.low, each.high) for at, each in one.figures]
    value = spanned(figure.value, figure.low, figure.high)
    return (
        one.subject,
        figure.status,
        Marked(value, MARKS[figure.status]),
        "-" if figure.bound is None else f"{figure.bound:.4g}",
        days(window),
        Markup(spark(points, f"{one.subject} of {len(points)} windows, {value} at last") or "-"),
        one.detail,
    )


def _marks(found: Sequence[Track]) -> list[str]:
    return [MARKS[one.newest[1].status] for one in found]


def _aged(age: timedelta) -> str:
    """An age as people say it.

    >>> _aged(timedelta(0)), _aged(timedelta(days=3)), _aged(timedelta(hours=30))
    ('0 days', '3 days', '1.25 days')
    """
    return f"{age / timedelta(days=1):g} days"
