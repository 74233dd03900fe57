"""The same choice in this process, for a trial of a policy: nothing is kept of it but what was chosen."""

from dataclasses import dataclass, replace

import pyarrow as pa

from perennial.config import ModelConfig
from perennial.evidence.answers import Answers
from perennial.training.fitting.folds import fold_answers, summed_up
from perennial.training.fitting.recipe import FrozenRecipe, build_estimator, params_of
from perennial.training.fitting.threshold import tuned_threshold
from perennial.training.search.best import best_of, with_params


@dataclass(frozen=True, slots=True)
class FitPlan:
    """What to fit: a recipe, and the configuration with the parameters that were found best for it.

    ``threshold`` is the one that its folds chose, None where ``training.tune_threshold`` asks for none.
    """

    config: ModelConfig
    recipe: FrozenRecipe
    threshold: float | None = None


def choose_here(config: ModelConfig, recipes: tuple[FrozenRecipe, ...], table: pa.Table) -> FitPlan:
    """The best recipe for ``table``, which is in the order of time, with features, ``event_time`` and ``label``.

    Where a threshold is tuned, each recipe is judged at its own, as a candidate is. Raises TrainingError; whatever a
    recipe raises passes, but for what it raises of one set of parameters.
    """
    made: dict[str, tuple[ModelConfig, FrozenRecipe]] = {}
    for recipe in recipes:
        own = config
        if config.training.search:
            from perennial.training.search.study import search

            own = with_params(config, search(config, recipe.copy, table, shown=recipe.original)[0])
        made[recipe.copy.name] = own, recipe
    tuned = bool(config.training.tune_threshold)
    if len(made) == 1 and not tuned:
        return FitPlan(*made[recipes[0].copy.name])
    folds = {name: _folds(own, recipe, table) for name, (own, recipe) in made.items()}
    thresholds = {name: tuned_threshold(config, each) if tuned else None for name, each in folds.items()}
    cvs = {
        name: summed_up(config, [replace(answers, threshold=thresholds[name]) for answers in each])
        for name, each in folds.items()
    }
    best = best_of(config, cvs)
    return FitPlan(*made[best], thresholds[best])


def _folds(config: ModelConfig, recipe: FrozenRecipe, table: pa.Table) -> list[Answers]:
    params = params_of(config, recipe.copy)

    def build() -> object:
        return build_estimator(recipe.copy, seed=config.training.seed, params=params)

    return list(fold_answers(config, build, table, config.training.cv_folds))
