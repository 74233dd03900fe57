"""The same choice in this process, for a trial of a policy: nothing is kept of it but what was chosen."""

import pyarrow as pa

from perennial.config import ModelConfig
from perennial.training.fitting.folds import cross_validate
from perennial.training.fitting.recipe import FrozenRecipe, build_estimator, params_of
from perennial.training.search.best import best_of, with_params


def choose_here(
    config: ModelConfig, recipes: tuple[FrozenRecipe, ...], table: pa.Table
) -> tuple[ModelConfig, FrozenRecipe]:
    """The best recipe for ``table``, and the configuration with the parameters that were found best for it.

    ``table`` is in the order of time, with features, ``event_time`` and ``label``. Raises TrainingError; whatever a
    recipe raises passes, but for what it raises of one set of parameters.
    """
    made: dict[str, tuple[ModelConfig, FrozenRecipe]] = {}
    for recipe in recipes:
        own = config
        if config.training.search:
            from perennial.training.search.study import search

            own = with_params(config, search(config, recipe.copy, table, shown=recipe.original)[0])
        made[recipe.copy.name] = own, recipe
    if len(made) == 1:
        return made[recipes[0].copy.name]
    return made[best_of(config, {name: _cv(own, recipe, table) for name, (own, recipe) in made.items()})]


def _cv(config: ModelConfig, recipe: FrozenRecipe, table: pa.Table) -> dict[str, float]:
    params = params_of(config, recipe.copy)

    def build() -> object:
        return build_estimator(recipe.copy, seed=config.training.seed, params=params)

    return cross_validate(config, build, table)
