"""The models that DAG files make DAGs for: the good ones get theirs, the broken ones an import error of their own."""

from airflow.sdk import get_parsing_context

from perennial.config import ModelConfig, load_model, load_models
from perennial.errors import ConfigError
from perennial.settings import load_settings


def declared_models() -> tuple[ModelConfig, ...]:
    """The models to make DAGs of: all sound ones, or in a task, which needs one DAG, only its own.

    Raises ConfigError when there is no folder of models.
    """
    wanted = get_parsing_context().dag_id
    if wanted is None:
        return sound_models()
    return (load_model(load_settings().models_dir / wanted.rpartition("__")[0]),)


def sound_models() -> tuple[ModelConfig, ...]:
    """Every model whose ``model.yaml`` is right, sorted by name.

    A wrong one is left out, so that it does not take the others with it: ``dags/broken_models.py`` reports it. Raises
    ConfigError when there is no folder of models.
    """
    models_dir = load_settings().models_dir
    if not models_dir.is_dir():
        raise ConfigError(f"{models_dir}: no such folder; set PERENNIAL_MODELS_DIR or create it")
    found = []
    for folder in sorted(path.parent for path in models_dir.glob("*/model.yaml")):
        try:
            found.append(load_model(folder))
        except ConfigError:
            continue
    return tuple(found)


def require_all_models() -> None:
    """Raise ConfigError with file, key and value of everything that is wrong in any ``model.yaml``."""
    load_models(load_settings().models_dir)
