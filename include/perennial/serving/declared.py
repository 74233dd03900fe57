"""Which models the local stack serves."""

from perennial.config import load_model, read_models
from perennial.errors import ConfigError
from perennial.serving.spool.places import landings
from perennial.settings import Settings


def served_models(settings: Settings) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The models that are served, and why others that ask for it are not.

    Those that PERENNIAL_SERVE names, else those whose ``model.yaml`` has a section ``serving``. Raises ConfigError for
    one that is named and whose logs the service can not write.
    """
    named = settings.models_to_serve
    if named is not None:
        for name in named:
            landings(load_model(settings.models_dir / name), settings.home)
        return named, ()
    served, problems = [], []
    try:
        configs, _ = read_models(settings.models_dir)
    except ConfigError as error:
        return (), (str(error),)
    for config in configs:
        if "serving" not in config.model_fields_set:
            continue
        try:
            landings(config, settings.home)
            served.append(config.model)
        except ConfigError as error:
            problems.append(str(error))
    return tuple(served), tuple(problems)
