"""How an approved version and the champion are compared on labelled rows, each on requests of its own."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from perennial.config.release.shadow import shadow_metric
from perennial.config.values import PositiveDuration, Strict
from perennial.statistics.metrics import METRICS

if TYPE_CHECKING:
    from perennial.config.model import ModelConfig


class AB(Strict):
    """With ``strategy: ab``, a version that was approved answers ``share`` percent of the requests, beside as many that
    the champion answers, until the labels of ``windows`` windows are in in which it did: the horizon.

    It is promoted where the whole interval of its gain in ``release.metric`` (that of ``signoff.versus_champion``
    unless it is given) lies above ``min_gain`` and every guard of ``release.guards`` surely holds. ``test: fixed``: it
    is looked at once, at the horizon. ``sequential``: after each of the windows, by an interval that may be looked at
    so often; it ends before the horizon where that lies above ``min_gain``, or below zero. Of equal versions a share of
    1 - ``confidence`` at most is told apart by all looks together. ``effect``, in standard deviations of what blocks
    differ by, is the gain at which the sequential interval is tightest.

    Before any label is compared, the rows that each of them answered, and those of them that have labels, are held
    against ``share``, after every window: where rows of one are missing, or too many, the A/B is blind at once, and
    taken back. ``sample_ratio_alpha``: how often all these looks together may say so of arms that are as large as
    declared; null leaves it out.

    One that is surely worse, or not surely better at the horizon, is taken back. So is one that breaches a guard, at
    once, and it is barred; and, as blind, one whose horizon has not come by ``deadline``, or came without an interval.
    """

    share: Annotated[float, Field(gt=0, le=50)] = 50.0
    windows: Annotated[int, Field(ge=1)] = 4
    test: Literal["fixed", "sequential"] = "fixed"
    min_gain: Annotated[float, Field(ge=0)] = 0.0
    confidence: Annotated[float, Field(gt=0.5, lt=1)] = 0.95
    effect: Annotated[float, Field(gt=0)] = 0.5
    deadline: PositiveDuration = timedelta(days=90)
    # left out where nobody gave it, so that approvals of before keep their digest
    sample_ratio_alpha: Annotated[float, Field(gt=0, le=0.05)] | None = Field(
        default=0.001,
        exclude_if=lambda value: value == 0.001,  # noqa: PLR2004
    )


def flaws_of_ab(config: ModelConfig) -> Iterator[str]:
    """What can not hold of an A/B, each with what is allowed. Pure.

    >>> def told(**asked): return [flaw[:49] for flaw in flaws_of_ab(flights.model_copy(update={"release":
    ...     flights.release.model_copy(update={"strategy": "ab", "ab": AB(**asked)})}))]
    >>> told(), list(flaws_of_ab(flights))
    ([], [])
    >>> told(deadline=timedelta(days=20), min_gain=1.0)
    ['release.ab.deadline = 20 days, 0:00:00: the label', 'release.ab.min_gain = 1: no two values of roc_auc']
    """
    asked, every, uncertainty = config.release.ab, config.schedule.every, config.signals.uncertainty
    metric = METRICS[config.task].get(shadow_metric(config))
    if config.release.strategy != "ab" or metric is None:
        return
    if every is not None and asked.deadline <= asked.windows * every + config.label.delay:
        yield (
            f"release.ab.deadline = {asked.deadline}: the labels of {asked.windows} windows are in after "
            f"{asked.windows * every + config.label.delay}"
        )
    if asked.min_gain >= metric.values.width:
        yield f"release.ab.min_gain = {asked.min_gain:g}: no two values of {metric.name} lie further apart"
    held = None if every is None or uncertainty.block_by else asked.windows * every // uncertainty.block
    if held is not None and held < uncertainty.min_blocks:
        yield (
            f"release.ab.windows = {asked.windows}: they hold {held} blocks, and an interval needs "
            f"{uncertainty.min_blocks} (signals.uncertainty)"
        )
