"""The verdict over a candidate, and the answer of its reviewer."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from perennial.contracts.windows import Window


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """One pass/fail condition. Missing evidence (``value`` None) never passes."""

    name: str
    passed: bool
    value: float | None
    bound: float | None
    detail: str

    def __post_init__(self) -> None:
        if self.passed and self.value is None:
            raise ValueError(f"gate {self.name} passes without evidence")


@dataclass(frozen=True, slots=True, kw_only=True)
class Signoff:
    """The verdict over all gates for one exact artifact, against the champion that was seen."""

    model: str
    version: str
    artifact_digest: str
    champion_seen: str | None
    gates: tuple[Gate, ...]
    passed: bool
    review: Literal["auto", "manual"]
    as_of: datetime
    train: Window
    holdout: Window

    def __post_init__(self) -> None:
        if self.passed and (not self.gates or not all(gate.passed for gate in self.gates)):
            raise ValueError(f"signoff of {self.model} version {self.version} passes over a failed or missing gate")


@dataclass(frozen=True, slots=True, kw_only=True)
class Review:
    """The answer of a reviewer, of the policy (``auto``), or of the deadline."""

    model: str
    version: str
    verdict: Literal["approved", "rejected"]
    reviewer: str
    reason: str
