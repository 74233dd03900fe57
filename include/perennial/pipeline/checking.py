"""Whether everything that is declared can be meant: before the first run, and in continuous integration."""

from collections.abc import Iterator
from pathlib import Path

from perennial.config import ModelConfig, read_models
from perennial.errors import ConfigError


def check_models(models_dir: Path) -> tuple[ModelConfig, ...]:
    """Every model: its ``model.yaml`` read, its expectations and its recipe built.

    Raises ConfigError with what is wrong with any of them, all at once, each naming its file.
    """
    configs, problems = read_models(models_dir)
    found = [*problems, *(problem for config in configs for problem in problems_of(models_dir, config))]
    if found:
        raise ConfigError("\n".join(found))
    if not configs:
        raise ConfigError(f"{models_dir}: no model folder with a model.yaml")
    return configs


def problems_of(models_dir: Path, config: ModelConfig) -> Iterator[str]:
    """What only trying can tell: whether Great Expectations knows the expectations, and the recipes build."""
    from perennial.training.fitting.trying import recipe_problems
    from perennial.validation.expectations import rules

    try:
        rules(config, "predictions")
        rules(config, "labels")
    except ConfigError as error:
        yield f"{models_dir / config.model / 'model.yaml'}: {error}"
    yield from recipe_problems(config, models_dir / config.model)
