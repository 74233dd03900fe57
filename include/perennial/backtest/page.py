"""A comparison as one HTML page that needs nothing else: tables, and plots as SVG."""

from html import escape
from typing import Any

from perennial.backtest.compare import Comparison
from perennial.backtest.outcome import Outcome
from perennial.backtest.policies import NEVER, UNGATED
from perennial.contracts import Estimate
from perennial.pages.html import document, svg, table

HEADINGS = (
    "policy", "quality", "pooled", "gain over never", "retrains", "promoted", "refused", "failed", "reviews",
    "rollbacks", "probes", "CPU s", "gain a retrain",
)  # fmt: skip


def row_of(outcome: Outcome) -> tuple[str, ...]:
    """A policy as it is shown, cell by cell under :data:`HEADINGS`."""
    judged = [f"{item.rightness}: {item.gone} to {item.back}, gained {short(item.gain)}" for item in outcome.rollbacks]
    per_retrain = outcome.gain_per_retrain
    name = f"{outcome.policy} (mean of {outcome.n_phases} phases)" if outcome.n_phases > 1 else outcome.policy
    return (
        name,
        short(outcome.quality),
        short(outcome.pooled),
        short(outcome.versus[NEVER]) if NEVER in outcome.versus else "-",
        *(f"{count:.3g}" for count in (outcome.fits, outcome.promotions, outcome.refusals)),
        *(f"{count:.3g}" for count in (outcome.failures, outcome.reviews)),
        f"{len(outcome.rollbacks)}" + (f" ({'; '.join(judged)})" if judged else ""),
        f"{outcome.probes:.3g}",
        f"{outcome.fit_cpu_s:.1f} + {outcome.probe_cpu_s:.1f}",
        "-" if per_retrain is None else f"{per_retrain:+.4f}",
    )


def short(found: Estimate) -> str:
    """A figure with its interval, to four decimals.

    >>> short(Estimate(value=0.65, interval=around(0.65, 0.02, 900, 14, 0.95)))
    '0.6500 (0.6068 to 0.6932)'
    >>> short(Estimate(problem="no rows"))
    'unknown'
    """
    if found.value is None:
        return "unknown"
    interval = found.interval
    return f"{found.value:.4f} " + (f"({interval.low:.4f} to {interval.high:.4f})" if interval else "(no interval)")


def page(found: Comparison) -> str:
    """The whole page."""
    change = f", change at {found.change:%Y-%m-%d}" if found.change else ""
    parts = [
        f"<h1>Backtest of {escape(found.model)}</h1>",
        f"<p>{len(found.windows)} windows; judged on {found.n_rows:,} labelled rows from "
        f"{found.judged_from:%Y-%m-%d} to {found.judged_to:%Y-%m-%d} that every policy served{change}. Quality is "
        f"{escape(found.metric)}, the mean over windows and pooled; intervals are by blocks. Retrains, fits and CPU "
        "seconds (fits + probes) are those after the first champion. People "
        f"{'approve' if found.people == 'approve' else 'never answer'}.</p>",
        table(HEADINGS, [row_of(outcome) for outcome in found.outcomes]),
        "<h2>Quality over time</h2>",
        svg(_over_time(found)),
        "<h2>Gain over each baseline</h2>",
        table(("policy", "over", "gain"), _versus(found)),
        "<h2>Proposal for this model's noise</h2>",
        table(("key", "now", "proposed", "why"), _proposals(found)),
        f"<p>Configuration {found.config_digest[:16]}, recipe {found.recipe_digest[:16]}, log "
        f"{found.log_digest[:16]}.</p>",
    ]
    return document(f"Backtest of {found.model}", parts)


def _versus(found: Comparison) -> list[tuple[str, ...]]:
    return [(outcome.policy, name, short(gain)) for outcome in found.outcomes for name, gain in outcome.versus.items()]


def _proposals(found: Comparison) -> list[tuple[str, ...]]:
    return [
        (item.key, *("-" if value is None else f"{value:g}" for value in (item.now, item.proposed)), item.why)
        for item in found.proposal
    ]


def _over_time(found: Comparison) -> Any:
    """The metric of each window under each policy; a mark at each promotion, a hollow one where it was refused."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.5), layout="constrained")
    axes: Any = figure.subplots()
    for outcome in found.outcomes:
        if outcome.policy == UNGATED:
            continue
        known = [(window.end, gain.value) for window, gain in outcome.by_window if gain.value is not None]
        times, values = [end for end, _ in known], [value for _, value in known]
        (line,) = axes.plot(times, values, label=outcome.policy, linewidth=1.4)
        if outcome.n_phases == 1 and outcome.versus:
            for at in outcome.retrained_at:
                face = line.get_color() if at in outcome.promoted_at else "none"
                near = [value for end, value in known if end >= at][:1]
                axes.plot([at] * len(near), near, "o", markersize=5, color=line.get_color(), markerfacecolor=face)
    if found.change is not None:
        axes.axvline(found.change, color="grey", linestyle=":")
    axes.set_ylabel(found.metric)
    axes.legend(fontsize=8)
    axes.grid(alpha=0.3)
    return figure
