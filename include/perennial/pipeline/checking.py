"""Whether everything that is declared can be meant: before the first run, and in continuous integration."""

from pathlib import Path

from perennial.config import ModelConfig, load_models
from perennial.errors import ConfigError, PerennialError


def check_models(models_dir: Path) -> tuple[ModelConfig, ...]:
    """Every model, its ``model.yaml`` read and its recipe built. Raises ConfigError, TrainingError naming the file."""
    from perennial.training.recipe import RECIPE, blame, build_estimator

    configs = load_models(models_dir)
    if not configs:
        raise ConfigError(f"{models_dir}: no model folder with a model.yaml")
    for config in configs:
        recipe = models_dir / config.model / RECIPE
        try:
            build_estimator(recipe, seed=config.training.seed, params=config.training.params)
        except PerennialError:
            raise
        except Exception as error:  # a recipe is anyone's code
            hint = "; build takes seed and all of training.params" if isinstance(error, TypeError) else ""
            raise ConfigError(f"{blame(recipe, error)}{hint}") from error
    return configs
