"""Who answers a request: the champion, or a canary for which the champion stands in."""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from perennial.config import ModelConfig
from perennial.contracts.tags import CANARY, CHAMPION
from perennial.errors import redacted
from perennial.guards.figures import baseline_of
from perennial.serving.arms.canary import CanaryArm
from perennial.serving.following.follower import Current
from perennial.serving.lines import Asked
from perennial.serving.predictors.predictor import Words

_LOGGER = logging.getLogger(__name__)
INLINE_ROWS = 64
"""More rows than this are scored in a thread, so that other requests need not wait for them."""


@dataclass(frozen=True, slots=True)
class ArmAnswer:
    """The scores and classes of a request; ``log`` says who gave them, in which arm, and ``left`` which version could
    not. ``counted_as`` is the arm among the figures: a baseline is that of one canary."""

    scores: Sequence[float]
    words: Words
    log: Asked
    left: str | None = None
    counted_as: str = CHAMPION


async def answered(
    config: ModelConfig, champion: Current, log: Asked, key: str | None, canary: CanaryArm | None
) -> ArmAnswer:
    """What the arm of ``key`` says to the rows of ``log``, which names the champion. Raises what the champion raises.

    Without a key, the id of the first row says whose request it is.
    """
    if canary is None:
        return ArmAnswer(*await _asked(config, champion, log.values), log)
    found = await _by_arm(config, champion, log, key, canary)
    canary.metrics.arms.labels(found.log.arm, found.log.version).inc(len(found.scores))
    return found


async def _by_arm(config: ModelConfig, champion: Current, log: Asked, key: str | None, canary: CanaryArm) -> ArmAnswer:
    arm, current = canary.route(key or log.ids[0], champion)
    if arm == "champion":
        return ArmAnswer(*await _asked(config, champion, log.values), log)
    of_canary = replace(log, version=current.loaded.version, arm=arm)
    try:
        scores, words = await canary.answers(arm, partial(_scored, config, current, log.values))
        counted_as = CANARY if arm == CANARY else baseline_of(canary.named)
        return ArmAnswer(scores, words, of_canary, counted_as=counted_as)
    except Exception as error:  # a canary may raise anything, and its caller never hears of it
        if arm != CANARY:
            raise
        _LOGGER.warning("version %s, the canary, could not answer: %s", of_canary.version, redacted(repr(error))[:300])
        canary.left(of_canary.version, "hung" if isinstance(error, TimeoutError) else "failed")
        return ArmAnswer(*await _asked(config, champion, log.values), log, left=of_canary.version)


async def _asked(config: ModelConfig, current: Current, values: list[tuple[Any, ...]]) -> tuple[Sequence[float], Words]:
    if len(values) <= INLINE_ROWS:
        return _scored(config, current, values)
    return await asyncio.to_thread(_scored, config, current, values)


def _scored(config: ModelConfig, current: Current, values: list[tuple[Any, ...]]) -> tuple[Sequence[float], Words]:
    built = current.loaded.built
    scores, predicted = built.predictor(list(zip(*values, strict=True)))
    return scores, built.words(config, scores, predicted)
