"""What was measured of a candidate beside its metrics, for the gates."""

from dataclasses import dataclass, field

from perennial.contracts.measured.estimates import Estimate


@dataclass(frozen=True, slots=True, kw_only=True)
class SliceGain:
    """How much better the candidate is than the baseline on the ``n_rows`` rows of one slice; positive is better."""

    name: str
    n_rows: int
    gain: Estimate


@dataclass(frozen=True, slots=True, kw_only=True)
class SliceGains:
    """The slices of one column, or the one that was found; none, and ``problem``, where none could be judged."""

    slices: tuple[SliceGain, ...] = ()
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Apart:
    """How far the candidate treats groups apart, and by how much further than the baseline on the rows of both.

    Both in [-1, 1], the second positive for worse. ``left_out`` names the groups that were too small.
    """

    candidate: Estimate
    worsening: Estimate
    left_out: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupFacts:
    """What the groups of the holdout say: slices by column (``found`` for the one found), and ``measure/column``."""

    slices: dict[str, SliceGains] = field(default_factory=dict)
    fairness: dict[str, Apart] = field(default_factory=dict)
