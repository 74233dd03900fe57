"""The gates of a candidate, and their bounds."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from perennial.config.values import Strict

GUARD = {"log_loss": 0.02}
"""What guards the calibration of a binary task where ``model.yaml`` says nothing: at most so much worse."""


class MetricGate(Strict):
    """Absolute bounds on the holdout; at least one. With ``of: interval`` the whole interval has to keep them."""

    min: float | None = None
    max: float | None = None
    of: Literal["estimate", "interval"] = "estimate"

    @model_validator(mode="after")
    def _bounded(self) -> Self:
        if self.min is None and self.max is None:
            raise ValueError("give min or max")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min {self.min} is above max {self.max}: nothing could pass")
        return self


class RelativeGate(Strict):
    """The candidate against the champion (or the constant predictor) on the same rows, in the unit of ``metric``.

    ``rule: gain`` asks for ``min_gain``, and that the lower bound of the gain lies above zero; ``superiority`` that the
    lower bound lies above ``min_gain``; ``non_inferiority`` that it lies above minus ``margin``, for refreshes by age.
    Bounds are one-sided at ``confidence``, by the blocks of ``signals.uncertainty``; the second candidate against one
    champion is allowed a quarter of the error of the first, the third a ninth, and so on. ``no_worse`` names further
    metrics and how much worse the candidate may be in them; unless it is given, a binary task guards its calibration by
    ``log_loss: 0.02``. ``{}`` guards nothing.
    """

    metric: str
    min_gain: float
    rule: Literal["gain", "superiority", "non_inferiority"] = "gain"
    margin: Annotated[float, Field(gt=0)] | None = None
    confidence: Annotated[float, Field(gt=0.5, lt=1)] = 0.95
    no_worse: dict[str, Annotated[float, Field(ge=0)]] | None = None

    @model_validator(mode="after")
    def _with_margin(self) -> Self:
        if (self.rule == "non_inferiority") != (self.margin is not None):
            raise ValueError("margin belongs to rule: non_inferiority, which needs it")
        return self
