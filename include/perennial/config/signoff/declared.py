"""All that is asked of a candidate, and who answers for it."""

from datetime import timedelta
from typing import Annotated, Literal

from pydantic import Field

from perennial.config.signoff.gates import (
    DataGates,
    FairnessGates,
    MetricGate,
    RelativeGate,
    RobustnessGates,
    ServingGates,
    SliceGates,
    WindowGates,
)
from perennial.config.values import PositiveDuration, Share, Strict


class ReviewPolicy(Strict):
    """Who answers for a release of a candidate that passed its gates.

    ``mode: auto`` the policy, ``manual`` a person, ``borderline`` the policy where the gates passed clearly, and a
    person where one passed that could not have seen its margin. ``first_version`` and ``after_rollback`` ask a person
    for the first version of all, and for the first release after a rollback, whatever the mode; flagged data always
    does. An approval needs the names of ``people``, and whoever asked for the retrain is none of them unless
    ``by_requester``; one person's rejection is enough. ``identity: verified`` takes a person's answer only where the
    name is that of a login: on the page Models in Airflow; ``any`` takes the tags of the version in MLflow too.
    """

    mode: Literal["auto", "manual", "borderline"] = "borderline"
    after_rollback: Literal["auto", "manual"] = "manual"
    first_version: Literal["auto", "manual"] = "manual"
    people: Literal[1, 2] = 1
    by_requester: bool = False
    identity: Literal["any", "verified"] = "any"
    deadline: PositiveDuration = timedelta(days=3)
    poll_s: Annotated[float, Field(gt=0)] = 5.0


class SignoffPolicy(Strict):
    """The gates. Every one fails when its evidence is missing."""

    metrics: Annotated[dict[str, MetricGate], Field(min_length=1)]
    versus_champion: RelativeGate
    slices: SliceGates = SliceGates()
    windows: WindowGates = WindowGates()
    fairness: FairnessGates = FairnessGates()
    serving: ServingGates = ServingGates()
    data: DataGates = DataGates()
    robustness: RobustnessGates = RobustnessGates()
    min_holdout_rows: Annotated[int, Field(ge=30)] = 100
    min_label_coverage: Share = 0.5
    max_parity_gap: Annotated[float, Field(ge=0)] = 1e-9
    parity_rows: Annotated[int, Field(ge=10, le=100_000)] = 1000
    review: ReviewPolicy = ReviewPolicy()
