"""How far a figure is trusted, and what a retrain has to promise before it is paid for."""

from datetime import timedelta
from typing import Annotated, Literal

from pydantic import Field

from perennial.config.values import Name, PositiveDuration, Share, Strict

UNIT_PRICE = 0.02
"""The price of a retrain where the metric's values lie within [0, 1] and ``model.yaml`` says nothing."""


class Uncertainty(Strict):
    """Rows of one ``block`` share their weather: intervals count blocks, not rows.

    A block is a stretch of event time, or, where ``block_by`` names a feature, all rows with one value of it. Figures
    are estimated over a window, or over as many windows as it takes to hold ``min_blocks`` blocks of time. With fewer
    blocks, or fewer than ``min_class_rows`` labels of a class, there is no interval and nothing is decided.
    ``confidence`` is that of two-sided intervals.
    """

    block: PositiveDuration = timedelta(days=1)
    block_by: Name | None = None
    confidence: Annotated[float, Field(gt=0.5, lt=1)] = 0.95
    min_blocks: Annotated[int, Field(ge=2)] = 10
    min_class_rows: Annotated[int, Field(ge=1)] = 10


class FalseAlarms(Strict):
    """How often a model of which nothing changes may be said to have drifted: in at most a ``share`` of the stretches
    of length ``per`` any drift alarms. Its tests have an even part of it each: all features together, and the score;
    with the role ``alert`` in ``signals.concept`` also residuals, and the loss since the promotion. What is tested in
    every window has an even part of that for each: ``share`` 0.05 and 13 windows in ``per`` let one of two tests alarm
    at p <= 0.0019. Windows shorter than a block count by block. What is tested of a champion as long as it serves has a
    part for each of the champions that ``policy.max_age`` brings. With more than a thousand windows in ``per`` no test
    can alarm, and everything is undecided.
    """

    share: Annotated[float, Field(gt=0, le=0.5)] = 0.05
    per: PositiveDuration = timedelta(days=182)


class GainSignal(Strict):
    """What a retrain would gain, measured before it is paid for: a model fitted just before each window, beside the
    champion.

    ``probe: small`` fits the recipe on ``rows`` labelled rows drawn over the whole length of ``training.train``, with
    ``params`` over those of ``training.params`` (fewer and quicker trees, say); ``full`` fits it on all of them as it
    is, ``none`` measures nothing. Neither model has seen the window. The gains of the windows since the last retrain
    are added up, from zero again when the sum is not positive; a retrain is wanted when the sum exceeds ``price``, in
    the unit of ``metric`` (that of ``signoff.versus_champion`` unless given), and is above zero at ``confidence``
    (one-sided). The probe is a process of its own, ended after ``timeout`` and bounded to ``memory_mb`` of memory.
    """

    probe: Literal["small", "full", "none"] = "small"
    role: Literal["retrain", "alert", "watch"] = "retrain"
    metric: str | None = None
    price: Annotated[float, Field(gt=0)] | None = None
    confidence: Annotated[float, Field(gt=0.5, lt=1)] = 0.95
    rows: Annotated[int, Field(ge=100, le=1_000_000)] = 10_000
    params: dict[str, str | int | float | bool] = Field(default={})
    timeout: PositiveDuration = timedelta(minutes=5)
    memory_mb: Annotated[int, Field(ge=256)] = 4096


class FlagSignals(Strict):
    """Findings in a window's data that take automatic promotion away from what is made of it: a person answers then.

    Of a window whose labels are in: ``below_chance``, the champion is surely worse than chance (than the constant
    predictor, where the task is not binary); ``lost_class``, a value of a category has one label only and had two in
    the reference; ``label_rate``, the label rate (mean label) lies outside the range of the reference's blocks, widened
    on either side by this share of it; ``calibration``, labels less scores are off by more than so many standard
    deviations of the reference's labels; ``lateness``, the median or the 90 % quantile of the labels' lateness lies
    outside the range of earlier windows by more than this factor. Of every window: ``null_rate``, the most that the
    share of nulls of a feature may differ from the reference; ``unit``, the shift of a number (Kolmogorov-Smirnov) that
    a known change of its unit explains, where the medians agree within ``unit_tolerance`` once converted. A value of a
    category, and a feature, with fewer than ``min_rows`` rows says nothing. ``false`` and ``null`` switch a flag off.
    """

    below_chance: bool = True
    lost_class: bool = True
    label_rate: Annotated[float, Field(ge=0)] | None = 0.1
    calibration: Annotated[float, Field(gt=0)] | None = 0.5
    lateness: Annotated[float, Field(gt=1)] | None = 3.0
    null_rate: Share | None = 0.2
    unit: Share | None = 0.2
    unit_tolerance: Annotated[float, Field(gt=0, lt=0.5)] = 0.05
    min_rows: Annotated[int, Field(ge=30)] = 300
