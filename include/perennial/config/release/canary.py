"""How a version that was approved takes office by shares of the requests, and what can not hold of that."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

from pydantic import AfterValidator, Field

from perennial.config.release.ab import flaws_of_ab
from perennial.config.release.shadow import flaws_of_shadow
from perennial.config.values import PositiveDuration, Strict

if TYPE_CHECKING:
    from perennial.config.model import ModelConfig

_ALL = 100


def rising(shares: list[float]) -> list[float]:
    """The shares themselves. Raises ValueError unless each is larger than the one before, from above 0 to 100 %.

    >>> rising([5, 50, 100])
    [5, 50, 100]
    >>> rising([50, 5, 100])
    Traceback (most recent call last):
    ValueError: write shares of the requests in percent that grow and end with 100, like [1, 5, 25, 50, 100]
    """
    grows = all(before < after for before, after in zip((0, *shares), shares, strict=False))
    if not shares or not grows or shares[-1] != _ALL:
        raise ValueError("write shares of the requests in percent that grow and end with 100, like [1, 5, 25, 50, 100]")
    return shares


class Canary(Strict):
    """With ``strategy: canary``, a version that was approved answers the first of ``shares`` (in percent of the
    requests), beside as many that the champion answers as its baseline, and is promoted after the last.

    It goes on to the next share ``every`` so long after the present one began, when it answered at least ``min_rows``
    rows with it, and when every guard of ``release.guards`` surely holds. One breach takes all requests back, and bars
    the version. Where that could not be seen by ``deadline`` after its first share, it is blind, and taken back too.

    The champion answers what the canary could not within ``answer_within_s`` seconds; one that took longer answers no
    longer in that process.
    """

    shares: Annotated[list[float], AfterValidator(rising)] = [1, 5, 25, 50, 100]  # noqa: RUF012 - Pydantic copies it
    every: PositiveDuration = timedelta(minutes=10)
    min_rows: Annotated[int, Field(ge=30)] = 500
    deadline: PositiveDuration = timedelta(hours=24)
    answer_within_s: Annotated[float, Field(gt=0, le=60)] = 1.0


def flaws_of_releases(config: ModelConfig) -> Iterator[str]:
    """What can not hold of a shadow, an A/B or a canary, each with what is allowed. Pure.

    >>> list(flaws_of_releases(flights))
    []
    >>> canary = flights.release.model_copy(update={"strategy": "canary"})
    >>> columns = flights.columns.model_copy(update={"role": None})
    >>> [flaw[:59] for flaw in flaws_of_releases(flights.model_copy(update={"release": canary, "columns": columns}))]
    ['release.strategy: canary: name a column for it, columns.rol']
    """
    yield from flaws_of_shadow(config)
    yield from flaws_of_ab(config)
    asked = config.release.canary
    if config.release.by_shares and config.columns.role is None:
        yield (
            f"release.strategy: {config.release.strategy}: name a column for it, columns.role, in the prediction log: "
            "without one its rows would be taken for the champion's"
        )
    if asked.shares[0] > _ALL / 2:
        yield (
            f"release.canary.shares begin with {asked.shares[0]:g} %: at most 50, so that a baseline as large is there "
            "to compare with"
        )
    if asked.deadline <= len(asked.shares) * asked.every:
        yield (
            f"release.canary.deadline = {asked.deadline}: {len(asked.shares)} shares of {asked.every} each take longer"
        )
