"""The end of a bake: the probation of a new champion, judged on what its windows show together."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from perennial import ledger
from perennial.config import ModelConfig
from perennial.contracts import BakeState, Estimate, LedgerEntry, ReleaseState, Signal, SignalName, Window, digest_of
from perennial.ledger import History
from perennial.statistics.comparing.windows import over_windows
from perennial.statistics.metrics import Metric
from perennial.store import Store
from perennial.store.locks import RELEASE, model_lock
from perennial.store.signals import measured_since

WindowOutcome = Literal["passed", "failed", "unknown"]


@dataclass(frozen=True, slots=True, kw_only=True)
class BakeWindow:
    """What became of one window of a bake, and the figures it rests on."""

    window: Window
    outcome: WindowOutcome
    detail: str
    figures: tuple[Signal, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Together:
    """A figure of a bake over ``n_windows`` of its windows together; ``found`` has no value where none of them has an
    interval, and each keeps the bound by itself.
    """

    name: SignalName
    found: Estimate
    bound: float
    is_least: bool
    n_windows: int

    @property
    def standing(self) -> WindowOutcome:
        """Failed where the interval lies beyond the bound, passed where the figure itself keeps it; else unknown.

        >>> def deficit(value): return Together(name=SignalName.bake_vs_stable("roc_auc"), bound=0.02, is_least=False,
        ...     found=Estimate(value=value, interval=around(value, 0.01, 900, 14, 0.95)), n_windows=2)
        >>> [deficit(value).standing for value in (0.0, 0.02, 0.03, 0.05)]
        ['passed', 'passed', 'unknown', 'failed']
        """
        if self.found.value is None:
            return "passed"
        if self.found.standing(self.bound, is_least=self.is_least) == "breached":
            return "failed"
        keeps = self.found.value >= self.bound if self.is_least else self.found.value <= self.bound
        return "passed" if keeps else "unknown"

    def __str__(self) -> str:
        """In words.

        >>> print(Together(name=SignalName.bake("roc_auc"), bound=0.55, is_least=True,
        ...     found=Estimate(value=0.7, interval=around(0.7, 0.01, 900, 14, 0.95)), n_windows=2))
        bake/roc_auc 0.7 (0.6784 to 0.7216) against 0.55 over 2 windows together
        """
        figure = f"{self.name} {self.found}" if self.found.value is not None else f"{self.name}"
        return f"{figure} against {self.bound:.4g} over {self.n_windows} windows together"


def window_outcome(figures: Mapping[str, Signal], required: Iterable[SignalName], metric: Metric) -> WindowOutcome:
    """Failed when anything measured is breached; passed when all that is required keeps its bound; else unknown.

    A figure that is ``undecided`` keeps its bound when it was estimated with an interval and lies on the good side
    itself: the rows spoke for it, if not beyond doubt. One on the other side, or without an interval, prolongs the
    bake.

    >>> own, paired = SignalName.bake("roc_auc"), SignalName.bake_vs_stable("roc_auc")
    >>> def auc(value, error): return subject.estimated(own, "alert", Estimate(value=value, interval=around(value,
    ...     error, 900, 14, 0.95)), threshold=0.55, is_least=True)
    >>> def outcome(signal): return window_outcome({str(own): signal}, [own], flights.metric("roc_auc"))
    >>> outcome(auc(0.7, 0.05)), outcome(auc(0.6, 0.05)), outcome(auc(0.5, 0.05)), outcome(auc(0.3, 0.05))
    ('passed', 'passed', 'unknown', 'failed')
    >>> from dataclasses import replace
    >>> outcome(replace(auc(0.6, 0.05), interval=None))
    'unknown'
    >>> window_outcome({str(own): auc(0.7, 0.05)}, [own, paired], flights.metric("roc_auc"))
    'unknown'
    """
    if any(signal.status == "breached" for signal in figures.values()):
        return "failed"
    return "passed" if all(_keeps_bound(figures.get(str(name)), metric) for name in required) else "unknown"


def _keeps_bound(signal: Signal | None, metric: Metric) -> bool:
    if signal is None or signal.value is None or signal.threshold is None:
        return False
    if signal.status == "undecided" and signal.interval is not None:
        is_deficit = signal.name == str(SignalName.bake_vs_stable(metric.name))
        loss = signal.value - signal.threshold if is_deficit else metric.loss(signal.value, signal.threshold)
        return loss <= 0
    return signal.status == "ok"


def together(config: ModelConfig, windows: Sequence[BakeWindow], required: Iterable[SignalName]) -> list[Together]:
    """What is required, over all these windows. Pure."""
    metric, found = config.metric(config.bake.metric), []
    for name in required:
        held = [signal for window in windows for signal in window.figures if signal.name == str(name)]
        known = [Estimate(value=one.value, interval=one.interval) for one in held if one.interval is not None]
        is_own = name == SignalName.bake(metric.name)
        found.append(
            Together(
                name=name,
                found=over_windows(known) if known else Estimate(problem="no window has an interval"),
                bound=config.bake.bound if is_own else config.bake.max_deficit,
                is_least=is_own and metric.more_is_better,
                n_windows=len(windows),
            )
        )
    return found


def bake_outcome(
    config: ModelConfig, found: Iterable[BakeWindow], required: Sequence[SignalName]
) -> tuple[BakeState, list[Together]]:
    """The end of a bake, reached at the first window that decides it, and what decided; oldest first. Pure.

    A window that fails by itself counts as a failure. The others that show all that is ``required`` are judged
    together, from ``bake.windows`` of them on: where that is breached it is one more failure. More than
    ``bake.allowed_failures`` fail the bake; it passes where all figures together keep their bounds. Windows that show
    nothing prolong it.
    """
    n_failed, counted, figures = 0, list[BakeWindow](), list[Together]()
    for window in found:
        if window.outcome == "failed":
            n_failed += 1
        elif _shows(window, required):
            counted.append(window)
            figures = together(config, counted, required) if len(counted) >= config.bake.windows else []
        standing = {figure.standing for figure in figures}
        if n_failed + ("failed" in standing) > config.bake.allowed_failures:
            return "failed", figures
        if standing == {"passed"}:
            return "passed", figures
    return "running", figures


def _shows(window: BakeWindow, required: Iterable[SignalName]) -> bool:
    """Whether all that is required was measured with an interval, or keeps its bound without one."""
    shown = {signal.name for signal in window.figures if signal.interval is not None or signal.status == "ok"}
    return shown.issuperset(map(str, required))


def settle(config: ModelConfig, *, store: Store, at: datetime) -> BakeState:
    """Whether the champion's bake passed, failed or goes on, on the signals measured by ``at``; an end is recorded.

    A bake that passed makes the champion the stable version, in the ledger; the alias follows from there. A failed one
    is only recorded: what follows is decided by the policy. Windows without evidence prolong a bake, for neither trust
    nor a rollback may rest on missing labels. Past its deadline it is ``blind``, which is no end and not recorded:
    labels that come after all still settle it. A champion that was baked before answers ``none``, or its outcome where
    that was reached at this very ``at``. Raises LockTimeout, StoreUnavailable.
    """
    with model_lock(store, config.model, RELEASE):
        history = ledger.read(store, config.model)
        state = history.state
        if state.bake_failed:
            return "failed"
        if not state.in_bake or state.champion is None or state.champion_since is None:
            return _reached_at(history, at)
        outcome, end = bake_so_far(config, state, _measured(config, state, at=at, store=store), at=at)
        if end is not None:
            ledger.append(store, end)
    return outcome


def bake_so_far(
    config: ModelConfig, state: ReleaseState, measured: Iterable[Signal], *, at: datetime
) -> tuple[BakeState, LedgerEntry | None]:
    """How far the running bake of the champion is on what was measured of it, and its entry where it ended. Pure."""
    found = bake_windows(config, state, measured)
    outcome, figures = bake_outcome(config, found, _required(config, state))
    if outcome in ("passed", "failed"):
        return outcome, _entry(config, state, outcome, found, figures=figures, at=at)
    overdue = state.champion_since is not None and at >= config.bake_ends_by(state.champion_since)
    return ("blind" if overdue else outcome), None


def _measured(config: ModelConfig, state: ReleaseState, *, at: datetime, store: Store) -> tuple[Signal, ...]:
    names = [SignalName.bake(config.bake.metric), SignalName.bake_vs_stable(config.bake.metric)]
    return measured_since(
        store, config.model, version=str(state.champion), names=names, start=state.champion_since or at, by=at
    )


def bake_windows(config: ModelConfig, state: ReleaseState, measured: Iterable[Signal]) -> tuple[BakeWindow, ...]:
    """The windows of the present bake so far, oldest first, from its signals as measured last. Pure.

    >>> found = subject.known(SignalName.bake("roc_auc"), "alert", 0.5, threshold=0.55, breached=True)
    >>> [window.outcome for window in bake_windows(flights, ReleaseState(model="flight_delay", champion="3"), [found])]
    ['failed']
    """
    metric, required = config.bake.metric, _required(config, state)
    windows: dict[Window, dict[str, Signal]] = {}
    details: dict[Window, list[str]] = {}
    for signal in measured:
        windows.setdefault(signal.window, {})[signal.name] = signal
        interval = f" ({signal.interval})" if signal.interval else ""
        figure = "unknown" if signal.value is None else f"{signal.value:.4g}{interval} against {signal.threshold:.4g}"
        details.setdefault(signal.window, []).append(f"{signal.name} {figure} {signal.detail}".rstrip())
    return apart(
        BakeWindow(
            window=window,
            outcome=window_outcome(figures, required, config.metric(metric)),
            detail="; ".join(details[window]),
            figures=tuple(figures.values()),
        )
        for window, figures in windows.items()
    )


def _required(config: ModelConfig, state: ReleaseState) -> list[SignalName]:
    """What has to be measured of a window: the own figure, and that beside the stable version where there is one."""
    metric = config.bake.metric
    return [SignalName.bake(metric), *([SignalName.bake_vs_stable(metric)] if state.fallback else [])]


def apart(found: Iterable[BakeWindow]) -> tuple[BakeWindow, ...]:
    """Windows that share no moment, oldest first: a run by hand over other bounds brings no second evidence.

    Of windows that overlap a failed one is kept before any other, then one that passed, then the older one. Pure.

    >>> both = Window(start=day(0).start, end=day(1).end)
    >>> found = {day(0): "passed", both: "failed"}
    >>> windows = [BakeWindow(window=window, outcome=outcome, detail="") for window, outcome in found.items()]
    >>> [window.outcome for window in apart(windows)]
    ['failed']
    """
    ranks: dict[WindowOutcome, int] = {"failed": 0, "passed": 1, "unknown": 2}
    kept: list[Window] = []
    by_window = {item.window: item for item in found}
    for window in sorted(by_window, key=lambda window: (ranks[by_window[window].outcome], window.start, window.end)):
        if not any(window.overlaps(other) for other in kept):
            kept.append(window)
    return tuple(by_window[window] for window in sorted(kept, key=lambda window: window.start))


def _entry(
    config: ModelConfig,
    state: ReleaseState,
    outcome: BakeState,
    windows: tuple[BakeWindow, ...],
    *,
    figures: Sequence[Together],
    at: datetime,
) -> LedgerEntry:
    """The end of this promotion's bake. A champion has one bake per day it took office, and so one such entry. Pure."""
    n_seen = Counter(window.outcome for window in windows)
    since = state.champion_since.isoformat() if state.champion_since else None
    return LedgerEntry(
        entry_id=digest_of("bake", config.model, state.champion, since),
        model=config.model,
        kind="bake",
        at=at,
        actor="policy",
        reason=(
            f"bake {outcome}: {'; '.join([*map(str, figures), ''])}{n_seen['failed']} windows failed by themselves "
            f"({config.bake.allowed_failures} allowed)"
        ),
        version=state.champion,
        payload={
            "outcome": outcome,
            "windows": [
                {"window": window.window.key, "verdict": window.outcome, "detail": window.detail} for window in windows
            ],
        },
    )


def _reached_at(history: History, at: datetime) -> BakeState:
    """The outcome of a bake that an earlier try of the same run recorded; ``none`` otherwise. Pure."""
    last = history.last("promotion", "rollback", "bake")
    if last is None or last.kind != "bake" or last.at != at:
        return "none"
    return "passed" if last.payload["outcome"] == "passed" else "failed"
