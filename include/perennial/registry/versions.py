"""Model versions: registered once, named by aliases, described by tags, known by the digest of their files."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import mlflow.artifacts
from mlflow.exceptions import MlflowException

from perennial.contracts.tags import named_now
from perennial.errors import IntegrityError, PermanentError, RegistryUnavailable
from perennial.registry.client import Registry, asking
from perennial.storage.work import temporary_folder

_GONE = "RESOURCE_DOES_NOT_EXIST"
_DATABASE_REFUSED = "BAD_REQUEST"
_ABSENT = frozenset({_GONE, "INVALID_PARAMETER_VALUE"})
_FIRST_SET_ATTEMPTS = 3
_CHUNK_BYTES = 1 << 20


def ensure_model(registry: Registry, name: str, *, description: str = "") -> None:
    """The registered model ``name`` exists afterwards, whoever made it. Raises RegistryUnavailable."""
    with asking(registry, f"making the registered model {name}"):
        try:
            registry.client.create_registered_model(name, description=description)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise


def get_version(registry: Registry, name: str, version: str) -> Any:
    """MLflow's record of one version. Raises PermanentError when there is none."""
    with asking(registry, f"reading {name} version {version}"), _of_a_model(registry, name):
        return registry.client.get_model_version(name, version)


def find_version_tags(registry: Registry, name: str, version: str) -> dict[str, str] | None:
    """All tags of a version, or None when it is not there. Raises RegistryUnavailable, RegistryRefused."""
    with asking(registry, f"looking for {name} version {version}"):
        try:
            return named_now(registry.client.get_model_version(name, version).tags)
        except MlflowException as error:
            if error.error_code == _GONE or _is_of_no_model(registry, name, error):
                return None
            raise


def version_exists(registry: Registry, name: str, version: str) -> bool:
    """Whether a version is there; one that was deleted is gone for good. Raises as :func:`find_version_tags`."""
    return find_version_tags(registry, name, version) is not None


def _is_of_no_model(registry: Registry, name: str, error: MlflowException) -> bool:
    """Whether a 403 about a version or an alias says that there is no model of that name.

    With a login, MLflow answers so for a model that is not there as for one that is forbidden; asked for the model
    itself, it tells them apart.
    """
    if error.error_code != "PERMISSION_DENIED":
        return False
    try:
        registry.client.get_registered_model(name)
    except MlflowException as asked:
        return bool(asked.error_code == _GONE)
    return False


@contextmanager
def _of_a_model(registry: Registry, name: str) -> Iterator[None]:
    """Raises PermanentError where what was asked of a model was refused since there is none of that name."""
    try:
        yield
    except MlflowException as error:
        if _is_of_no_model(registry, name, error):
            raise PermanentError(f"MLflow at {registry.shown} has no model {name}") from error
        raise


def find_version(registry: Registry, name: str, run_id: str) -> str | None:
    """The newest version that was registered from an MLflow run, or None."""
    with asking(registry, f"looking for the version of {name} that run {run_id} made"):
        found = registry.client.search_model_versions(f"name = '{name}' AND run_id = '{run_id}'", max_results=100)
    return max((str(item.version) for item in found), key=int, default=None)


def register_version(
    registry: Registry, name: str, *, model_uri: str, run_id: str, tags: dict[str, str], description: str = ""
) -> str:
    """A new version of ``name`` over the files at ``model_uri`` (``models:/m-...``), or the one that this run made."""
    if known := find_version(registry, name, run_id):
        return known
    ensure_model(registry, name)
    with asking(registry, f"registering a version of {name} from run {run_id}"):
        made = registry.client.create_model_version(
            name,
            source=model_uri,
            run_id=run_id,
            tags=tags,
            description=description,
            model_id=model_uri.removeprefix("models:/"),
            await_creation_for=0,  # a version is ready at once: nothing copies files
        )
    return str(made.version)


def alias_version(registry: Registry, name: str, alias: str) -> str | None:
    """The version that ``alias`` names; None when the alias, or the model, is not there."""
    with asking(registry, f"reading alias {alias} of {name}"):
        try:
            return str(registry.client.get_model_version_by_alias(name, alias).version)
        except MlflowException as error:
            if error.error_code in _ABSENT or _is_of_no_model(registry, name, error):
                return None
            raise


def aliases_of(registry: Registry, name: str) -> dict[str, str]:
    """The version that each alias names; empty when the model is not there."""
    with asking(registry, f"reading the aliases of {name}"):
        try:
            found = registry.client.get_registered_model(name).aliases
        except MlflowException as error:
            if error.error_code in _ABSENT or _is_of_no_model(registry, name, error):
                return {}
            raise
        return {alias: str(version) for alias, version in found.items()}


def set_alias(registry: Registry, name: str, alias: str, version: str) -> None:
    """Let ``alias`` name ``version``.

    Two processes that set an alias for the very first time may meet a unique violation in MLflow, which has no
    compare-and-set: a server error is tried again at once, a few times, before it counts as RegistryUnavailable.
    """
    for attempt in range(1, _FIRST_SET_ATTEMPTS + 1):
        try:
            with asking(registry, f"setting alias {alias} of {name} to version {version}"):
                registry.client.set_registered_model_alias(name, alias, version)
            return
        except RegistryUnavailable:
            if attempt == _FIRST_SET_ATTEMPTS:
                raise


def delete_alias(registry: Registry, name: str, alias: str) -> None:
    """Take ``alias`` away; one that is gone already is fine."""
    with asking(registry, f"deleting alias {alias} of {name}"):
        try:
            registry.client.delete_registered_model_alias(name, alias)
        except MlflowException as error:
            if error.error_code not in _ABSENT and not _is_of_no_model(registry, name, error):
                raise


def version_tags(registry: Registry, name: str, version: str) -> dict[str, str]:
    """All tags of a version, under the names of today."""
    return named_now(get_version(registry, name, version).tags)


def set_version_tags(registry: Registry, name: str, version: str, tags: dict[str, str]) -> None:
    """Set tags of a version; others stay. Two processes that set one for the very first time meet as two aliases do."""
    with asking(registry, f"tagging {name} version {version}"):
        for key, value in tags.items():
            _set_tag(registry, name, version, key, value)


def _set_tag(registry: Registry, name: str, version: str, key: str, value: str) -> None:
    for attempt in range(1, _FIRST_SET_ATTEMPTS + 1):
        try:
            registry.client.set_model_version_tag(name, version, key, value)
            return
        except MlflowException as error:
            if error.error_code != _DATABASE_REFUSED or attempt == _FIRST_SET_ATTEMPTS:
                raise


def describe_version(registry: Registry, name: str, version: str, description: str) -> None:
    """Replace the description (Markdown) of a version."""
    with asking(registry, f"describing {name} version {version}"):
        registry.client.update_model_version(name, version, description=description)


@contextmanager
def downloaded_version(registry: Registry, name: str, version: str) -> Iterator[Path]:
    """The files of a version in a temporary folder that is gone afterwards."""
    with temporary_folder("model-") as folder:
        with asking(registry, f"downloading {name} version {version}"), _of_a_model(registry, name):
            uri = registry.client.get_model_version_download_uri(name, version)
            local = mlflow.artifacts.download_artifacts(
                artifact_uri=uri, dst_path=str(folder), tracking_uri=registry.uri
            )
        yield Path(local)


def folder_digest(folder: Path) -> str:
    """SHA-256 over the sorted relative paths and the bytes of all files below ``folder``, as 64 hex digits.

    Each path and each file is preceded by its length, so that no two different folders give the same bytes.
    """
    digest = hashlib.sha256()
    for path in sorted((path for path in folder.rglob("*") if path.is_file()), key=lambda path: path.as_posix()):
        relative = path.relative_to(folder).as_posix().encode()
        digest.update(len(relative).to_bytes(8, "big") + relative + path.stat().st_size.to_bytes(8, "big"))
        with path.open("rb") as source:
            while chunk := source.read(_CHUNK_BYTES):
                digest.update(chunk)
    return digest.hexdigest()


def artifact_digest(registry: Registry, name: str, version: str) -> str:
    """The digest of the files of a version as the registry holds them now: see :func:`folder_digest`."""
    with downloaded_version(registry, name, version) as folder:
        return folder_digest(folder)


def verify_digest(folder: Path, expected: str, *, name: str, version: str) -> None:
    """Raises IntegrityError when the files below ``folder`` are not those with the digest ``expected``."""
    found = folder_digest(folder)
    if found != expected:
        raise IntegrityError(
            f"{name} version {version}: its files have the digest {found[:16]}..., not {expected[:16]}...; they were "
            "changed after the version was registered. Find out by whom, and register the candidate anew"
        )


def source_run(registry: Registry, name: str, version: str) -> str:
    """The MLflow run that made a version. Raises PermanentError when the version names none."""
    run_id = get_version(registry, name, version).run_id
    if not run_id:
        raise PermanentError(
            f"{name} version {version} was not made by a run of ours: it has no reference to compare with"
        )
    return str(run_id)
