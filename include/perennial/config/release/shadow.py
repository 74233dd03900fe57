"""Where a challenger's answers may lie: apart from the champion's, of which they are no evidence."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from perennial.config.inputs import FileSource

if TYPE_CHECKING:
    from perennial.config.model import ModelConfig


def flaws_of_shadow(config: ModelConfig) -> Iterator[str]:
    """What can not hold of ``sources.shadow`` and ``serving.shadow``, each with what is allowed. Pure.

    >>> list(flaws_of_shadow(flights))
    []
    >>> same = flights.sources.model_copy(update={"shadow": flights.sources.predictions})
    >>> [flaw[:46] for flaw in flaws_of_shadow(flights.model_copy(update={"sources": same}))]
    ['sources.shadow: lies where sources.predictions']
    """
    shadow = config.sources.shadow
    if shadow is None:
        if config.serving.shadow.share:
            yield "serving.shadow.share: say under sources.shadow where the answers of the challenger go"
        return
    for name in ("predictions", "labels"):
        other = config.sources.of(name)
        if _place(shadow) == _place(other):
            yield f"sources.shadow: lies where sources.{name} does: its rows would be taken for those of that log"


def _place(source: object) -> object:
    """What two sources that read the same rows have in common."""
    if isinstance(source, FileSource):
        return source.uri.removeprefix("file://").rpartition("/")[0]
    return getattr(source, "url_env", None), getattr(source, "schema_name", None), getattr(source, "table", None)
