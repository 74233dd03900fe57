"""What a version may do in its bake before anybody knows a label."""

from datetime import timedelta
from typing import Annotated, Literal

from pydantic import Field

from perennial.config.values import PositiveDuration, Share, Strict


class Guards(Strict):
    """What the scoring service measures of a version in its bake, beside the version before it and beside its own
    holdout; looked at ``every`` so often, on what the service answered last, up to ``over``.

    A guard is breached when the whole interval of its figure lies beyond its bound, at ``confidence`` for each of a
    look (that of missing features for all of them together): ``max_error_rise``, how much larger the share of requests
    may be that it could not answer; ``max_latency_ratio``, how many times as long the median and the 99 % quantile of
    the time to answer may be, as far as they exceed ``min_latency_ms``; ``max_score_distance``, how far the
    distributions of scores may lie apart (Kolmogorov-Smirnov, 0 to 1); ``max_missing_rise``, how much larger the share
    of rows may be in which a feature is missing. Scores and missing features must lie apart from both the version
    before and the holdout, as far as there are both. ``null`` switches a guard off.

    One breach rolls back at once (``rollback``), or is told and recorded (``report``).
    """

    every: PositiveDuration = timedelta(minutes=5)
    over: PositiveDuration = timedelta(hours=1)
    on_breach: Literal["rollback", "report"] = "rollback"
    confidence: Annotated[float, Field(gt=0.5, lt=1)] = 0.999
    max_error_rise: Share | None = 0.01
    max_latency_ratio: Annotated[float, Field(gt=1)] | None = 2.0
    min_latency_ms: Annotated[float, Field(ge=0)] = 10.0
    max_score_distance: Share | None = 0.2
    max_missing_rise: Share | None = 0.1
