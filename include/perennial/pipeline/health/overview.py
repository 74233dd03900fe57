"""One line of the overview: where a model stands, and what it may want of somebody."""

from collections.abc import Sequence
from dataclasses import dataclass

from perennial import ledger
from perennial.config import ModelConfig
from perennial.contracts import Signal, SignalName, SignalStatus, Signoff, Window
from perennial.ledger import History
from perennial.ledger.decided import Decided, actions_of_models, decided_at
from perennial.pipeline.health.grid import worst
from perennial.pipeline.health.series import Figure, figure_of, quality_metric
from perennial.pipeline.timeline import Status, status_in
from perennial.store import Store
from perennial.store.recent.signals import newest_of_models

SHOWN = 30
"""So many windows are drawn and counted."""
AGAIN = 5
"""So many decisions more are read, since a window may be decided again."""
_MARGIN = 2
"""Windows of a calendar differ in length: one may begin so many lengths of the newest before its end."""


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
    last = made[-1] if made else None
    newest = [one for one in measured if last and one.window.start >= last.window.start and one.status != "ok"]
    return _health(config, history, last, actions=[one.action for one in made], newest=newest, earlier=measured)


def read_healths(configs: Sequence[ModelConfig], *, store: Store) -> dict[str, Health]:
    """Where each model stands now, by its name: five statements for all of them. Raises StoreUnavailable."""
    if not configs:
        return {}
    names = [config.model for config in configs]
    drawn = {signal for config in configs for signal in _drawn(config)}
    histories = ledger.histories(store, names, brief=True)
    acted = {
        model: dict(list(actions.items())[-SHOWN:])
        for model, actions in actions_of_models(store, names, last=SHOWN + AGAIN).items()
    }
    last = decided_at(store, {model: max(actions) for model, actions in acted.items() if actions})
    newest = newest_of_models(store, {model: one.window.start for model, one in last.items()}, without_ok=True)
    since = {model: min(acted[model]) - _MARGIN * (one.window.end - one.window.start) for model, one in last.items()}
    earlier = newest_of_models(store, since, names=drawn)
    return {
        config.model: _health(
            config,
            histories[config.model],
            last.get(config.model),
            actions=list(acted[config.model].values()),
            newest=newest.get(config.model, ()),
            earlier=[one for one in earlier.get(config.model, ()) if one.window.end in acted[config.model]],
        )
        for config in configs
    }


def _drawn(config: ModelConfig) -> tuple[str, str]:
    """The signals of quality and of the gain."""
    return str(SignalName.performance(quality_metric(config))), str(SignalName.gain(config.gain_metric_name))


def _health(
    config: ModelConfig,
    history: History,
    last: Decided | None,
    *,
    actions: Sequence[str],
    newest: Sequence[Signal],
    earlier: Sequence[Signal],
) -> Health:
    quality, gain = _drawn(config)
    gains = [figure_of(signal) for signal in earlier if signal.name == gain and signal.value is not None]
    return Health(
        status=status_in(history, last),
        metric=quality_metric(config),
        quality=tuple((signal.window, figure_of(signal)) for signal in earlier if signal.name == quality),
        worst=worst(newest),
        n_breached=sum(signal.status == "breached" and signal.role != "watch" for signal in newest),
        gain=gains[-1] if gains else None,
        open_reviews=tuple(one for one in history.open_reviews() if one.review == "manual"),
        n_blind=actions.count("blind"),
    )
