"""Models in MLflow: logged as skops files, and loaded from them without running code of their author.

MLflow's flavours are imported where a model is logged or its signature read: whoever loads one does without.
"""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mlflow.artifacts

from perennial.registry.client import Registry, asking
from perennial.registry.trust import MODEL_FILE, TRUSTED_TYPES, read_model
from perennial.registry.versions import downloaded_version, verify_digest
from perennial.storage.work import temporary_folder

if TYPE_CHECKING:
    import pandas as pd
    from mlflow.models import ModelSignature


def load_model(
    registry: Registry, name: str, version: str, *, trusted_types: Iterable[str], expected_digest: str | None = None
) -> Any:
    """The fitted estimator of a version, from its skops file.

    The digest is verified before anything is read, when one is given. The list of trusted types is ours and
    ``trusted_types`` of the configuration; the one inside the artifact is not asked. Raises IntegrityError for other
    files than expected, for types that are not trusted, and for a version without a skops file; RegistryUnavailable.
    """
    with downloaded_version(registry, name, version) as folder:
        if expected_digest is not None:
            verify_digest(folder, expected_digest, name=name, version=version)
        return read_model(folder / MODEL_FILE, trusted_types=trusted_types, what=f"{name} version {version}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspected:
    """A version as it was loaded: its estimator, the size of its files in bytes, and MLflow's signature, or None."""

    model: Any
    n_bytes: int
    signature: ModelSignature | None


def inspect_model(
    registry: Registry, name: str, version: str, *, trusted_types: Iterable[str], expected_digest: str
) -> Inspected:
    """The same as :func:`load_model`, with what the files say beside the estimator. Raises as it does."""
    from mlflow.models import Model

    with downloaded_version(registry, name, version) as folder:
        verify_digest(folder, expected_digest, name=name, version=version)
        model = read_model(folder / MODEL_FILE, trusted_types=trusted_types, what=f"{name} version {version}")
        described = Model.load(str(folder)) if (folder / "MLmodel").is_file() else None
        return Inspected(
            model=model,
            n_bytes=sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()),
            signature=None if described is None else described.signature,
        )


def log_model(
    registry: Registry,
    run_id: str,
    model: Any,
    *,
    name: str,
    signature: ModelSignature,
    example: pd.DataFrame,
    requirements: list[str],
    trusted_types: Iterable[str],
    predict_with: str,
) -> str:
    """Log a fitted estimator to a run as skops, and return its URI, ``models:/m-...``.

    ``predict_with`` is the method that answers in MLflow's generic flavour. This is what ``mlflow.sklearn.log_model``
    does, without its global state (the tracking URI, the active run), so that two threads may do it at once.
    """
    _import_generic_flavour()
    import mlflow.sklearn
    from mlflow.entities import LoggedModelOutput
    from mlflow.models import Model

    with asking(registry, f"logging the model {name} of run {run_id}"), temporary_folder("model-") as folder:
        client = registry.client
        run = client.get_run(run_id)
        logged = client.create_logged_model(run.info.experiment_id, name=name, source_run_id=run_id)
        mlflow.sklearn.save_model(
            model,
            f"{folder}/model",
            mlflow_model=Model(run_id=run_id, model_id=logged.model_id),
            serialization_format="skops",
            skops_trusted_types=[*TRUSTED_TYPES, *trusted_types],
            signature=signature,
            input_example=example,
            pip_requirements=requirements,
            pyfunc_predict_fn=predict_with,
        )
        client.log_model_artifacts(logged.model_id, f"{folder}/model")
        client.finalize_logged_model(logged.model_id, "READY")
        client.log_outputs(run_id, [LoggedModelOutput(logged.model_id, 0)])
    return f"models:/{logged.model_id}"


def _import_generic_flavour() -> None:
    """MLflow warns about type hints of its own while its ``pyfunc`` is imported, which saving a model does."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        importlib.import_module("mlflow.pyfunc")


def load_logged_model(registry: Registry, model_uri: str, *, trusted_types: Iterable[str]) -> Any:
    """The fitted estimator behind ``models:/m-...``, which need not be registered. Raises as :func:`load_model`."""
    with temporary_folder("model-") as folder:
        with asking(registry, f"downloading {model_uri}"):
            # by its place: MLflow resolves a models: URI at its global tracking server
            place = registry.client.get_logged_model(model_uri.removeprefix("models:/")).artifact_location
            local = mlflow.artifacts.download_artifacts(
                artifact_uri=place, dst_path=str(folder), tracking_uri=registry.uri
            )
        return read_model(Path(local) / MODEL_FILE, trusted_types=trusted_types, what=model_uri)
