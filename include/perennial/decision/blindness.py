"""Whether anything was measured at all in the time that labels are waited for, and what is missing since when."""

from collections.abc import Iterable
from datetime import datetime

from perennial.config import ModelConfig
from perennial.contracts import ReleaseState, Signal, SignalName, Window
from perennial.decision.wording import day, span
from perennial.errors import first_of
from perennial.evidence.maturity import COVERAGE, Coverage, maturity, read_coverage
from perennial.store import Store
from perennial.store.batches import published_windows
from perennial.store.signals import measured_since


def read_blind(config: ModelConfig, window: Window, state: ReleaseState, *, store: Store) -> str | None:
    """What a decision about ``window`` can not see, in words; None when it can, or could not be expected to yet.

    It can not when nothing is measured of the newest window that is ``label.max_wait`` old, nor of a later one. Raises
    StoreUnavailable.
    """
    since = state.champion_since if state.champion else None
    published = published_windows(
        store,
        config.model,
        ended_after=config.serves_by(since) if since else None,
        ended_by=window.end - config.label.max_wait,
    )
    waited = newest_waited_for(published, since=since, excluded=state.excluded)
    if waited is None:
        return None
    of_performance = [SignalName.performance(metric) for metric in config.signals.performance]
    signals = measured_since(
        store,
        config.model,
        version=state.champion,
        names=of_performance if state.champion else [COVERAGE],
        start=waited.start,
        by=window.end,
    )
    if tells(signals, excluded=state.excluded):
        return None
    coverage = read_coverage(config, waited, as_of=window.end, champion=state.champion, store=store)
    return why_blind(config, coverage, signals, champion=state.champion, as_of=window.end)


def newest_waited_for(
    published: Iterable[Window], *, since: datetime | None, excluded: tuple[Window, ...]
) -> Window | None:
    """The newest of the published windows that should have been measured: not begun before the champion. Pure."""
    due = [
        window
        for window in published
        if (since is None or window.start >= since) and not any(window.overlaps(stretch) for stretch in excluded)
    ]
    return max(due, key=lambda window: (window.end, window.start), default=None)


def tells(signals: Iterable[Signal], *, excluded: tuple[Window, ...]) -> bool:
    """Whether one of the signals is evidence: of performance a measured one, of the labels that they are in. Pure.

    An estimate without an interval is none: for ever without one, nothing would ever be decided.
    """
    return any(
        signal.status == "ok"
        or (signal.status == "breached" and signal.name != str(COVERAGE))
        or (signal.status == "undecided" and signal.interval is not None)
        for signal in signals
        if not any(signal.window.overlaps(stretch) for stretch in excluded)
    )


def why_blind(
    config: ModelConfig, coverage: Coverage, signals: Iterable[Signal], *, champion: str | None, as_of: datetime
) -> str:
    """What is missing since when, and what to do, given what is known of the window that was waited for. Pure."""
    of = f"{day(coverage.window.start)} to {day(coverage.window.end)}"
    unknown = [signal.detail for signal in signals if signal.status in ("unknown", "undecided")]
    if champion is not None and not coverage.n_by_champion:
        found = f"version {champion} scored none of the {coverage.n_rows} predictions of {of}"
        do = "see that the serving system runs the champion and reports its version"
    elif maturity(config, coverage, as_of) != "mature":
        found = f"{coverage.n_judged_labelled} of {coverage.n_judged} predictions of {of} have a label"
        do = "find out why labels do not come, and have them delivered"
    else:
        found = f"the labels of {of} are in and no performance is known: {first_of(unknown, most=1) or 'not measured'}"
        do = "mend what it names"
    return (
        f"blind since {day(coverage.window.start)}: nothing is measured of that window or a later one, after "
        f"{span(config.label.max_wait)} (label.max_wait): {found}; {do}, then run this window again"
    )
