"""What a decision rests on: the batches of its window, the signals measured so far, the rows a retrain would use."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from perennial import ledger
from perennial.config import ModelConfig
from perennial.contracts import ReleaseState, Signal, Window
from perennial.decision.blindness import read_blind
from perennial.decision.prospects import Refusal, outcome_in_words, read_refusal
from perennial.decision.sequence import last_windows
from perennial.decision.wording import day
from perennial.evidence.maturity import read_waiting
from perennial.evidence.stretches import TrainingRows, training_rows
from perennial.ledger import History
from perennial.store import Store, batches, signals
from perennial.store.batches import BatchAccount


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """Everything that :func:`perennial.decision.policy.decide` looks at.

    ``batch_ids`` are the newest batches of the window; ``halted`` says why nothing can be decided on them, ``blind``
    what is not measured for longer than labels are waited for. ``signals`` are those of the present champion's version,
    of the last windows, each as it was measured last. ``seen`` are the windows that anything was delivered for, oldest
    first, ``waiting`` those that wait for labels. ``rows`` counts the labelled rows that a retrain as of now would use.
    ``newest_decided`` is the end of the latest window that was decided about, ``refused`` what became of the last
    candidate, where it was not promoted, and ``refusal`` the candidate that a new one beside this champion could be.
    """

    window: Window
    state: ReleaseState
    champion_alias: str | None
    batch_ids: tuple[str, ...] = ()
    halted: str | None = None
    blind: str | None = None
    signals: tuple[Signal, ...] = ()
    seen: tuple[Window, ...] = ()
    waiting: tuple[Window, ...] = ()
    rows: TrainingRows = field(default_factory=TrainingRows)
    newest_decided: datetime | None = None
    refused: str | None = None
    refusal: Refusal | None = None

    @property
    def newest(self) -> tuple[Signal, ...]:
        """Every signal as it stands in its own newest window, sorted by name.

        >>> from perennial.contracts import SignalName, Subject
        >>> made = [Subject.of_run("m", day(n), "3").above(SignalName("labels"), "watch", n, 0.5) for n in (1, 0)]
        >>> facts = Facts(window=day(1), state=ReleaseState(model="m"), champion_alias=None, signals=tuple(made))
        >>> [signal.value for signal in facts.newest]
        [1.0]
        """
        found = {signal.name: signal for signal in sorted(self.signals, key=lambda signal: signal.window.start)}
        return tuple(found[name] for name in sorted(found))

    @property
    def measured(self) -> tuple[Signal, ...]:
        """What the run of this window measured itself, of whatever window, sorted by name.

        >>> from perennial.contracts import SignalName, Subject
        >>> made = [Subject.of_run("m", day(n), "3").above(SignalName("labels"), "watch", n, 0.5) for n in (1, 0)]
        >>> facts = Facts(window=day(1), state=ReleaseState(model="m"), champion_alias=None, signals=tuple(made))
        >>> [signal.value for signal in facts.measured]
        [1.0]
        """
        mine = (signal for signal in self.signals if signal.as_of == self.window.end)
        return tuple(sorted(mine, key=lambda signal: (signal.name, signal.window.start)))


def gather(
    config: ModelConfig, window: Window, *, store: Store, state: ReleaseState, champion_alias: str | None
) -> Facts:
    """The facts about one window, as far as they were known at its end. Raises StoreUnavailable."""
    newest, history = batches.newest(store, config.model, window), ledger.read(store, config.model)
    n_published = batches.n_published(store, config.model, window)
    seen = batches.delivered_windows(store, config.model, ended_by=window.end) if config.schedule.cron else ()
    waiting = read_waiting(config, window.end, store=store)
    counted = last_windows(
        window,
        config.policy.breaches.n,
        every=config.schedule.every,
        seen=seen,
        waiting=waiting,
        excluded=state.excluded,
    )
    oldest = min((place.start for place in counted), default=window.start)
    return Facts(
        window=window,
        state=state,
        champion_alias=champion_alias,
        batch_ids=tuple(batch.batch_id for batch in newest),
        halted=why_halted(window, newest, n_published),
        blind=read_blind(config, window, state, store=store),
        signals=_signals(config, window, state.champion, oldest, store),
        seen=seen,
        waiting=waiting,
        rows=training_rows(config, window.end, state, store=store),
        newest_decided=ledger.newest_decided(store, config.model),
        refused=last_refusal(history),
        refusal=read_refusal(config, history, window.end, store=store),
    )


def last_refusal(history: History) -> str | None:
    """What a reader of the next decision has to know of the last candidate: why it was not promoted. Pure.

    Two people may have promoted it all the same, past its gates.

    >>> last_refusal(History("m", (entry("retrain_outcome", ended="refused"),)))
    'the candidate before, as of 2013-01-02: refused: a reason'
    >>> last_refusal(History("m", (entry("retrain_outcome", ended="promoted"),))), last_refusal(History("m", ()))
    (None, None)
    """
    last = history.last("retrain_outcome")
    if last is None or last.payload.get("ended") not in ("refused", "rejected") or history.released_after(last):
        return None
    return f"the candidate before, as of {day(last.at)}: {outcome_in_words(last)}"


def why_halted(window: Window, newest: tuple[BatchAccount, ...], n_published: int) -> str | None:
    """Why nothing can be decided on the newest batches of a window; None when it can. Pure.

    >>> why_halted(day(0), (), 0)[:27], why_halted(day(0), (), 8)
    ('no predictions are publishe', None)
    """
    problems = [problem for batch in newest if (problem := _problem(batch))]
    if not problems and n_published == 0:
        problems = [f"no predictions are published for {window.key}: deliver them, and run this window again"]
    return "; ".join(problems) or None


def _problem(batch: BatchAccount) -> str | None:
    if batch.status == "halted":
        return f"the {batch.source} of {batch.n_staged} rows were not published: {batch.reason}"
    if batch.status == "staged":
        return f"the {batch.source} are staged but neither audited nor published: run this window again"
    return None


def _signals(
    config: ModelConfig, window: Window, champion: str | None, oldest: datetime, store: Store
) -> tuple[Signal, ...]:
    """Signals of the champion in the windows that count, and in those that this run may have measured last."""
    if champion is None:
        return ()
    measured_now = window.end - config.label.max_wait - 2 * (window.end - window.start)
    after = min(oldest - timedelta.resolution, measured_now)
    return signals.of_windows_after(store, config.model, version=champion, window=window, after=after)
