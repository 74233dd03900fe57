"""The gates of a candidate, and their bounds."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from perennial.config.values import Name, Share, Strict

GUARD = {"log_loss": 0.02}
"""What guards the calibration of a binary task where ``model.yaml`` says nothing: at most so much worse."""
UNIT_LOSS = 0.05
"""How much a slice or a window may lose where the metric's values lie within [0, 1] and ``model.yaml`` says nothing."""


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


class SliceGates(Strict):
    """No slice of the holdout worse than ``max_loss`` against the champion, in the unit of ``metric`` (that of
    ``signoff.versus_champion`` unless given; ``max_loss`` is 0.05 where that lies in [0, 1], and has to be given
    elsewhere).

    Slices are the values of ``columns`` that have ``min_rows`` rows new to both, and, with ``find``, the slice that a
    shallow tree finds in one half of the blocks and that is judged in the other. A slice fails its gate that loses more
    than that and surely loses at all, at a confidence for all slices together; one that has no interval fails it too,
    but for the found one, which is borderline then.
    Off without columns and ``find``.
    """

    columns: list[Name] = Field(default=[])
    find: bool = False
    metric: str | None = None
    min_rows: Annotated[int, Field(ge=30)] = 300
    max_loss: Annotated[float, Field(gt=0)] | None = None

    @property
    def asked(self) -> bool:
        """Whether any slice is judged.

        >>> SliceGates().asked, SliceGates(find=True).asked
        (False, True)
        """
        return self.find or bool(self.columns)


class WindowGates(Strict):
    """No window of the last ``last`` worse than ``max_loss`` against the champion, nor more than a share of them worse
    at all, in the unit of ``metric`` (that of ``signoff.versus_champion`` unless given; ``max_loss`` is 0.05 where that
    lies in [0, 1], and has to be given elsewhere).

    The windows are those of the schedule, the newest that reach into the holdout and have their labels in; each is
    judged on its rows new to both. One that loses more than ``max_loss`` and surely loses at all, at a confidence for
    all of them together, fails the gate; so do estimates below zero in more than ``max_share_worse`` of the windows,
    fewer windows than ``last``, and one that has fewer than ``min_rows`` such rows or no interval.
    Off without ``last``.
    """

    last: Annotated[int, Field(ge=1, le=100)] | None = None
    metric: str | None = None
    min_rows: Annotated[int, Field(ge=30)] = 300
    max_loss: Annotated[float, Field(gt=0)] | None = None
    max_share_worse: Share = 0.5


class FairnessGates(Strict):
    """How far a candidate may treat the groups of protected ``columns`` apart (binary tasks), on the holdout.

    ``bound`` is the most that statistical parity, equal opportunity and average odds may differ; with ``of: interval``
    the whole interval has to keep it. ``max_worsening`` is by how much they may differ more than the champion's do on
    the same rows: more than that, and surely more at all, fails. Groups with fewer than ``min_rows`` rows are left out.
    Off without columns.
    """

    columns: list[Name] = Field(default=[])
    bound: Share = 0.1
    of: Literal["estimate", "interval"] = "estimate"
    max_worsening: Annotated[float, Field(gt=0, le=1)] = 0.05
    min_rows: Annotated[int, Field(ge=30)] = 100


class ServingGates(Strict):
    """What the registered version may cost in the fresh process that also checks parity, on one thread.

    The 50 % and the 99 % quantile of the latency of one row (``max_p50_ms``, ``max_p99_ms``) and of ``batch_rows`` rows
    (``max_batch_p99_ms``), the size of its files (``max_model_mb``), and the most memory that the process ever held
    (``max_memory_mb``, some 300 for imports alone). Without a bound it is measured, shown, and passes. Latencies are
    those of ``requests`` requests of one row and a tenth as many of ``batch_rows``, or of a second of each.
    ``signature``: the version has to carry one that takes the features as declared and refuses a request without one of
    them, or with text for a number.
    """

    max_p50_ms: Annotated[float, Field(gt=0)] | None = None
    max_p99_ms: Annotated[float, Field(gt=0)] | None = None
    max_batch_p99_ms: Annotated[float, Field(gt=0)] | None = None
    batch_rows: Annotated[int, Field(ge=2, le=100_000)] = 1000
    requests: Annotated[int, Field(ge=10, le=100_000)] = 200
    max_model_mb: Annotated[float, Field(gt=0)] | None = None
    max_memory_mb: Annotated[float, Field(gt=0)] | None = None
    signature: bool = True


class DataGates(Strict):
    """What training and holdout rows have to be. No id may be in both, and ``training.embargo`` lies between them.

    ``min_class_rows``: so many rows of each class, in both. ``entity`` names a feature whose values may be in both for
    at most a share of ``max_shared_entities`` of the holdout's rows. ``max_power``: a feature that alone foretells the
    labels better than that (AUC; correlation for numbers) may hold what is known only afterwards: a flag, so that a
    person answers. ``max_drifted``: the most that the share of features may be whose PSI between training rows and the
    newest rows is ``drift_psi`` or more; without it the share is shown. ``null`` switches a rule off.
    """

    min_class_rows: Annotated[int, Field(ge=1)] | None = 10
    entity: Name | None = None
    max_shared_entities: Share = 0.0
    max_power: Annotated[float, Field(gt=0.5, le=1)] | None = 0.99
    max_drifted: Share | None = None
    drift_psi: Annotated[float, Field(gt=0)] = 0.25


class RobustnessGates(Strict):
    """What may matter little to a candidate's answers, tried on ``rows`` rows of its holdout.

    ``measurement_error`` says by how much a number may be off, in its unit: moved within that (and within ``min`` and
    ``max`` of the feature), 99 % of the answers move by ``max_change`` at most; that is in the unit of the score, where
    another predicted class is a move of 1. ``missing``: an optional feature that is missing still gives an answer.
    ``monotone`` declares in which direction the score follows a number, against which at most a share of
    ``max_violations`` of the rows may answer; ``invariant`` by how much the answer may move when a feature takes the
    values of other rows.
    """

    rows: Annotated[int, Field(ge=30, le=20_000)] = 500
    measurement_error: dict[Name, Annotated[float, Field(gt=0)]] = Field(default={})
    max_change: Annotated[float, Field(gt=0)] = 0.1
    missing: bool = True
    monotone: dict[Name, Literal["increasing", "decreasing"]] = Field(default={})
    max_violations: Share = 0.01
    invariant: dict[Name, Annotated[float, Field(ge=0)]] = Field(default={})
