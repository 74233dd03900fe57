"""From which score on a binary version predicts the positive class: whether it can be tuned, and figures by one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from perennial.errors import first_of

if TYPE_CHECKING:
    from perennial.config.model import ModelConfig

TUNABLE = ("accuracy", "f1")
"""What a threshold can be tuned by: precision alone would have nothing predicted, recall alone everything."""


def deciding_by(config: ModelConfig, threshold: float) -> ModelConfig:
    """The configuration by which figures are made of what a version with ``threshold`` predicts. Pure.

    >>> deciding_by(flights, 0.3).label.decision_threshold, deciding_by(flights, 0.5) is flights
    (0.3, True)
    """
    if threshold == config.label.decision_threshold:
        return config
    return config.model_copy(update={"label": config.label.model_copy(update={"decision_threshold": threshold})})


def flaws_of_threshold(config: ModelConfig) -> Iterator[str]:
    """Why ``training.tune_threshold`` can not hold. Pure."""
    if (tuned := config.training.tune_threshold) is None:
        return
    if config.task != "binary":
        yield f"training.tune_threshold: a {config.task} task decides by no threshold; leave it out"
    elif tuned not in TUNABLE:
        yield f"training.tune_threshold = {tuned}: one of {first_of(TUNABLE)}"
