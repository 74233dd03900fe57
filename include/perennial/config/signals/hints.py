"""Signals that ask for nothing by themselves: hints without labels, and what people watch."""

from typing import Annotated, Literal

from pydantic import Field

from perennial.config.values import Name, Share, Strict

ToldRole = Literal["alert", "watch"]
"""The role of what may not ask for a retrain by itself."""


class EstimateSignals(Strict):
    """The metrics of ``signals.performance`` before labels are in, and how far they were off once labels are.

    What scores were worth on the champion's holdout is taken for what they are worth now. That is a hint and no more:
    it can not see that labels changed for the same rows, and takes a change of season for one of the model. Its role is
    ``watch``, and nothing else.
    """

    enabled: bool = True
    role: Literal["watch"] = "watch"


class ConceptSignals(Strict):
    """Whether labels still follow the scores, beside how far each metric was off from what ``estimate`` expected.

    Residuals are labels less scores. ``max_residual_shift`` is how far their distribution may lie from that of the
    champion's holdout, in standard deviations (of numbers); ``max_residual_error`` how far the mean residual of like
    scores may have moved (of classes). Either is breached where permuted blocks show as much no more often than
    ``signals.false_alarms`` allows. ``max_excess`` is how much more the champion may lose since its promotion than its
    scores let expect, as a share of that: a test that may be looked at after every window, tightest for a change of
    ``effect`` standard deviations of what blocks differ by. Off with ``estimate``, whose expectations it needs. With
    the role ``alert``, its two tests share the budget of ``signals.false_alarms``.
    """

    enabled: bool = True
    role: ToldRole = "watch"
    max_residual_shift: Annotated[float, Field(gt=0)] = 0.25
    max_residual_error: Share = 0.05
    max_excess: Annotated[float, Field(ge=0)] = 0.1
    effect: Annotated[float, Field(gt=0)] = 1.0


class PredictionSignals(Strict):
    """Predicted classes and mean score beside the champion's holdout; labels, once they are in, beside its reference.

    ``max_share`` is how much the share of a class may differ (Chebyshev), ``max_shift`` by how many standard deviations
    a mean may. Either is breached by a whole interval alone. Both follow the season.
    """

    enabled: bool = True
    role: ToldRole = "watch"
    max_share: Share = 0.1
    max_shift: Annotated[float, Field(gt=0)] = 0.5


class FairnessSignals(Strict):
    """How far the groups of protected ``columns`` (categories and booleans of a binary task) are treated apart.

    ``bound`` is the most that statistical parity, equal opportunity and average odds may differ; groups with fewer than
    ``min_rows`` labelled rows are left out. Off without columns.
    """

    columns: list[Name] = Field(default=[])
    bound: Share = 0.1
    role: ToldRole = "alert"
    min_rows: Annotated[int, Field(ge=30)] = 100


class SkewSignals(Strict):
    """Whether served answers are those of the registered version: ``rows`` of a window are scored again.

    ``max_share`` of them may differ by more than ``tolerance``, of the score itself where that is above 1.
    """

    enabled: bool = True
    role: ToldRole = "alert"
    rows: Annotated[int, Field(ge=10, le=20_000)] = 1000
    tolerance: Annotated[float, Field(ge=0)] = 1e-6
    max_share: Share = 0.01


class AttributionSignals(Strict):
    """Whether the champion still answers by the features it answered by: the ranking of features, on ``rows`` rows.

    ``min_ndcg`` is the least that the ranking of the holdout may be kept (normalised discounted cumulative gain).
    """

    enabled: bool = True
    role: ToldRole = "watch"
    rows: Annotated[int, Field(ge=100, le=20_000)] = 1000
    min_ndcg: Share = 0.9


class SliceSignals(Strict):
    """The metrics of ``signals.performance`` on the rows of each value of ``columns``, against the same bounds.

    With ``find``, also the slice that a shallow tree finds worst against what scores let expect: by how much its loss
    exceeds that more than other rows' does, as a share of it; ``max_excess`` is the bound. A slice has ``min_rows``
    labelled rows.
    """

    columns: list[Name] = Field(default=[])
    find: bool = True
    role: ToldRole = "watch"
    min_rows: Annotated[int, Field(ge=30)] = 300
    max_excess: Annotated[float, Field(gt=0)] = 0.25


class SystemSignals(Strict):
    """How serving went, as far as the log tells it (``latency_ms``, ``error`` and ``memory_mb`` of ``columns``).

    The most that the median, the 95 % and the 99 % quantile of the latency, the share of requests that were answered
    with an error, and the 95 % quantile of the memory may be: breached by a whole interval alone. Without a bound a
    figure has to go on as it did, within ``sigmas`` standard deviations of up to 20 earlier windows.
    """

    role: ToldRole = "alert"
    max_latency_p50_ms: Annotated[float, Field(gt=0)] | None = None
    max_latency_p95_ms: Annotated[float, Field(gt=0)] | None = None
    max_latency_p99_ms: Annotated[float, Field(gt=0)] | None = None
    max_error_rate: Share | None = 0.01
    max_memory_p95_mb: Annotated[float, Field(gt=0)] | None = None
    sigmas: Annotated[float, Field(gt=0)] = 3.0


class ControlSignals(Strict):
    """Series of signals, by their names (``drift/temp_f``, ``quality/volume``), that have to go on as they did.

    The newest value may be off from those of up to 20 earlier windows by so many standard deviations (``sigmas``), as
    far as few windows can tell. Off without names.
    """

    names: list[str] = Field(default=[])
    role: ToldRole = "watch"
    sigmas: Annotated[float, Field(gt=0)] = 3.0
