"""Make a fitted model a version in the registry, with the digest that every later step holds it to."""

from perennial.config import ModelConfig
from perennial.contracts import Candidate, FittedRun, Snapshot
from perennial.contracts.tags import DIGEST_TAG
from perennial.errors import IntegrityError
from perennial.registry.client import Registry
from perennial.registry.versions import artifact_digest, register_version, set_version_tags, version_tags
from perennial.store import Store
from perennial.store.locks import REGISTER, model_lock


def register(
    config: ModelConfig, fitted: FittedRun, snapshot: Snapshot, *, store: Store, registry: Registry
) -> Candidate:
    """The version that this fit is registered as: made once, however often it is asked for. No alias is moved.

    Raises IntegrityError when the files of the version were changed since it was registered, RegistryUnavailable.
    """
    with model_lock(store, config.model, REGISTER):  # MLflow makes as many versions of a run as it is asked for
        version = register_version(
            registry,
            config.model,
            model_uri=fitted.model_uri,
            run_id=fitted.mlflow_run_id,
            tags={},  # snapshot and configuration are tags of its run; here a reviewer has to find the tag signoff
            description=f"Fitted on {snapshot.n_train} rows of {snapshot.train.key}; not signed off yet.",
        )
    digest = artifact_digest(registry, config.model, version)
    known = version_tags(registry, config.model, version).get(DIGEST_TAG)
    if known not in (None, digest):
        raise IntegrityError(
            f"{config.model} version {version}: its files have the digest {digest[:16]}..., registered with "
            f"{known[:16]}...; they were changed. Request a new retrain"
        )
    set_version_tags(registry, config.model, version, {DIGEST_TAG: digest})
    return Candidate(
        model=config.model,
        version=version,
        mlflow_run_id=fitted.mlflow_run_id,
        artifact_digest=digest,
        snapshot_id=snapshot.snapshot_id,
    )
