"""What is checked, decided and asked for; what is measured has a folder of its own, ``signals``."""

from datetime import timedelta
from typing import Annotated, Any, Literal, Self

from pydantic import (
    Field,
    model_validator,
)

from perennial.config.values import Duration, Moment, PositiveDuration, Share, Strict


class ExtraExpectation(Strict):
    """Any Great Expectations expectation by its class name, with its keyword arguments."""

    type: Annotated[str, Field(pattern=r"^Expect[A-Z]\w+$")]
    level: Literal["row", "batch"]
    kwargs: dict[str, Any] = Field(default={})


class Validation(Strict):
    """When a batch is too broken to publish."""

    max_share_bad: Share
    min_rows: Annotated[int, Field(ge=1)]
    max_rows: Annotated[int, Field(ge=1)] | None = None
    extra_columns: Literal["allow", "halt"] = "allow"
    keep_staging: PositiveDuration = timedelta(days=30)
    expectations: list[ExtraExpectation] = Field(default=[])

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.max_rows is not None and self.min_rows > self.max_rows:
            raise ValueError(f"min_rows {self.min_rows} is above max_rows {self.max_rows}: every batch would be halted")
        return self


class Breaches(Strict):
    """At least ``k`` of the last ``n`` scheduled windows, and the newest measured one of them.

    With ``sticky`` a breach lasts until the figure is surely back: a window whose interval spans the bound counts as
    the window before it (hysteresis). Without it such a window is no breach.

    A window that was halted, not measured or served by another version takes its place and counts for neither; one that
    waits for its labels has none yet; one in an excluded stretch drops out.
    """

    k: Annotated[int, Field(ge=1)]
    n: Annotated[int, Field(ge=1)]
    sticky: bool = False

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.k > self.n:
            raise ValueError(f"k {self.k} of n {self.n} can never happen")
        return self


class Budget(Strict):
    """At most ``retrains`` requests, and ``cpu_s`` CPU seconds of fits where that is given, within ``per``."""

    retrains: Annotated[int, Field(ge=1)]
    cpu_s: Annotated[float, Field(gt=0)] | None = None
    per: PositiveDuration


class QuietPeriod(Strict):
    """A stretch of event time in which the policy asks for no retrain; rollbacks and people act as ever."""

    start: Moment
    end: Moment
    reason: Annotated[str, Field(min_length=1)]

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.start >= self.end:
            raise ValueError("a quiet period ends after its start")
        return self


class Policy(Strict):
    """When to retrain. All times are event time."""

    breaches: Breaches
    cooldown: Duration
    min_new_labels: Annotated[int, Field(ge=1)]
    max_age: PositiveDuration
    budget: Budget
    quiet: list[QuietPeriod] = Field(default=[])


class Training(Strict):
    """What a candidate is fitted and judged on: ``train`` right before ``holdout``, both before the request.

    A retrain request without an outcome is taken for one that nobody runs, and started by the maintenance,
    ``dispatch_after`` and ``timeout`` after it was written, by the clock.
    """

    train: PositiveDuration
    holdout: PositiveDuration
    min_train_rows: Annotated[int, Field(ge=10)]
    cv_folds: Annotated[int, Field(ge=2, le=20)]
    seed: int
    timeout: PositiveDuration
    dispatch_after: Duration = timedelta(minutes=30)
    params: dict[str, str | int | float | bool] = Field(default={})
    trusted_types: list[str] = Field(default=[])


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
    metrics and how much worse the candidate may be in them.
    """

    metric: str
    min_gain: float
    rule: Literal["gain", "superiority", "non_inferiority"] = "gain"
    margin: Annotated[float, Field(gt=0)] | None = None
    confidence: Annotated[float, Field(gt=0.5, lt=1)] = 0.95
    no_worse: dict[str, Annotated[float, Field(ge=0)]] = Field(default={})

    @model_validator(mode="after")
    def _with_margin(self) -> Self:
        if (self.rule == "non_inferiority") != (self.margin is not None):
            raise ValueError("margin belongs to rule: non_inferiority, which needs it")
        return self


class ReviewPolicy(Strict):
    """Who answers for a release. ``after_rollback: manual`` asks a human for the first release after a rollback."""

    mode: Literal["auto", "manual"]
    after_rollback: Literal["auto", "manual"] = "manual"
    deadline: PositiveDuration
    poll_s: Annotated[float, Field(gt=0)] = 5.0


class SignoffPolicy(Strict):
    """The gates. Every one fails when its evidence is missing."""

    metrics: Annotated[dict[str, MetricGate], Field(min_length=1)]
    versus_champion: RelativeGate
    min_holdout_rows: Annotated[int, Field(ge=30)]
    min_label_coverage: Share
    max_parity_gap: Annotated[float, Field(ge=0)]
    parity_rows: Annotated[int, Field(ge=10, le=100_000)] = 1000
    review: ReviewPolicy


class Bake(Strict):
    """The probation of a new champion over ``windows`` mature windows.

    A window fails when the whole interval of ``metric`` lies beyond ``bound``, or that of its difference to the last
    stable version on the same rows beyond ``max_deficit``; it passes when both figures keep their bounds, and prolongs
    the bake otherwise. Where the stable version surely breaks ``bound`` on the same rows too, they say nothing. More
    than ``allowed_failures`` failed windows end the bake with a rollback. One that has not ended by ``deadline`` after
    the promotion is blind: red, until labels come or someone decides. Unless it is given, that is
    ``signoff.review.deadline``, the length of ``windows`` windows and ``label.max_wait`` together.
    """

    windows: Annotated[int, Field(ge=1)]
    metric: str
    bound: float
    max_deficit: Annotated[float, Field(ge=0)]
    allowed_failures: Annotated[int, Field(ge=0)] = 0
    deadline: PositiveDuration | None = None
