"""MLflow: runs, model versions, aliases and tags; loading models without running their code; scoring rows."""

from perennial.registry.client import Registry
from perennial.registry.models import load_model
from perennial.registry.reference import load_importance, load_reference
from perennial.registry.scoring import features_frame, score
from perennial.registry.versions import alias_version, artifact_digest, delete_alias, set_alias

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
