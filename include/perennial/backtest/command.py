"""A backtest from start to end: what the command line, the DAG and the simulations under ``docs/`` call."""

import json
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from perennial.backtest.compare import Comparison, compare
from perennial.backtest.page import HEADINGS, page, row_of
from perennial.backtest.policies import overlaid
from perennial.config import ModelConfig
from perennial.contracts import to_record
from perennial.errors import ConfigError
from perennial.store import Store
from perennial.training.fitting.recipe import freeze_recipes
from perennial.trial.fits import Fits
from perennial.trial.log import Log, windows_of
from perennial.trial.releasing import People
from perennial.trial.running import Progress
from perennial.trial.source import log_of_file, log_of_store

__all__ = ["HEADINGS", "page", "read_log", "row_of", "run", "write"]


def read_log(config: ModelConfig, *, history: Path | None, until: datetime | None, store: Store | None) -> Log:
    """The log in a file, or what the store has published up to a moment. Raises ConfigError, StoreUnavailable."""
    if history is not None:
        return log_of_file(config, history)
    if store is None:
        raise ConfigError(f"{config.model}: give a history file, or a store that holds one")
    return log_of_store(config, until=until, store=store)


def run(
    config: ModelConfig,
    log: Log,
    overlays: Sequence[Path],
    *,
    folder: Path,
    scratch: Path,
    kept: Path,
    since: datetime | None = None,
    until: datetime | None = None,
    people: People = "approve",
    change: datetime | None = None,
    progress: Progress,
) -> Comparison:
    """Compare the model's policy, its overlays and the baselines on a log.

    ``folder`` holds the recipe, which is copied to ``scratch`` and fitted from there; fits are kept in ``kept``. Raises
    ConfigError.
    """
    windows = windows_of(config, log, since=since, until=until)
    if not windows:
        raise ConfigError(f"{config.model}: no whole window of its schedule holds a row of the history")
    policies = [overlaid(config, path) for path in overlays]
    names = sorted(
        {name for tried in (config, *(policy.config for policy in policies)) for name in tried.training.recipes}
    )
    fits = Fits(log=log, recipes=freeze_recipes(folder, scratch, names), folder=kept)
    return compare(config, log, windows, policies, fits=fits, people=people, change=change, progress=progress)


def write(found: Comparison, place: Path) -> None:
    """``backtest.json`` and the page ``backtest.html``, into the folder ``place``."""
    place.mkdir(parents=True, exist_ok=True)
    (place / "backtest.json").write_text(json.dumps(to_record(found), indent=2) + "\n", encoding="utf-8")
    (place / "backtest.html").write_text(page(found), encoding="utf-8")
