"""Every recipe of a model, searched and fitted, each in a process of its own, and the best of them."""

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from perennial.config import ModelConfig
from perennial.contracts.measured.chosen import Chosen, Value
from perennial.errors import TrainingError
from perennial.training.drawn.learning import Point
from perennial.training.fitting.process import Fitting, Searched, run_worker
from perennial.training.fitting.recipe import FrozenRecipe
from perennial.training.fitting.worker import TRAIN_FILE
from perennial.training.search.keeping import Keeping


@dataclass(frozen=True, slots=True, kw_only=True)
class Best:
    """The recipe that did best, the ``folder`` with its model and what it printed, and what was chosen from.

    ``cpu_s`` and ``peak_mb`` are those of all fits and searches together, ``curve`` the learning curve of that recipe.
    """

    recipe: FrozenRecipe
    folder: Path
    chosen: Chosen
    cpu_s: float
    peak_mb: float
    curve: tuple[Point, ...] = ()

    @property
    def cv(self) -> dict[str, float]:
        """The cross-validation of the recipe that did best."""
        return self.chosen.tried[self.chosen.recipe]


@dataclass(frozen=True, slots=True)
class _Made:
    recipe: FrozenRecipe
    folder: Path
    fitting: Fitting
    searched: Searched | None


def fit_best(config: ModelConfig, recipes: tuple[FrozenRecipe, ...], folder: Path, *, keeping: Keeping) -> Best:
    """Search and fit ``recipes`` on ``folder/train.parquet``, one after another; the best by ``training.metric``.

    Raises TrainingError when any of them can not be fitted, or none can be judged; what :class:`Keeping` raises passes.
    """
    made = {recipe.copy.name: _made(config, recipe, folder, keeping) for recipe in recipes}
    name = best_of(config, {key: one.fitting.cv for key, one in made.items()})
    costs = [cost for one in made.values() for cost in (one.fitting, one.searched) if cost]
    chosen = Chosen(
        recipe=name,
        params=made[name].fitting.params,
        metric=config.choice_metric,
        tried={key: one.fitting.cv for key, one in made.items()},
        n_tried={key: one.searched.n_tried if one.searched else 0 for key, one in made.items()},
        threshold=made[name].fitting.threshold,
    )
    return Best(
        recipe=made[name].recipe,
        folder=made[name].folder,
        chosen=chosen,
        curve=made[name].fitting.curve,
        cpu_s=sum(cost.cpu_s for cost in costs),
        peak_mb=max(cost.peak_mb for cost in costs),
    )


def best_of(config: ModelConfig, tried: Mapping[str, Mapping[str, float]]) -> str:
    """The recipe whose cross-validation is best in the metric that chooses; of equal ones the first. Pure.

    One recipe alone is the best, whatever could be measured. Raises TrainingError when no recipe has that metric.

    >>> best_of(flights, {"a.py": {"cv_roc_auc_mean": 0.7}, "b.py": {"cv_roc_auc_mean": 0.8}, "c.py": {}})
    'b.py'
    >>> best_of(flights, {"a.py": {}})
    'a.py'
    >>> best_of(flights, {"a.py": {}, "b.py": {}})
    Traceback (most recent call last):
    perennial.errors.TrainingError: flight_delay: no fold of any recipe has a roc_auc; lengthen training.train
    """
    if len(tried) == 1:
        return next(iter(tried))
    metric = config.metric(config.choice_metric)
    found = {name: cv.get(f"cv_{metric.name}_mean", math.nan) for name, cv in tried.items()}
    known = {name: value for name, value in found.items() if math.isfinite(value)}
    if not known:
        raise TrainingError(f"{config.model}: no fold of any recipe has a {metric.name}; lengthen training.train")
    return (max if metric.more_is_better else min)(known, key=known.__getitem__)


def with_params(config: ModelConfig, params: Mapping[str, Value]) -> ModelConfig:
    """The configuration by which a recipe is built with these parameters and no others. Pure.

    >>> with_params(flights, {"max_iter": 5}).training.params
    {'max_iter': 5}
    """
    return config.model_copy(update={"training": config.training.model_copy(update={"params": dict(params)})})


def _made(config: ModelConfig, recipe: FrozenRecipe, folder: Path, keeping: Keeping) -> _Made:
    own, searched = folder / recipe.copy.stem, None
    if config.training.search:
        searched = keeping.search(config, recipe, _prepared(own / "search", folder))
        config = with_params(config, searched.params)
    return _Made(recipe, own, run_worker(config, recipe, _prepared(own, folder)), searched)


def _prepared(own: Path, folder: Path) -> Path:
    """A folder for one process, with the training rows in it."""
    own.mkdir(parents=True, exist_ok=True)
    os.link(folder / TRAIN_FILE, own / TRAIN_FILE)
    return own
