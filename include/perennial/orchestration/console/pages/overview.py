"""All models in one table, the most urgent first."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from html import escape

from perennial.config import ModelConfig
from perennial.orchestration.console.pages.parts import MARKS, dated, days, spanned, standing_of, whole
from perennial.pages.chart import Datum, spark
from perennial.pages.html import Cell, Link, Marked, Markup, table
from perennial.pipeline.health.overview import Health

HEADINGS = (
    "model", "where it stands", "quality", "worst signal", "gain of a retrain", "open", "champion", "last window",
    "next run", "its last decision", "owner",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class NextRun:
    """When Airflow makes the next run of a model's monitor DAG; None where it is paused or has no schedule."""

    at: datetime | None
    paused: bool

    def __str__(self) -> str:
        """As people read it.

        >>> print(NextRun(at=None, paused=True))
        paused
        """
        return "paused" if self.paused else "by hand" if self.at is None else f"{self.at:%Y-%m-%d %H:%M} UTC"


def overview(found: Iterable[tuple[ModelConfig, Health, NextRun | None]], *, root: str) -> str:
    """Every model in one row, the most urgent first. ``root`` is where the console lies, without a slash at its end."""
    ordered = sorted(found, key=lambda one: (standing_of(one[1]).urgency, -one[1].n_breached, one[0].model))
    standings = [standing_of(health) for _, health, _ in ordered]
    rows = [
        (
            Link(config.model, f"{root}/models/{config.model}", within=True),
            said.words,
            _quality(health),
            _worst(health, root),
            _gain(health),
            _open(health, root),
            f"{health.status.champion or '-'}, since {dated(health.status.champion_since)}"
            + (", in its bake" if health.status.in_bake else ""),
            days(health.status.last_window),
            "-" if run is None else str(run),
            "; ".join(health.status.last_reasons) or "-",
            config.owner,
        )
        for (config, health, run), said in zip(ordered, standings, strict=True)
    ]
    body = (
        table(HEADINGS, rows, marks=[said.mark for said in standings]) if rows else "<p>You may see no model here.</p>"
    )
    return whole("Models", ["<h1>Models</h1>", body])


def _quality(health: Health) -> Cell:
    known = [figure for _, figure in health.quality if figure.value is not None]
    if not known:
        return "not measured yet"
    points = [Datum(window.start, figure.value, figure.low, figure.high) for window, figure in health.quality]
    last = spanned(known[-1].value, known[-1].low, known[-1].high)
    drawn = spark(points, f"{health.metric} of {len(known)} windows, {last} at last")
    return Markup(f'{drawn} <span class="{MARKS[known[-1].status]}">{last}</span>')


def _worst(health: Health, root: str) -> Cell:
    signal = health.worst
    if signal is None:
        return "-" if health.status.last_window is None else Marked("none", "good")
    more = f" and {health.n_breached - 1} more" if health.n_breached > 1 else ""
    place = f"{root}/models/{signal.model}/windows/{signal.window.key}"
    return Marked(f"{signal.name} {signal.status}{more}", MARKS[signal.status], place)


def _gain(health: Health) -> Cell:
    gain = health.gain
    if gain is None:
        return "-"
    wanted = "" if gain.bound is None else f", price {gain.bound:.4g}"
    return f"{spanned(gain.value, gain.low, gain.high)}{wanted}"


def _open(health: Health, root: str) -> Cell:
    """What waits for somebody, or for its end: reviews, holds, a release by shares, and the windows that were blind."""
    model = health.status.model
    found = [
        f'<a href="{root}/models/{model}/reviews/{one.signoff_id}">review of version {escape(one.version)}</a>'
        for one in health.open_reviews
    ]
    if holds := len(health.status.open_holds):
        found.append(f'<a href="{root}/models/{model}#holds">{holds} hold{"s" * (holds > 1)}</a>')
    if health.status.shared:
        found.append(escape(health.status.shared))
    if health.n_blind:
        found.append(f"{health.n_blind} blind window{'s' * (health.n_blind > 1)}")
    return Markup("<br>".join(found) or "-")
