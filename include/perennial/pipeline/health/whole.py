"""All that the page of one model shows, read together: no statement is asked twice, and none goes through a table."""

from dataclasses import dataclass

from perennial import ledger
from perennial.config import ModelConfig
from perennial.contracts import ReleaseState
from perennial.ledger.decided import decided, newest_windows
from perennial.pipeline.health.arrivals import Arrivals, read_arrivals
from perennial.pipeline.health.grid import Grid, grid_of, read_newest
from perennial.pipeline.health.groups import Track, tracks_of
from perennial.pipeline.health.overview import Health, health_of
from perennial.pipeline.health.series import Series, read_series
from perennial.pipeline.health.spending import Spent, spent_of
from perennial.store import Store

MOST_WINDOWS = 400


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelHealth:
    """One model: where it stands, its figures over time, its signals by window, and what else its page tells."""

    health: Health
    state: ReleaseState
    series: Series
    grid: Grid
    arrivals: tuple[Arrivals, ...]
    slices: tuple[Track, ...]
    fairness: tuple[Track, ...]
    spent: Spent


def read_model(config: ModelConfig, *, store: Store, most: int = MOST_WINDOWS) -> ModelHealth:
    """A model with its newest ``most`` windows: six statements. Raises StoreUnavailable."""
    history = ledger.histories(store, [config.model], brief=True)[config.model]
    made = newest_windows(decided(store, config.model, last=2 * most), most)
    newest = read_newest(config, made, store=store)
    return ModelHealth(
        health=health_of(config, history, made[-len(newest.windows) :], newest.measured),
        state=history.state,
        series=read_series(config, made, history, store=store),
        grid=grid_of(newest.windows, newest.measured),
        arrivals=read_arrivals(config, newest, store=store),
        slices=tracks_of("slice", newest),
        fairness=tracks_of("fairness", newest),
        spent=spent_of(config, history),
    )
