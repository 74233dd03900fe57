"""What a version was fitted and judged on: the reference of every drift, and the importance of its features."""

import json
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import mlflow.artifacts
import pyarrow as pa
import pyarrow.parquet as pq

from perennial.registry.client import Registry, asking
from perennial.registry.versions import source_run
from perennial.storage.work import temporary_folder

REFERENCE = "reference/reference.parquet"
IMPORTANCE = "reference/importance.json"
DECLARED = b"perennial.declared"


def save_reference(registry: Registry, run_id: str, rows: pa.Table, importance: dict[str, float] | None) -> None:
    """Log the reference rows and the importance of the features (when it is known) to a run; again changes nothing."""
    with temporary_folder("reference-") as folder:
        parquet, weights = folder / "reference.parquet", folder / "importance.json"
        pq.write_table(rows, parquet, compression="zstd")
        with asking(registry, f"logging the reference of run {run_id}"):
            registry.client.log_artifact(run_id, str(parquet), "reference")
            if importance is not None:
                weights.write_text(json.dumps(importance, indent=2, allow_nan=False), encoding="utf-8")
                registry.client.log_artifact(run_id, str(weights), "reference")


def with_declared(rows: pa.Table, declared: Mapping[str, object]) -> pa.Table:
    """The rows with how their features were declared, which stays with them wherever they are written."""
    return rows.replace_schema_metadata({DECLARED: json.dumps(declared)})


def declared_in(rows: pa.Table) -> dict[str, dict[str, Any]] | None:
    """How the features of a reference were declared when its version was fitted; None for one of before that was kept.

    >>> rows = pa.table({"origin": ["JFK"]})
    >>> declared_in(rows), declared_in(with_declared(rows, {"origin": {"type": "category"}}))
    (None, {'origin': {'type': 'category'}})
    """
    found = (rows.schema.metadata or {}).get(DECLARED)
    return None if found is None else json.loads(found)


def load_reference(registry: Registry, name: str, version: str) -> pa.Table | None:
    """A bounded sample of the rows a version was fitted and judged on; None when none was logged.

    Columns: the features with their types in the store, ``prediction_id`` and ``event_time`` (timestamp[us], UTC; both
    absent from references of before they were kept), ``label``, ``score`` (of this version; null for training rows),
    ``predicted`` (text, null but for multiclass holdout rows), ``part`` (``train`` or ``holdout``).
    """
    with temporary_folder("reference-") as folder:
        path = _download(registry, name, version, REFERENCE, folder)
        return None if path is None else pq.read_table(path, memory_map=False)


def load_importance(registry: Registry, name: str, version: str) -> dict[str, float] | None:
    """Permutation importance of each feature on the holdout, not negative, summing to 1; None when none was logged."""
    with temporary_folder("reference-") as folder:
        path = _download(registry, name, version, IMPORTANCE, folder)
        if path is None:
            return None
        return {str(key): float(value) for key, value in json.loads(path.read_text(encoding="utf-8")).items()}


def _download(registry: Registry, name: str, version: str, artifact: str, folder: Path) -> Path | None:
    """The artifact of the version's run on disk; None when the run has no such artifact.

    By the place of the run's artifacts: MLflow looks up run and model anew at each step of a path below a run.
    """
    run_id = source_run(registry, name, version)
    where, _, wanted = artifact.rpartition("/")
    with asking(registry, f"downloading {artifact} of {name} version {version}"):
        place = f"{registry.client.get_run(run_id).info.artifact_uri}/{where}"
        listed = mlflow.artifacts.list_artifacts(artifact_uri=place, tracking_uri=registry.uri)
        if wanted not in {PurePosixPath(item.path).name for item in listed}:
            return None
        local = mlflow.artifacts.download_artifacts(
            artifact_uri=f"{place}/{wanted}", dst_path=str(folder), tracking_uri=registry.uri
        )
    return Path(local)
