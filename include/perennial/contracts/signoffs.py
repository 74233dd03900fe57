"""The verdict over a candidate, and the answer of its reviewer."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from perennial.contracts.measured.estimates import Interval
from perennial.contracts.records import digest_of
from perennial.contracts.windows import Window


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """One pass/fail condition. Missing evidence (``value`` None) never passes, unless a person ``waived`` it.

    ``borderline``: it passed, on rows that could not have seen its margin, or whose interval reaches over its bound.
    """

    name: str
    passed: bool
    value: float | None
    bound: float | None
    detail: str
    waived: str = ""
    interval: Interval | None = None
    borderline: bool = False

    def __post_init__(self) -> None:
        if self.borderline and not self.passed:
            raise ValueError(f"gate {self.name} failed, and is borderline at that")
        if self.passed and self.value is None and not self.waived:
            raise ValueError(f"gate {self.name} passes without evidence")


@dataclass(frozen=True, slots=True, kw_only=True)
class Flag:
    """A finding in the data of a window that a candidate was fitted or judged on, as it was measured last."""

    name: str
    window: Window
    detail: str

    def __str__(self) -> str:
        """As people read it.

        >>> from perennial.contracts import parse_moment
        >>> june = Window(start=parse_moment("2013-06-04T00:00:00Z"), end=parse_moment("2013-06-18T00:00:00Z"))
        >>> print(Flag(name="flag/label_rate", window=june, detail="label rate 0.73"))
        flag/label_rate of 2013-06-04 to 2013-06-18: label rate 0.73
        """
        return f"{self.name} of {self.window.start:%Y-%m-%d} to {self.window.end:%Y-%m-%d}: {self.detail}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Signoff:
    """The verdict over all gates for one exact artifact, against the champion that was seen.

    With ``flags`` on the data it was made from it is never answered by the policy. ``requested_by`` is who asked for
    the retrain; empty in signoffs of before that was kept.
    """

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
    config_digest: str = ""
    evaluation_digest: str = ""
    flags: tuple[Flag, ...] = ()
    requested_by: str = ""

    @property
    def signoff_id(self) -> str:
        """Its id in the ledger: of this artifact, against this champion, by these rules, on these figures.

        Signoffs from before the last two were kept have neither in their id.
        """
        judged = (self.config_digest, self.evaluation_digest) if self.config_digest else ()
        return digest_of("signoff", self.model, self.version, self.artifact_digest, self.champion_seen, *judged)

    @property
    def review_id(self) -> str:
        """The id of its answer in the ledger."""
        return digest_of("review", self.signoff_id)

    @property
    def failed(self) -> tuple[Gate, ...]:
        """The gates that it did not pass."""
        return tuple(gate for gate in self.gates if not gate.passed)

    @property
    def borderline(self) -> tuple[Gate, ...]:
        """The gates that it passed without their rows being enough to see what they ask for."""
        return tuple(gate for gate in self.gates if gate.borderline)

    def __post_init__(self) -> None:
        if self.passed and (not self.gates or not all(gate.passed for gate in self.gates)):
            raise ValueError(f"signoff of {self.model} version {self.version} passes over a failed or missing gate")
        if self.flags and self.review == "auto":
            raise ValueError(f"signoff of {self.model} version {self.version} leaves flagged data to the policy")


@dataclass(frozen=True, slots=True, kw_only=True)
class Review:
    """The answer of a reviewer, of the policy (``auto``), or of the deadline."""

    model: str
    version: str
    verdict: Literal["approved", "rejected"]
    reviewer: str
    reason: str


NOBODY = frozenset({"auto", "policy", "deadline"})
"""Names under which the policy answers: no person may."""


def is_nobody(reviewer: str | None) -> bool:
    """Whether a reviewer's name is one that the policy answers under: an answer under it is no person's word.

    >>> is_nobody(" Policy "), is_nobody("ada"), is_nobody(None)
    (True, False, False)
    """
    return (reviewer or "").strip().lower() in NOBODY
