"""Whether the recipes of a model can be built as ``model.yaml`` says: tried before the first fit."""

from collections.abc import Iterator
from pathlib import Path

from perennial.config import ModelConfig
from perennial.errors import PerennialError, first_of
from perennial.training.fitting.recipe import blame, build_estimator, params_of, takes
from perennial.training.fitting.weights import refused


def recipe_problems(config: ModelConfig, folder: Path) -> Iterator[str]:
    """What is wrong with the recipes in a model's folder, built with the first of every list and range searched."""
    taken: set[str] = set()
    for name in config.training.recipes:
        yield from _problems(config, folder / name, taken)
    named = {*config.training.params, *_firsts(config)}
    if len(config.training.recipes) > 1 and (idle := sorted(named - taken)):
        yield f"{folder / 'model.yaml'}: training: no recipe takes {first_of(idle)}"


def _firsts(config: ModelConfig) -> dict[str, str | int | float | bool]:
    space = config.training.search.space if config.training.search else {}
    return {name: over[0] if isinstance(over, list) else over.low for name, over in space.items()}


def _problems(config: ModelConfig, recipe: Path, taken: set[str]) -> Iterator[str]:
    """Those of one recipe, of several or alone; what it takes is added to ``taken``."""
    training, first = config.training, _firsts(config)
    try:
        params = params_of(config, recipe)
        if len(training.recipes) > 1:
            first = {name: first[name] for name in takes(recipe, first)}
            taken.update(params, first)
        estimator = build_estimator(recipe, seed=training.seed, params={**params, **first})
        if why := refused(config, estimator):
            yield f"{recipe}: {why}"
    except PerennialError as error:
        yield str(error)
    except Exception as error:  # a recipe is anyone's code
        hint = "; build takes seed and all of training.params and training.search.space"
        yield f"{blame(recipe, error)}{hint if isinstance(error, TypeError) else ''}"
