"""What a decision rests on: the batches of its window, the signals measured so far, the rows a retrain would use."""

import math
from dataclasses import dataclass, field

from perennial.config import ModelConfig
from perennial.contracts import ReleaseState, Signal, Window
from perennial.decision.blindness import read_blind
from perennial.evidence.stretches import TrainingRows, training_rows
from perennial.store import Store, batches, signals
from perennial.store.batches import BatchAccount


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """Everything that :func:`perennial.decision.policy.decide` looks at.

    ``batch_ids`` are the newest batches of the window; ``halted`` says why nothing can be decided on them, ``blind``
    what is not measured for longer than labels are waited for. ``signals`` are those of the present champion's version,
    of the last windows seen, each as it was measured last. ``rows`` counts the labelled rows that a retrain as of now
    would use.
    """

    window: Window
    state: ReleaseState
    champion_alias: str | None
    batch_ids: tuple[str, ...] = ()
    halted: str | None = None
    blind: str | None = None
    signals: tuple[Signal, ...] = ()
    rows: TrainingRows = field(default_factory=TrainingRows)

    @property
    def newest(self) -> tuple[Signal, ...]:
        """Every signal as it stands in its own newest window, sorted by name."""
        found = {signal.name: signal for signal in sorted(self.signals, key=lambda signal: signal.window.start)}
        return tuple(found[name] for name in sorted(found))

    @property
    def measured(self) -> tuple[Signal, ...]:
        """What the run of this window measured itself, of whatever window, sorted by name."""
        mine = (signal for signal in self.signals if signal.as_of == self.window.end)
        return tuple(sorted(mine, key=lambda signal: (signal.name, signal.window.start)))


def gather(
    config: ModelConfig, window: Window, *, store: Store, state: ReleaseState, champion_alias: str | None
) -> Facts:
    """The facts about one window, as far as they were known at its end. Raises StoreUnavailable."""
    newest = batches.newest(store, config.model, window)
    n_published = batches.n_published(store, config.model, window)
    return Facts(
        window=window,
        state=state,
        champion_alias=champion_alias,
        batch_ids=tuple(batch.batch_id for batch in newest),
        halted=why_halted(window, newest, n_published),
        blind=read_blind(config, window, state, store=store),
        signals=_signals(config, window, state.champion, store),
        rows=training_rows(config, window, state, store=store),
    )


def why_halted(window: Window, newest: tuple[BatchAccount, ...], n_published: int) -> str | None:
    """Why nothing can be decided on the newest batches of a window; None when it can. Pure."""
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


def _signals(config: ModelConfig, window: Window, champion: str | None, store: Store) -> tuple[Signal, ...]:
    """Signals of the champion in so many windows that the last ``n`` of one that waits for labels are among them."""
    if champion is None:
        return ()
    lag = math.ceil(config.label.max_wait / (window.end - window.start))
    n_windows = config.policy.breaches.n + lag
    return signals.of_last_windows(store, config.model, version=champion, window=window, n_windows=n_windows)
