"""One line of the overview: where a model stands, and what it may want of somebody."""

from collections.abc import Sequence
from dataclasses import dataclass

from perennial import ledger
from perennial.config import ModelConfig
from perennial.contracts import Signal, SignalName, SignalStatus, Signoff, Window
from perennial.ledger import History
from perennial.ledger.decided import Decided, decided_of_models, newest_windows
from perennial.pipeline.health.grid import worst
from perennial.pipeline.health.series import Figure, figure_of, quality_metric
from perennial.pipeline.timeline import Status, status_in
from perennial.store import Store
from perennial.store.recent.signals import newest_of_models

SHOWN = 30
"""So many windows are drawn and counted."""
AGAIN = 5
"""So many decisions more are read, since a window may be decided again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """A model as the overview shows it.

    ``quality`` are its newest windows, oldest first, with their figures; ``worst`` the signal of the newest window that
    most wants to be looked at; ``open_reviews`` the signoffs that wait for a person; ``n_blind`` how many of its newest
    windows were blind.
    """

    status: Status
    metric: str
    quality: tuple[tuple[Window, Figure], ...]
    worst: Signal | None
    n_breached: int
    gain: Figure | None
    open_reviews: tuple[Signoff, ...]
    n_blind: int

    @property
    def quality_status(self) -> SignalStatus | None:
        """How the newest quality stood to its bound; None where none was measured."""
        known = [figure for _, figure in self.quality if figure.value is not None]
        return known[-1].status if known else None


def health_of(config: ModelConfig, history: History, made: Sequence[Decided], measured: Sequence[Signal]) -> Health:
    """Where a model stands whose newest windows are ``made``, oldest first, and all that was measured of them. Pure."""
    since = made[-1].window.start if made else None
    newest = [one for one in measured if since is not None and one.window.start >= since and one.status != "ok"]
    return _health(config, history, made, newest, measured)


def read_healths(configs: Sequence[ModelConfig], *, store: Store) -> dict[str, Health]:
    """Where each model stands now, by its name: four statements for all of them. Raises StoreUnavailable."""
    if not configs:
        return {}
    names = [config.model for config in configs]
    drawn = {signal for config in configs for signal in _drawn(config)}
    histories = ledger.histories(store, names)
    made = {
        model: newest_windows(found, SHOWN)
        for model, found in decided_of_models(store, names, last=SHOWN + AGAIN).items()
    }
    starts = {model: found for model, found in made.items() if found}
    last = {model: found[-1].window.start for model, found in starts.items()}
    newest = newest_of_models(store, last, without_ok=True)
    since = {model: found[0].window.start for model, found in starts.items()}
    earlier = newest_of_models(store, since, names=drawn)
    return {
        config.model: _health(
            config,
            histories[config.model],
            made[config.model],
            newest.get(config.model, ()),
            earlier.get(config.model, ()),
        )
        for config in configs
    }


def _drawn(config: ModelConfig) -> tuple[str, str]:
    """The signals of quality and of the gain."""
    return str(SignalName.performance(quality_metric(config))), str(SignalName.gain(config.gain_metric_name))


def _health(
    config: ModelConfig,
    history: History,
    made: Sequence[Decided],
    newest: Sequence[Signal],
    earlier: Sequence[Signal],
) -> Health:
    quality, gain = _drawn(config)
    gains = [figure_of(signal) for signal in earlier if signal.name == gain and signal.value is not None]
    return Health(
        status=status_in(history.state, made[-1] if made else None),
        metric=quality_metric(config),
        quality=tuple((signal.window, figure_of(signal)) for signal in earlier if signal.name == quality),
        worst=worst(newest),
        n_breached=sum(signal.status == "breached" and signal.role != "watch" for signal in newest),
        gain=gains[-1] if gains else None,
        open_reviews=tuple(one for one in history.open_reviews() if one.review == "manual"),
        n_blind=sum(one.action == "blind" for one in made),
    )
