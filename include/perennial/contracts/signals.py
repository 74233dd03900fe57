"""One measured quantity, and the one way to name it."""

import math
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from perennial.contracts.estimates import Estimate, Interval
from perennial.contracts.windows import Window

SignalRole = Literal["retrain", "alert", "halt", "watch"]
SignalStatus = Literal["ok", "breached", "undecided", "unknown"]
"""``undecided``: measured, and the bound lies inside the interval: the rows could not tell on which side it is."""
MOST_DETAIL = 500
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
    "control",
    "silent",
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
    def drift(cls, column: str) -> "SignalName":
        """The distance of a feature, of ``score``, or the ``weighted_share`` of all.

        >>> str(SignalName.drift("temp_f"))
        'drift/temp_f'
        """
        return cls("drift", column)

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
    blocks say how far it can be trusted.
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What a signal speaks about: a model's window, as known at ``as_of``, under the champion ``version``."""

    model: str
    window: Window
    as_of: datetime
    version: str | None

    @classmethod
    def of_run(cls, model: str, window: Window, version: str | None) -> "Subject":
        """What the run of ``window`` itself speaks about: its own rows, as known at its end.

        >>> Subject.of_run("flight_delay", day(1), "3").as_of == day(1).end
        True
        """
        return cls(model=model, window=window, as_of=window.end, version=version)

    def known(
        self, name: SignalName, role: SignalRole, value: float, *, threshold: float, breached: bool, detail: str = ""
    ) -> Signal:
        """A measured signal; a NaN or an infinite value makes it unknown, whatever ``breached`` says.

        >>> subject.known(SignalName.drift("temp_f"), "watch", 0.2, threshold=0.1, breached=True).status
        'breached'
        >>> subject.known(SignalName.drift("temp_f"), "watch", math.nan, threshold=0.1, breached=False).status
        'unknown'
        """
        if not math.isfinite(value):
            return self.unknown(name, role, f"the result is {value}", threshold=threshold)
        return Signal(
            model=self.model,
            window=self.window,
            as_of=self.as_of,
            name=str(name),
            role=role,
            status="breached" if breached else "ok",
            value=float(value),
            threshold=threshold,
            version=self.version,
            detail=detail[:MOST_DETAIL],
        )

    def above(self, name: SignalName, role: SignalRole, value: float, most: float, *, detail: str = "") -> Signal:
        """A measured signal that is breached above ``most``.

        >>> subject.above(SignalName.drift("temp_f"), "watch", 0.1, 0.1).status
        'ok'
        """
        return self.known(name, role, value, threshold=most, breached=value > most, detail=detail)

    def estimated(
        self,
        name: SignalName,
        role: SignalRole,
        found: Estimate,
        *,
        threshold: float,
        is_least: bool,
        detail: str = "",
    ) -> Signal:
        """An estimate against a bound, as it stands to it; without a value it is unknown, with its problem.

        Breached only when its whole interval lies beyond the bound, ok when it keeps it, ``undecided`` between the two.

        >>> interval = Interval(low=0.61, high=0.69, standard_error=0.02, n_rows=900, n_blocks=14, confidence=0.95)
        >>> found = Estimate(value=0.65, interval=interval)
        >>> auc = SignalName.performance("roc_auc")
        >>> [subject.estimated(auc, "watch", found, threshold=x, is_least=True).status for x in (0.6, 0.65, 0.7)]
        ['ok', 'undecided', 'breached']
        >>> subject.estimated(auc, "watch", Estimate(problem="no rows"), threshold=0.6, is_least=True).status
        'unknown'
        """
        if found.value is None:
            return self.unknown(name, role, found.problem, threshold=threshold)
        return Signal(
            model=self.model,
            window=self.window,
            as_of=self.as_of,
            name=str(name),
            role=role,
            status=found.standing(threshold, is_least=is_least),
            value=found.value,
            threshold=threshold,
            version=self.version,
            detail=(detail or found.basis)[:MOST_DETAIL],
            interval=found.interval,
        )

    def unknown(self, name: SignalName, role: SignalRole, why: str, *, threshold: float | None = None) -> Signal:
        """A signal that could not be measured, and why.

        >>> subject.unknown(SignalName.drift("temp_f"), "watch", "every value is null").value is None
        True
        """
        return Signal(
            model=self.model,
            window=self.window,
            as_of=self.as_of,
            name=str(name),
            role=role,
            status="unknown",
            value=None,
            threshold=threshold,
            version=self.version,
            detail=why[:MOST_DETAIL],
        )
