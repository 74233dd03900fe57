"""MLflow: runs, model versions, aliases and tags; loading models without running their code; scoring rows.

The names of the package are imported when they are first used: the process that runs a recipe takes ``trust`` and
``scoring`` from it, and does not wait for MLflow.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from perennial.vendors import run_late

# Judges of language models, with FastAPI: two fifths of what MLflow imports, for one record of one module.
run_late("mlflow.genai", "mlflow.genai.scorers", "mlflow.genai.scorers.online", "mlflow.gateway")

if TYPE_CHECKING:
    from perennial.registry.client import Registry
    from perennial.registry.models import load_model
    from perennial.registry.reference import load_importance, load_reference
    from perennial.registry.scoring import features_frame, score
    from perennial.registry.versions import alias_version, artifact_digest, delete_alias, set_alias

_MODULES = {
    "Registry": "client",
    "alias_version": "versions",
    "artifact_digest": "versions",
    "delete_alias": "versions",
    "features_frame": "scoring",
    "load_importance": "reference",
    "load_model": "models",
    "load_reference": "reference",
    "score": "scoring",
    "set_alias": "versions",
}

__all__ = [
    "Registry",
    "alias_version",
    "artifact_digest",
    "delete_alias",
    "features_frame",
    "load_importance",
    "load_model",
    "load_reference",
    "score",
    "set_alias",
]


def __getattr__(name: str) -> Any:
    """One of the names above, from the module that holds it."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__} has no attribute {name}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
