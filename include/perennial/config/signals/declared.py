"""What is measured, and against which bounds."""

import math
from datetime import timedelta
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from perennial.config.signals.hints import (
    AttributionSignals,
    ConceptSignals,
    ControlSignals,
    EstimateSignals,
    FairnessSignals,
    PredictionSignals,
    SkewSignals,
    SliceSignals,
    SystemSignals,
)
from perennial.config.signals.judgement import FalseAlarms, FlagSignals, GainSignal, Uncertainty
from perennial.config.values import Duration, Share, Strict
from perennial.contracts import SignalRole

FURTHEST = {"jensenshannon": math.sqrt(math.log(2)), "hellinger": 1.0}
"""Of two distributions without a value in common; the other distances have no end."""


class DriftMethod(Strict):
    """How far apart two distributions are, and from which distance on a change matters.

    Of numbers in ten bins between the quantiles of what they are compared with, of categories by value; ``wasserstein``
    of numbers in 200 bins, in standard deviations.
    """

    method: Literal["wasserstein", "jensenshannon", "hellinger", "kl_div", "psi_quantile"]
    threshold: Annotated[float, Field(gt=0)]

    @model_validator(mode="after")
    def _within_reach(self) -> Self:
        furthest = FURTHEST.get(self.method)
        if furthest is not None and self.threshold > furthest:
            raise ValueError(
                f"threshold = {self.threshold:g} is never reached: no two distributions lie further apart than "
                f"{furthest:.4f} ({self.method})"
            )
        return self


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

    number: DriftMethod = DriftMethod(method="wasserstein", threshold=0.1)
    category: DriftMethod = DriftMethod(method="jensenshannon", threshold=0.1)
    null_rate: Annotated[float, Field(gt=0, le=1)] = 0.03
    features_role: SignalRole = "watch"
    score_role: SignalRole = "alert"
    weighted_share: Annotated[float, Field(gt=0, le=1)] = 0.5
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
    max_null_increase: Share = 0.1
    max_unseen_share: Share = 0.01
    max_out_of_range_share: Share = 0.01
    max_type_error_share: Share = 0.01
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
    belongs to something else; with more than ``max_caused_share`` of a window's rows marked as ``columns.caused``, what
    is left says little about the model.
    """

    sample_rows: Annotated[int, Field(ge=500, le=200_000)] = 20_000
    seed: int = 0
    uncertainty: Uncertainty = Uncertainty()
    drift: DriftSignals = DriftSignals()
    false_alarms: FalseAlarms = FalseAlarms()
    quality: QualitySignals = QualitySignals()
    performance: Annotated[dict[str, PerformanceSignal], Field(min_length=1)]
    gain: GainSignal = GainSignal()
    flags: FlagSignals = FlagSignals()
    estimate: EstimateSignals = EstimateSignals()
    concept: ConceptSignals = ConceptSignals()
    prediction: PredictionSignals = PredictionSignals()
    slices: SliceSignals = SliceSignals()
    fairness: FairnessSignals = FairnessSignals()
    skew: SkewSignals = SkewSignals()
    attribution: AttributionSignals = AttributionSignals()
    system: SystemSignals = SystemSignals()
    control: ControlSignals = ControlSignals()
    min_labelled_rows: Annotated[int, Field(ge=30)] = 30
    min_served_share: Share = 0.5
    max_unmatched_labels: Share = 0.5
    max_caused_share: Share = 0.5
