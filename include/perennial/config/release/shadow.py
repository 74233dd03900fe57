"""What a challenger answers in the shadow, and where that may lie: apart, as no evidence about the champion."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from perennial.config.inputs import FileSource
from perennial.config.values import Share, Strict
from perennial.statistics.metrics import METRICS

if TYPE_CHECKING:
    from perennial.config.model import ModelConfig


class ShadowScoring(Strict):
    """The share of the rows answered by the champion that the challenger answers as well, afterwards and for nobody.

    Which rows those are is said by a hash of their prediction id. At most ``max_waiting`` rows wait for it; what comes
    when so many do is not scored, and counted.
    """

    share: Share = 0.0
    max_waiting: Annotated[int, Field(ge=1, le=1_000_000)] = 10_000


def shadow_metric(config: ModelConfig) -> str:
    """The metric in which a challenger is compared with the champion.

    >>> shadow_metric(flights)
    'roc_auc'
    """
    return config.release.metric or config.signoff.versus_champion.metric


def flaws_of_shadow(config: ModelConfig) -> Iterator[str]:
    """What can not hold of ``sources.shadow`` and ``serving.shadow``, each with what is allowed. Pure.

    >>> list(flaws_of_shadow(flights))
    []
    >>> same = flights.sources.model_copy(update={"shadow": flights.sources.predictions})
    >>> [flaw[:46] for flaw in flaws_of_shadow(flights.model_copy(update={"sources": same}))]
    ['sources.shadow: lies where sources.predictions']
    """
    shadow = config.sources.shadow
    if config.release.metric is not None and config.release.metric not in METRICS[config.task]:
        yield f"release.metric = {config.release.metric}: no metric of a {config.task} task"
    if shadow is None:
        if config.serving.shadow.share:
            yield "serving.shadow.share: say under sources.shadow where the answers of the challenger go"
        if config.release.strategy == "shadow":
            yield "release.strategy: shadow: say under sources.shadow where the answers of the challenger lie"
        return
    if config.release.strategy == "shadow" and config.signoff.review.deadline <= config.label.delay:
        yield (
            f"release.strategy: shadow: a label is due label.delay, {config.label.delay}, after its answer, and "
            f"signoff.review.deadline is {config.signoff.review.deadline}: nothing could be compared by then"
        )
    if isinstance(shadow, FileSource) and (shadow.done_marker or shadow.manifest):
        yield "sources.shadow: no done_marker and no manifest: without a challenger nobody writes them"
    for name in ("predictions", "labels"):
        other = config.sources.of(name)
        if _place(shadow) == _place(other):
            yield f"sources.shadow: lies where sources.{name} does: its rows would be taken for those of that log"


def _place(source: object) -> object:
    """What two sources that read the same rows have in common."""
    if isinstance(source, FileSource):
        return source.uri.removeprefix("file://").rpartition("/")[0]
    return getattr(source, "url_env", None), getattr(source, "schema_name", None), getattr(source, "table", None)
