"""What the champion was fitted and judged on, or the reason why it can not be had."""

import pyarrow as pa

from perennial.contracts import Signal, SignalName, Subject
from perennial.errors import PermanentError
from perennial.registry import Registry, load_importance, load_reference


def fetch_reference(registry: Registry, model: str, version: str) -> tuple[pa.Table | None, str]:
    """The reference rows of a version and "", or None and why they are gone.

    The rows have the columns of :func:`perennial.registry.reference.load_reference`.

    A version, run or file that was deleted or is not readable is gone: trying again can not help, and no comparison
    may pass for want of one. Raises RegistryUnavailable.
    """
    gone = f"the reference of version {version} is gone from the registry"
    try:
        rows = load_reference(registry, model, version)
    except (PermanentError, pa.ArrowException) as error:
        return None, f"{gone}: {error}"
    return rows, "" if rows is not None else gone


def fetch_importance(registry: Registry, model: str, version: str) -> dict[str, float] | None:
    """The importance of the features of a version; None when it is gone or not readable. Raises RegistryUnavailable."""
    try:
        return load_importance(registry, model, version)
    except (PermanentError, ValueError):
        return None


def without_champion(subject: Subject) -> Signal:
    """The one signal of a model that has no champion, and so nothing to be compared with. Pure.

    >>> without_champion(subject).status
    'unknown'
    """
    why = "no champion yet: there is nothing to compare this window with"
    return subject.unknown(SignalName("reference"), "alert", why)
