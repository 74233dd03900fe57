"""One line of the overview: where a model stands, and what it may want of somebody."""

from dataclasses import dataclass

from perennial import ledger
from perennial.config import ModelConfig
from perennial.contracts import Signal, SignalName, SignalStatus, Signoff, Window
from perennial.ledger.decided import decided, newest_windows
from perennial.pipeline.health.grid import worst
from perennial.pipeline.health.series import Figure, figure_of, quality_metric
from perennial.pipeline.timeline import Status, status_in
from perennial.store import Store
from perennial.store.signals import newest_since

SHOWN = 30
"""So many windows are drawn and counted."""


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


def read_health(config: ModelConfig, *, store: Store) -> Health:
    """Where a model stands now. Raises StoreUnavailable."""
    history = ledger.read(store, config.model)
    made = newest_windows(decided(store, config.model, last=2 * SHOWN), SHOWN)
    metric, gain = quality_metric(config), str(SignalName.gain(config.gain_metric_name))
    drawn = str(SignalName.performance(metric))
    newest: tuple[Signal, ...] = ()
    earlier: tuple[Signal, ...] = ()
    if made:
        newest = newest_since(store, config.model, start=made[-1].window.start)
        earlier = newest_since(store, config.model, start=made[0].window.start, names={drawn, gain})
    gains = [figure_of(signal) for signal in earlier if signal.name == gain and signal.value is not None]
    return Health(
        status=status_in(history.state, made[-1] if made else None),
        metric=metric,
        quality=tuple((signal.window, figure_of(signal)) for signal in earlier if signal.name == drawn),
        worst=worst(newest),
        n_breached=sum(signal.status == "breached" and signal.role != "watch" for signal in newest),
        gain=gains[-1] if gains else None,
        open_reviews=tuple(one for one in history.open_reviews() if one.review == "manual"),
        n_blind=sum(one.action == "blind" for one in made),
    )
