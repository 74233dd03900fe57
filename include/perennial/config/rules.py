"""What is checked, measured, decided and asked for: every threshold."""

from datetime import timedelta
from typing import Annotated, Any, Literal, Self

from pydantic import (
    Field,
    field_validator,
    model_validator,
)

from perennial.config.hints import (
    AttributionSignals,
    ControlSignals,
    EstimateSignals,
    FairnessSignals,
    PredictionSignals,
    SkewSignals,
    SliceSignals,
)
from perennial.config.judgement import FalseAlarms, FlagSignals, GainSignal, Uncertainty
from perennial.config.values import Duration, Moment, PositiveDuration, Share, Strict
from perennial.contracts import SignalRole


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


class DriftMethod(Strict):
    """How far apart two distributions are, and from which distance on a change matters.

    Of numbers in ten bins between the quantiles of what they are compared with, of categories by value; ``wasserstein``
    of numbers in 200 bins, in standard deviations.
    """

    method: Literal["wasserstein", "jensenshannon", "hellinger", "kl_div", "psi_quantile"]
    threshold: Annotated[float, Field(gt=0)]


class DriftSignals(Strict):
    """How far every feature, its nulls and the score lie from the champion's reference, on all rows of the window.

    A column has drifted when its distance reaches its threshold (``null_rate`` for the difference of null rates) and
    blocks permuted between the two sides show as much anywhere in no more than the share that ``signals.false_alarms``
    leaves. A window of fewer than ``signals.uncertainty.min_blocks`` blocks is judged with the ones before it.

    ``against`` names what else a window is compared with: the stretch before (``previous``) and the same weeks of
    earlier years, ``season_margin`` more on either side (``season``), where there are rows. The roles below go to the
    ``verdict``: ``season`` where that is known, else the reference; all other comparisons have ``others_role``.

    ``weighted_share`` is the share of the champion's permutation importance that sits in drifted features; unknown when
    features without a distance could bring it to the bound, undecided when undecided ones could. A column with fewer
    than ``min_values`` values on either side has no distance: it would say more about the sample than about the world.
    A number that is constant in the reference has drifted when any value differs.
    """

    number: DriftMethod
    category: DriftMethod
    null_rate: Annotated[float, Field(gt=0, le=1)] = 0.03
    features_role: SignalRole = "watch"
    score_role: SignalRole = "alert"
    weighted_share: Share
    weighted_share_role: SignalRole = "alert"
    min_values: Annotated[int, Field(ge=2)] = 30
    against: list[Literal["previous", "season"]] = Field(default=["previous", "season"])
    verdict: Literal["season", "reference"] = "season"
    season_margin: Duration = timedelta(days=14)
    others_role: SignalRole = "watch"

    @field_validator("category")
    @classmethod
    def _of_categories(cls, value: DriftMethod) -> DriftMethod:
        if value.method == "wasserstein":
            raise ValueError("wasserstein measures numbers; take jensenshannon, hellinger, kl_div or psi_quantile")
        return value


class QualitySignals(Strict):
    """Increase over the reference (null, unseen category) or plain share (out of range, type error) per column.

    Of a delivery: the share of rows that were there already, the least share that is published of what was promised
    (or sent), the longest part of a window that may lie after its last event, and how many standard deviations of
    earlier windows its number of rows may be off.
    """

    role: SignalRole = "alert"
    max_null_increase: Share
    max_unseen_share: Share
    max_out_of_range_share: Share
    max_type_error_share: Share
    max_duplicate_share: Share = 0.05
    min_complete_share: Share = 0.9
    max_quiet_share: Share = 0.5
    volume_sigmas: Annotated[float, Field(gt=0)] = 3.0


class PerformanceSignal(Strict):
    """A bound on one metric of mature labels: an absolute one, and the loss against the champion's own holdout.

    Either is breached only when the whole interval of the figure lies beyond it. A loss against the holdout follows the
    season as well as decay: ``signals.gain`` tells them apart.

    ``bound`` is a minimum where more is better (AUC, accuracy, R2) and a maximum where less is (log loss, RMSE, MAE).
    """

    role: SignalRole
    bound: float
    max_loss: Annotated[float, Field(ge=0)] | None = None


class Signals(Strict):
    """What is measured. ``sample_rows`` bounds every sample; ``seed`` makes it the same one again.

    With fewer than ``min_served_share`` of a window's predictions from the champion, most of what is served is not what
    was promoted; with more than ``max_unmatched_labels`` of the delivered labels without a prediction, the label source
    belongs to something else.
    """

    sample_rows: Annotated[int, Field(ge=500, le=200_000)]
    seed: int
    uncertainty: Uncertainty = Uncertainty()
    drift: DriftSignals
    false_alarms: FalseAlarms = FalseAlarms()
    quality: QualitySignals
    performance: Annotated[dict[str, PerformanceSignal], Field(min_length=1)]
    gain: GainSignal = GainSignal()
    flags: FlagSignals = FlagSignals()
    estimate: EstimateSignals = EstimateSignals()
    prediction: PredictionSignals = PredictionSignals()
    slices: SliceSignals = SliceSignals()
    fairness: FairnessSignals = FairnessSignals()
    skew: SkewSignals = SkewSignals()
    attribution: AttributionSignals = AttributionSignals()
    control: ControlSignals = ControlSignals()
    min_labelled_rows: Annotated[int, Field(ge=30)]
    min_served_share: Share = 0.5
    max_unmatched_labels: Share = 0.5


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
