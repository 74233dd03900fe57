"""One measured quantity, and the one way to name it."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from perennial.contracts.measured.estimates import Chance, Interval
from perennial.contracts.measured.records import to_record
from perennial.contracts.windows import Window

SignalRole = Literal["retrain", "alert", "halt", "watch"]
SignalStatus = Literal["ok", "breached", "undecided", "unknown"]
"""``undecided``: measured, and the bound lies inside the interval: the rows could not tell on which side it is."""
Since = Literal["reference", "previous", "season"]
"""What a window is compared with: what its champion was fitted and judged on, the window before, earlier years."""
Family = Literal[
    "drift",
    "quality",
    "performance",
    "gain",
    "bake",
    "flag",
    "labels",
    "label_coverage",
    "served_by_champion",
    "reference",
    "estimate",
    "concept",
    "prediction",
    "slice",
    "fairness",
    "skew",
    "attribution",
    "system",
    "control",
    "silent",
    "guard",
]


@dataclass(frozen=True, slots=True)
class SignalName:
    """The name of a signal, ``family/subject``; made here and nowhere else, so that no reader takes one apart.

    >>> str(SignalName.bake_vs_stable("roc_auc")), str(SignalName.quality("null_rate", "temp"))
    ('bake/roc_auc_vs_stable', 'quality/null_rate/temp')
    >>> SignalName.family_of("bake/roc_auc_vs_stable"), SignalName.family_of("label_coverage")
    ('bake', 'label_coverage')
    """

    family: Family
    subject: str = ""

    def __str__(self) -> str:
        return f"{self.family}/{self.subject}" if self.subject else self.family

    @classmethod
    def drift(cls, column: str, since: Since = "reference", *, nulls: bool = False) -> "SignalName":
        """The distance of a feature, of ``score``, or the ``weighted_share`` of all; of a feature also of its nulls.

        >>> str(SignalName.drift("temp_f")), str(SignalName.drift("temp_f", "season", nulls=True))
        ('drift/temp_f', 'drift/temp_f/nulls/vs_season')
        """
        return cls("drift", column + "/nulls" * nulls + f"/vs_{since}" * (since != "reference"))

    @classmethod
    def quality(cls, rate: str, feature: str) -> "SignalName":
        """A rate (``null_rate``, ``unseen``, ``type_error``, ``out_of_range``) of one feature.

        >>> str(SignalName.quality("unseen", "carrier"))
        'quality/unseen/carrier'
        """
        return cls("quality", f"{rate}/{feature}")

    @classmethod
    def performance(cls, metric: str) -> "SignalName":
        """The champion's metric against its bound.

        >>> str(SignalName.performance("roc_auc"))
        'performance/roc_auc'
        """
        return cls("performance", metric)

    @classmethod
    def performance_loss(cls, metric: str) -> "SignalName":
        """How much worse the champion's metric is than on its own holdout.

        >>> str(SignalName.performance_loss("roc_auc"))
        'performance/roc_auc_loss'
        """
        return cls("performance", f"{metric}_loss")

    @classmethod
    def gain(cls, metric: str) -> "SignalName":
        """What a model fitted just before the windows since the last retrain would have gained in them, added up.

        >>> str(SignalName.gain("roc_auc"))
        'gain/roc_auc'
        """
        return cls("gain", metric)

    @classmethod
    def gain_in_window(cls, metric: str) -> "SignalName":
        """What it would have gained in this window.

        >>> str(SignalName.gain_in_window("roc_auc"))
        'gain/roc_auc_in_window'
        """
        return cls("gain", f"{metric}_in_window")

    @classmethod
    def flag(cls, finding: str, column: str = "") -> "SignalName":
        """A finding in a window's data that takes automatic promotion away from what is made of it.

        >>> str(SignalName.flag("below_chance")), str(SignalName.flag("lost_class", "carrier"))
        ('flag/below_chance', 'flag/lost_class/carrier')
        """
        return cls("flag", f"{finding}/{column}" if column else finding)

    @staticmethod
    def is_of_labels(name: str) -> bool:
        """Whether a flag, by its name in the store, speaks of labels, not of the features of its window alone.

        >>> [SignalName.is_of_labels(name) for name in ("flag/below_chance", "flag/unit/temp_f")]
        [True, False]
        """
        return not name.startswith(("flag/null_rate/", "flag/unit/"))

    @classmethod
    def bake(cls, metric: str) -> "SignalName":
        """The metric of a champion on probation against its bound.

        >>> str(SignalName.bake("roc_auc"))
        'bake/roc_auc'
        """
        return cls("bake", metric)

    @classmethod
    def bake_vs_stable(cls, metric: str) -> "SignalName":
        """How much worse it is than the last stable version on the same rows.

        >>> str(SignalName.bake_vs_stable("roc_auc"))
        'bake/roc_auc_vs_stable'
        """
        return cls("bake", f"{metric}_vs_stable")

    @classmethod
    def guard(cls, figure: str) -> "SignalName":
        """A figure of the scoring service, of a version in its bake or of an arm.

        >>> str(SignalName.guard("error_rate"))
        'guard/error_rate'
        """
        return cls("guard", figure)

    @staticmethod
    def family_of(name: str) -> str:
        """The family of a name as it stands in the store.

        >>> SignalName.family_of("drift/temp_f")
        'drift'
        """
        return name.partition("/")[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Signal:
    """One measured quantity of one window with its threshold.

    ``name`` is the text of a :class:`SignalName`. ``value`` is None exactly when ``status`` is ``unknown``, and then
    ``detail`` says why: an unknown signal is never a pass, and an ``undecided`` one neither. ``as_of`` is the end of
    the window whose run measured it: performance of a window is measured by a later run, when its labels are in.
    ``version`` is the champion it speaks about. ``interval`` is there where the value was estimated from rows whose
    blocks say how far it can be trusted, ``chance`` where it was compared with the permutations of its blocks.
    """

    model: str
    window: Window
    as_of: datetime
    name: str
    role: SignalRole
    status: SignalStatus
    value: float | None
    threshold: float | None
    version: str | None
    detail: str = ""
    interval: Interval | None = None
    chance: Chance | None = None

    def __post_init__(self) -> None:
        if (self.value is None) != (self.status == "unknown"):
            raise ValueError(f"{self.name}: value {self.value} with status {self.status}")
        if self.value is not None and self.value != self.value:
            raise ValueError(f"{self.name}: NaN is not a value; report it as unknown")

    @property
    def family(self) -> str:
        """What kind of quantity it is: ``drift``, ``quality``, ``performance``, ``bake``, ...

        >>> subject.unknown(SignalName.drift("temp_f"), "watch", "gone").family
        'drift'
        """
        return SignalName.family_of(self.name)

    def compact(self) -> dict[str, object]:
        """As the ledger keeps it beside the decision that rests on it.

        >>> subject.unknown(SignalName.drift("temp_f"), "watch", "gone").compact()["window"]
        '20130102T000000Z-20130103T000000Z'
        """
        return {
            "name": self.name,
            "window": self.window.key,
            "as_of": self.as_of.isoformat(),
            "role": self.role,
            "status": self.status,
            "value": self.value,
            "threshold": self.threshold,
            "detail": self.detail,
            "interval": None if self.interval is None else to_record(self.interval),
        }
