"""What is checked, decided and trained; folders of their own have ``signals`` and ``signoff``."""

from datetime import timedelta
from typing import Annotated, Any, Literal, Self

from pydantic import (
    Field,
    model_validator,
)

from perennial.config.training.search import Search
from perennial.config.values import Duration, Moment, PositiveDuration, Share, Strict

RECIPE = "recipe.py"
RecipeFile = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*\.py$")]


class ExtraExpectation(Strict):
    """Any Great Expectations expectation by its class name, with its keyword arguments."""

    type: Annotated[str, Field(pattern=r"^Expect[A-Z]\w+$")]
    level: Literal["row", "batch"]
    kwargs: dict[str, Any] = Field(default={})


class Validation(Strict):
    """When a batch is too broken to publish."""

    max_share_bad: Share = 0.02
    min_rows: Annotated[int, Field(ge=1)] = 1
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

    k: Annotated[int, Field(ge=1)] = 2
    n: Annotated[int, Field(ge=1)] = 3
    sticky: bool = False

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.k > self.n:
            raise ValueError(f"k {self.k} of n {self.n} can never happen")
        return self


class Budget(Strict):
    """At most ``retrains`` requests, and ``cpu_s`` CPU seconds of fits where that is given, within ``per``."""

    retrains: Annotated[int, Field(ge=1)] = 4
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
    """When to retrain. All times are event time.

    ``min_new_labels`` have to be in since the champion's holdout, and since the candidate before was turned down.
    """

    breaches: Breaches = Breaches()
    cooldown: Duration
    min_new_labels: Annotated[int, Field(ge=1)]
    max_age: PositiveDuration
    budget: Budget
    quiet: list[QuietPeriod] = Field(default=[])


class Training(Strict):
    """What a candidate is fitted and judged on: ``train``, an ``embargo``, and ``holdout``, all before the request.

    An embargo keeps apart what hangs together across the border (a ride, a case): its rows are in neither.

    ``window`` says which rows teach besides those of ``train``: none (``trailing``), all since ``since`` (``growing``;
    ``schedule.start`` unless it is given), or of each of ``seasons`` years before (of 365 days) the stretch as long as
    ``train`` around the day on which ``train`` ends (``seasonal``). Of more than ``max_train_rows`` as many are drawn
    by the hash of their ids, every class with its share. With ``half_life`` a row that is so much older than the newest
    counts half; the recipe's last estimator has to take ``sample_weight``.

    The learning curve may cost the share ``learning_curve`` of the CPU seconds of the fit and its folds, and has as
    many points as that buys; with 0, or where it buys only one, there is none.

    Each of ``recipes`` is fitted, in a process of its own that takes ``timeout`` at most, and the best by ``metric`` in
    a cross-validation in time order is the candidate; ``metric`` is that of ``signoff.versus_champion`` unless it is
    given. With several recipes each gets those of ``params``, and of what ``search`` tries, that its ``build`` takes.

    ``tune_threshold`` (``f1`` or ``accuracy``; binary) chooses from which score on a version predicts the positive
    class, by that metric on the folds of its cross-validation; without, ``label.decision_threshold`` holds.

    A retrain request without an outcome is taken for one that nobody runs, and started by the maintenance,
    ``dispatch_after`` and ``timeout`` after it was written, by the clock.
    """

    train: PositiveDuration
    holdout: PositiveDuration
    min_train_rows: Annotated[int, Field(ge=10)]
    cv_folds: Annotated[int, Field(ge=2, le=20)] = 3
    seed: int = 0
    embargo: Duration = timedelta(0)
    window: Literal["trailing", "growing", "seasonal"] = "trailing"
    since: Moment | None = None
    seasons: Annotated[int, Field(ge=1, le=20)] = 1
    max_train_rows: Annotated[int, Field(ge=10)] | None = None
    half_life: PositiveDuration | None = None
    timeout: PositiveDuration = timedelta(minutes=10)
    learning_curve: Annotated[float, Field(ge=0, le=10)] = 0.5
    dispatch_after: Duration = timedelta(minutes=30)
    params: dict[str, str | int | float | bool] = Field(default={})
    trusted_types: list[str] = Field(default=[])
    # left out where nobody gave them, so that what was written before they existed keeps its digest
    metric: str | None = Field(default=None, exclude_if=lambda value: value is None)
    recipes: Annotated[list[RecipeFile], Field(min_length=1)] = Field(
        default=[RECIPE], exclude_if=lambda value: value == [RECIPE]
    )
    search: Search | None = Field(default=None, exclude_if=lambda value: value is None)

    tune_threshold: str | None = Field(default=None, exclude_if=lambda value: value is None)

    @property
    def longest(self) -> timedelta:
        """How long a fit takes at most: of every recipe its search, with the trial that was begun last, and its fit."""
        searching = timedelta(seconds=self.search.seconds) + self.timeout if self.search else timedelta(0)
        return len(self.recipes) * (searching + self.timeout)

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if len(set(self.recipes)) < len(self.recipes):
            raise ValueError("recipes: one of them stands there twice")
        if self.max_train_rows is not None and self.max_train_rows < self.min_train_rows:
            raise ValueError(
                f"max_train_rows {self.max_train_rows} is below min_train_rows {self.min_train_rows}: no candidate "
                "would have enough"
            )
        if self.since is not None and self.window != "growing":
            raise ValueError(f"since: only window: growing begins at a moment, and this one is {self.window}")
        return self


class Bake(Strict):
    """The probation of a new champion over ``windows`` mature windows.

    A window fails when the whole interval of ``metric`` lies beyond ``bound``, or that of its difference to the last
    stable version on the same rows beyond ``max_deficit``; so do ``windows`` and more of them together. Together they
    pass when both figures keep their bounds, and prolong the bake otherwise. A window on whose rows the stable version
    surely breaks ``bound`` too says nothing. More than ``allowed_failures`` failures, of windows alone and of all
    others together, end the bake with a rollback. One that has not ended by ``deadline`` after
    the promotion is blind: red, until labels come or someone decides. Unless it is given, that is
    ``signoff.review.deadline``, the length of ``windows`` windows and ``label.max_wait`` together.
    """

    windows: Annotated[int, Field(ge=1)] = 2
    metric: str
    bound: float
    max_deficit: Annotated[float, Field(ge=0)]
    allowed_failures: Annotated[int, Field(ge=0)] = 0
    deadline: PositiveDuration | None = None
