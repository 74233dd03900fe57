"""What was kept back, why, with examples, and the command that tries it once more."""

from collections.abc import Sequence
from html import escape

from perennial.config import ModelConfig
from perennial.contracts import Window
from perennial.orchestration.console.pages.parts import days, trail, whole
from perennial.pages.html import Link, table
from perennial.pipeline.health.window import BatchQuarantine, QuarantinedWindow


def quarantine_page(config: ModelConfig, found: Sequence[QuarantinedWindow], *, root: str) -> str:
    """Every window with something in quarantine, the newest first."""
    place = f"models/{config.model}/quarantine"
    rows = [
        (
            Link(days(one.window), f"{root}/{place}/{one.window.key}", within=True),
            "halted" if one.halted else "published",
            f"{one.n_quarantined:,}",
            f"{one.n_arrived:,}",
        )
        for one in found
    ]
    marks = ["bad" if one.halted else "" for one in found]
    body = table(("window", "delivery", "in quarantine", "delivered"), rows, marks=marks)
    parts = [f"<h1>{escape(config.model)}: quarantine</h1>", body if rows else "<p>Nothing is in quarantine.</p>"]
    steps = trail(root, (config.model, f"models/{config.model}"), ("quarantine", place))
    return whole(f"{config.model}: quarantine", parts, trail=steps)


def window_quarantine_page(config: ModelConfig, window: Window, found: Sequence[BatchQuarantine], *, root: str) -> str:
    """The causes of one window with their examples."""
    place = f"models/{config.model}/quarantine"
    steps = trail(
        root, (config.model, f"models/{config.model}"), ("quarantine", place), (days(window), f"{place}/{window.key}")
    )
    parts = [
        f"<h1>{escape(config.model)}: quarantine of {days(window)}</h1>",
        *(_batch(one) for one in found),
        "" if found else "<p>Nothing is in quarantine.</p>",
        "<h2>Try once more</h2><p>After the rule or the delivery is mended:</p><pre>"
        f"perennial reprocess {escape(config.model)} --from {window.start:%Y-%m-%dT%H:%M:%SZ} --to "
        f"{window.end:%Y-%m-%dT%H:%M:%SZ}</pre>",
    ]
    return whole(f"{config.model}: quarantine", parts, trail=steps)


def _batch(one: BatchQuarantine) -> str:
    causes = [(cause.cause, f"{cause.n_rows:,}") for cause in one.causes.first]
    rows = [
        (cause.cause, f"{row.row_number:,}", row.reason, row.raw)
        for cause in one.causes.first
        for row in cause.examples
    ]
    more = f"<p>And {one.causes.n_more} more causes.</p>" if one.causes.n_more else ""
    halted = f'<p class="bad">Halted: {escape(one.reason)}</p>' if one.status == "halted" else ""
    return (
        f"<h2>{escape(one.source)}: {one.n_quarantined:,} rows, batch {escape(one.status)}</h2>{halted}"
        + table(("cause", "rows"), causes)
        + more
        + table(("cause", "row", "why", "as it came"), rows, caption="Examples, cut after 200 characters")
    )
