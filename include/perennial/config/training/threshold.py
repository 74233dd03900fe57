"""A configuration that decides as one version does."""

from __future__ import annotations

from typing import TYPE_CHECKING

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
